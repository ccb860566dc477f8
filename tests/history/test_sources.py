"""What all sources have in common: what they refuse, what they leave out, and how they say so."""

import gzip
import math

import pytest

from flows.errors import ConfigError
from flows.history.mapping import load_mapping
from flows.history.source import opened
from flows.history.tally import Tally
from tests.history.formats import (
    write_homeassistant,
    write_phpfina,
)
from tests.history.read import MINUTE, Read, T

FIELD = '[quantity.power]\nfield="{}"\n'
ROWS = '[source]\nname="what"\nvalue="how"\n'


@pytest.mark.parametrize(
    ("kind", "text", "mapping", "said"),
    [
        ("csv", "", FIELD, "is empty, or begins so: its first line must name the columns"),
        ("csv", "\ntime,p\n", FIELD, "is empty, or begins so: its first line must name the columns"),
        ("csv", "time,p,p\n", FIELD, "[quantity.power] field: 'p' is the name of 2 columns of source: give each"),
        ("csv", "time,q\n", FIELD, "map.toml [quantity.power] field: 'p' is no column of source; it has time, q"),
        ("csv", "time,what,how\n2024-10-10,q,1\n", ROWS + FIELD, "'p' has no row in source; there are q"),
        ("homeassistant", "entity_id,state,last_changed\nsensor.q,1,2024-10-10\n", FIELD, "there are sensor.q"),
        (
            "homeassistant",
            "entity_id,state,last_updated\nsensor.p,1,2024-10-10\n",
            FIELD,
            "source' has no column last_changed: it is no export of the history page of Home Assistant; "
            "it has entity_id, state, last_updated",
        ),
        (
            "homeassistant",
            "entity_id,state,state,last_changed\n",
            FIELD,
            "source' has 2 columns state: it is no export of the history page of Home Assistant; it has entity_id, ",
        ),
        (
            "homeassistant",
            "entity_id,state,last_changed\n",
            '[source]\ntable="statistics"\n' + FIELD,
            "map.toml [source] table: 'statistics' is of the database, but source is none",
        ),
        ("influx", "# Heat pump\n\nA text\n", FIELD, "first line 3: 'A text'"),
        ("influx", "", FIELD, "has no point of annotated CSV or line protocol"),
    ],
)
def test_a_source_that_lacks_what_the_mapping_names_is_refused_with_what_it_has(
    tmp_path, kind, text, mapping, said
):
    (tmp_path / "source").write_text(text)
    with pytest.raises(ConfigError) as caught:
        Read(kind, tmp_path / "source", mapping.format("p"), tmp_path)
    assert said in str(caught.value)


@pytest.mark.parametrize("kind", ["csv", "influx"])
def test_a_gzip_that_is_cut_off_or_damaged_is_called_so(tmp_path, kind):
    whole = gzip.compress(b"".join(b"time,%d\n" % number for number in range(9999)))
    for data, said in (
        (whole[:-2000], r"is a gzip that is cut off after line \d\d\d\d: "),
        (whole[:-8] + b"x" * 8, "is a gzip that is damaged after line 9999 "),
    ):
        (tmp_path / "a.gz").write_bytes(data)
        with pytest.raises(ConfigError, match=said):
            Read(kind, tmp_path / "a.gz", '[quantity.power]\nfield="0"', tmp_path)


@pytest.mark.parametrize("kind", ["csv", "emoncms"])
@pytest.mark.parametrize("harm", ["no UTF-8", "a gzip that is cut off"])
def test_of_a_text_that_cannot_be_read_to_its_end_nothing_is_taken_and_the_line_is_named(tmp_path, kind, harm):
    text = b"time,p\n" + b"".join(b"%d,1\n" % (T // 1000 + number) for number in range(50_000))
    if harm == "no UTF-8":
        data, said = text + b"1728590000,\xe9\n", "line 50002 has b'\\xe9' after b'1728590000,'"
    else:
        data, said = gzip.compress(text)[:-20], "is a gzip that is cut off after line 4"
    path = tmp_path / "p.csv"
    path.write_bytes(data)
    keys = '[source]\ntime_format="unix"\n' if kind == "csv" else ""
    (tmp_path / "map.toml").write_text(f'{keys}[quantity.power]\nfield="p"\n')
    mapping, taken = load_mapping(tmp_path / "map.toml", kind), []
    with opened(kind, str(path if kind == "csv" else tmp_path), mapping, Tally()) as tables:
        with pytest.raises(ConfigError) as caught:
            taken.extend(tables)
    assert said in str(caught.value)
    assert not taken


@pytest.mark.parametrize("kind", ["csv", "emoncms"])
def test_a_quote_that_is_never_closed_is_refused_for_the_rows_that_it_swallows(tmp_path, kind):
    path = tmp_path / "p.csv"
    source = path if kind == "csv" else tmp_path
    mapping = '[source]\ntime_format="unix"\n' * (kind == "csv") + '[quantity.power]\nfield="p"\n'
    begins = b'time,p\n%d,1\n%d,"1\n' % (T // 1000, T // 1000 + 1)
    path.write_bytes(begins + b"5,1\n" * 9)
    with pytest.raises(ConfigError, match="a quote in line 3 is never closed: '1728540001,\"1'"):
        Read(kind, source, mapping, tmp_path)
    path.write_bytes(begins + b'2"\n')  # a cell of two lines that is closed costs its row alone
    read = Read(kind, source, mapping, tmp_path)
    assert read.tally.removed == {"power: no number": 1}
    assert read.rows[T] == {"power": 1.0}


def test_infinite_values_are_left_out_and_counted_whatever_the_source(tmp_path):
    hours = [(T, math.inf, None), (T + 60 * MINUTE, 2.0, None)]
    write_homeassistant(tmp_path / "ha.db", {}, {"p": hours})
    write_phpfina(tmp_path, 1, T // 1000, 3600, [math.inf, 2.0, math.nan])
    (tmp_path / "a.csv").write_text("time,p\n2024-10-10T06:00Z,inf\n2024-10-10T07:00Z,2\n2024-10-10T08:00Z,NaN\n")
    (tmp_path / "a.lp").write_text(f"pump p=+Inf {T}000000\npump p=2 {T + 60 * MINUTE}000000\n")
    for kind, name, keys in (
        ("csv", "a.csv", ""),
        ("csv", "a.csv", "sorted=false"),
        ("influx", "a.lp", ""),
        ("emoncms", "", ""),
        ("homeassistant", "ha.db", 'table="statistics"\nhold=""'),
    ):
        field = "1" if kind == "emoncms" else "p"
        mapping = f'[source]\n{keys}\n[quantity.power]\nfield="{field}"\n[quantity.fan_running]\nfield="{field}"\nabove=1'
        read = Read(kind, tmp_path / name, mapping, tmp_path)
        rows = {at: row for at, row in read.rows.items() if row}
        assert rows == {T + 60 * MINUTE: {"power": 2.0, "fan_running": 1.0}}, kind
        assert read.tally.removed == {"power: not finite": 1, "fan_running: not finite": 1}
        assert read.tally.first == {"power: not finite": "inf", "fan_running: not finite": "inf"}


def test_values_of_one_time_are_counted_and_the_last_one_stays(tmp_path):
    (tmp_path / "a.lp").write_text("".join(f"pump t={value} {T}000000\n" for value in (30, 31, 32)))
    (tmp_path / "t.csv").write_text("".join(f"{T // 1000},{value}\n" for value in (30, 31, 32)))
    for kind, source, field in (("influx", tmp_path / "a.lp", "t"), ("emoncms", tmp_path, "t")):
        read = Read(kind, source, f'[quantity.temp_inlet]\nfield="{field}"', tmp_path)
        assert read.rows == {T: {"temp_inlet": 32.0}}
        assert read.tally.removed == {"temp_inlet: of several at one time the last one stays": 2}
