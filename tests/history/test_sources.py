"""Each source as its system writes it gives the readings that went in."""

import gzip
import json
import math
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from flows.errors import ConfigError
from flows.history.mapping import load_mapping
from flows.history.source import opened
from flows.history.tally import Tally
from tests.history.formats import (
    write_feeds,
    write_history_export,
    write_homeassistant,
    write_phpfina,
    write_phptimeseries,
)
from tests.history.read import MINUTE, Read, T


def test_a_csv_with_local_times_decimal_commas_other_units_and_words(tmp_path):
    (tmp_path / "logger.csv").write_text(
        "Zeit;Vorlauf [°F];HD [bar];Leistung [kW];Status\n"
        "10.10.2024 08:00;104,0;20;2,5;läuft\n"
        "10.10.2024 08:05;;20,5;---;steht\n"
        "10.10.2024 08:10;kaputt;21;3,0;läuft\n"
    )
    example = Path("docs/how-to/import/logger.toml").read_text()
    read = Read("csv", tmp_path / "logger.csv", example, tmp_path)
    assert list(read.rows) == [T, T + 5 * MINUTE, T + 10 * MINUTE]
    assert read.rows[T] == pytest.approx(
        {"temp_outlet": 40.0, "pressure_high": 290.07547546, "power": 1250.0, "compressor_running": 1.0}
    )
    assert read.rows[T + 5 * MINUTE] == pytest.approx({"pressure_high": 297.3273623465, "compressor_running": 0.0})
    assert read.tally.removed == {"temp_outlet: no number": 1}


def test_the_hour_that_a_clock_shows_twice_in_autumn_is_read_twice(tmp_path):
    lines = [f"2024-10-27 02:{minute:02d}:00,{value}" for value, minute in [(1, 0), (2, 30), (3, 0), (4, 30)]]
    (tmp_path / "a.csv").write_text("time,p\n" + "\n".join(lines) + "\n2024-10-27 03:00:00,5\n")
    read = Read(
        "csv", tmp_path / "a.csv", '[source]\ntimezone="Europe/Berlin"\n[quantity.power]\nfield="p"', tmp_path
    )
    half = 30 * MINUTE
    first = 1_729_987_200_000  # 2024-10-27T00:00Z
    assert {at: row["power"] for at, row in read.rows.items()} == {first + n * half: n + 1.0 for n in range(5)}


@pytest.mark.parametrize(
    ("zone", "day", "fixed"),
    [
        ("Europe/Berlin", "2024-03-31", '"Etc/GMT-1"'),
        ("America/New_York", "2024-03-10", '"Etc/GMT+5"'),
        ("Australia/Adelaide", "2024-10-06", "one that never changes"),
    ],
)
def test_a_time_that_a_clock_skips_in_spring_is_refused_with_the_zone_of_a_logger_that_keeps_winter_time(
    tmp_path, zone, day, fixed
):
    hours = ["01:00", "01:30", "02:00", "02:30", "03:00", "03:30"]
    (tmp_path / "a.csv").write_text(
        "time,p\n" + "".join(f"{day} {at},{number}\n" for number, at in enumerate(hours))
    )
    mapping = '[source]\ntimezone="{}"\n[quantity.power]\nfield="p"'
    read = Read("csv", tmp_path / "a.csv", mapping.format(zone), tmp_path)
    assert [row["power"] for row in read.rows.values()] == [0.0, 1.0, 4.0, 5.0], "the rows after it are in order"
    assert np.diff(list(read.rows)).tolist() == [30 * MINUTE] * 3
    reason = "a time that the timezone skips in time"
    assert read.tally.refused == {reason: 2}
    assert read.tally.first[reason] == (
        f"row 4: '{day} 02:00' (timezone \"{zone}\"; of a logger that keeps winter time all year it must be {fixed})"
    )
    if fixed.startswith('"'):
        read = Read("csv", tmp_path / "a.csv", mapping.format(fixed.strip('"')), tmp_path)
        assert [row["power"] for row in read.rows.values()] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
        assert not read.tally.refused


@pytest.mark.parametrize(("form", "text"), [("unix", "1728540000"), ("unix_ms", "1728540000000")])
def test_unix_times_in_a_gzipped_csv(tmp_path, form, text):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(f"time,p\n{text},7\n".encode()))
    mapping = f'[source]\ntime_format="{form}"\n[quantity.power]\nfield="p"'
    assert Read("csv", tmp_path / "a.csv.gz", mapping, tmp_path).rows == {T: {"power": 7.0}}


def test_bad_rows_are_counted_with_their_reasons_and_harm_no_other(tmp_path):
    (tmp_path / "a.csv").write_text(
        "time,p\n2024-10-10T06:00:00Z,1\nyesterday,2\n2099-01-01T00:00:00Z,3\n2024-10-10T05:00:00Z,4\n"
        "2024-10-10T06:01:00Z\n2024-10-10T06:02:00Z,5\n1999-12-31T00:00:00Z,6\n2024-10-10T06:02:00Z,7\nmorning,much\n"
    )
    read = Read("csv", tmp_path / "a.csv", '[quantity.power]\nfield="p"', tmp_path)
    assert {at: row["power"] for at, row in read.rows.items()} == {T: 1.0, T + 2 * MINUTE: 7.0}
    assert read.tally.refused == {
        "no time in time": 2,
        "a time after now in time": 1,
        "a time before 2000 in time": 1,
        "out of order: sort the file, or set sorted = false": 1,
        "another number of cells than the header": 1,
    }
    assert read.tally.first == {
        "no time in time": "row 3: 'yesterday' (time_format \"iso\")",
        "a time after now in time": "row 4: '2099-01-01T00:00:00Z' (time_format \"iso\")",
        "a time before 2000 in time": "row 8: '1999-12-31T00:00:00Z' (time_format \"iso\")",
        "out of order: sort the file, or set sorted = false": "row 5: '2024-10-10T05:00:00Z', earlier than row 2: '2024-10-10T06:00:00Z'",
        "another number of cells than the header": "row 6: '2024-10-10T06:01:00Z'",
    }
    assert read.tally.removed == {"power: of several at one time the last one stays": 1}
    assert read.tally.rows == 9


@pytest.mark.parametrize("rows", [4, 19_998, 19_999, 20_000, 20_001], ids=lambda rows: f"{rows} rows before it")
def test_a_row_far_too_late_is_named_where_all_after_it_are_out_of_order(tmp_path, rows):
    seconds = [T // 1000 + number for number in range(rows + 3)]
    seconds[rows] += 86_400
    (tmp_path / "a.csv").write_text("time,p\n" + "".join(f"{at},1\n" for at in seconds))
    read = Read("csv", tmp_path / "a.csv", '[source]\ntime_format="unix"\n[quantity.power]\nfield="p"', tmp_path)
    reason = "out of order: sort the file, or set sorted = false"
    assert read.tally.refused == {reason: 2}
    first = f"row {rows + 3}: '{seconds[rows + 1]}', earlier than row {rows + 2}: '{seconds[rows]}'"
    assert read.tally.first[reason] == first


def test_rows_in_any_order_of_one_value_each(tmp_path):
    (tmp_path / "a.csv").write_text(
        "when,what,how\n2024-10-10T06:01:00Z,t,2\n2024-10-10T06:00:00Z,t,1\n2024-10-10T06:00:00Z,w,9\n"
        "2024-10-10T06:00:00Z,other,5\n"
    )
    mapping = (
        '[source]\ntime="when"\nname="what"\nvalue="how"\nsorted=false\n'
        '[quantity.temp_inlet]\nfield="t"\n[quantity.power]\nfield="w"'
    )
    read = Read("csv", tmp_path / "a.csv", mapping, tmp_path)
    assert read.rows == {T: {"temp_inlet": 1.0, "power": 9.0}, T + MINUTE: {"temp_inlet": 2.0}}


def test_a_value_is_repeated_while_the_source_holds_it_and_a_counter_rises_evenly(tmp_path):
    (tmp_path / "a.csv").write_text(
        "time,p,e\n2024-10-10T06:00:00Z,5,100\n2024-10-10T07:00:00Z,,103\n2024-10-10T10:00:00Z,6,109\n"
    )
    mapping = '[source]\nhold="2h"\n[quantity.power]\nfield="p"\n[quantity.electric_energy]\nfield="e"'
    rows = Read("csv", tmp_path / "a.csv", mapping, tmp_path).rows
    assert [at for at, row in rows.items() if row.get("power") == 5.0] == [T + n * 10 * MINUTE for n in range(12)]
    assert [row["electric_energy"] for at, row in rows.items() if at < T + 60 * MINUTE] == pytest.approx(
        [100.0, 100.5, 101.0, 101.5, 102.0, 102.5]
    )
    assert not [row for at, row in rows.items() if T + 120 * MINUTE < at < T + 240 * MINUTE]
    assert max(rows) == T + 240 * MINUTE, "nothing is held behind the end of the history"


def test_emoncms_feeds_of_both_engines_by_name_tag_and_number(tmp_path):
    nan = float("nan")
    write_phpfina(tmp_path / "phpfina", 1, T // 1000, 60, [1000.0, nan, 1200.0])
    write_phptimeseries(tmp_path / "phptimeseries", 2, {T: 30.5, T + 2 * MINUTE: 31.5})
    write_feeds(tmp_path, {1: "elec", 2: "flowT"})
    (tmp_path / "7.csv").write_text("1728540060,12.5\n")
    mapping = (
        '[quantity.power]\nfield="elec"\n[quantity.temp_outlet]\nfield="heatpump:flowT"\n'
        '[quantity.flow_rate]\nfield="7"'
    )
    assert Read("emoncms", tmp_path, mapping, tmp_path).rows == {
        T: {"power": 1000.0, "temp_outlet": 30.5},
        T + MINUTE: {"flow_rate": 12.5},
        T + 2 * MINUTE: {"power": 1200.0, "temp_outlet": 31.5},
    }
    with pytest.raises(ConfigError, match=r"\[quantity.power\] field: 'gone' is no feed .* elec, .*flowT"):
        Read("emoncms", tmp_path, '[quantity.power]\nfield="gone"', tmp_path)
    (tmp_path / "phpfina" / "1.meta").unlink()
    with pytest.raises(
        ConfigError, match=r"'elec' is feed 1 of feeds.json, but .* has no 1.meta, feed_1.MYD or 1.csv"
    ):
        Read("emoncms", tmp_path, '[quantity.power]\nfield="elec"', tmp_path)


@pytest.mark.parametrize("head", ["", "time,value\n", "\n"])
def test_rows_of_a_csv_of_emoncms_are_counted_as_read_and_a_header_is_none(tmp_path, head):
    lines = ["2024-10-10T06:00:00Z,1", "yesterday,2", "2024-10-10T06:01:00Z", "2024-10-10T06:02:00Z,3"]
    (tmp_path / "p.csv").write_text(head + "\n".join(lines) + "\n")
    read = Read("emoncms", tmp_path, '[quantity.power]\nfield="p"', tmp_path)
    assert read.rows == {T: {"power": 1.0}, T + 2 * MINUTE: {"power": 3.0}}
    assert read.tally.rows == 4
    wrong = "another number of cells than time,value in p.csv"
    assert read.tally.refused == {"no time in p.csv": 1, wrong: 1}
    row = 3 if head else 2
    assert read.tally.first["no time in p.csv"].startswith(f"row {row}: 'yesterday'")
    assert read.tally.first[wrong].startswith(f"row {row + 1}: ")


def test_a_name_that_several_feeds_of_emoncms_have_is_refused_with_what_tells_them_apart(tmp_path):
    feeds = [("1", "a", "dup"), ("2", "b", "dup"), ("3", "a", "twin"), ("4", "a", "twin"), ("5", "a", "one")]
    named = [{"id": number, "tag": tag, "name": name} for number, tag, name in feeds]
    (tmp_path / "feeds.json").write_text(json.dumps(named))
    for number, _, _ in feeds:
        write_phpfina(tmp_path, int(number), T // 1000, 60, [float(number)])

    def power(field: str) -> float:
        return Read("emoncms", tmp_path, f'[quantity.power]\nfield="{field}"', tmp_path).rows[T]["power"]

    assert [power(field) for field in ("a:dup", "b:dup", "4", "one")] == [1.0, 2.0, 4.0, 5.0]
    for field, said in {"dup": "a:dup, b:dup", "twin": "3, 4", "a:twin": "3, 4"}.items():
        with pytest.raises(
            ConfigError, match=rf"power\] field: '{field}' is the name of several .* one of {said}$"
        ):
            power(field)


STATES = {
    "sensor.flow": {T: "35.5", T + 20 * MINUTE: "unavailable", T + 40 * MINUTE: "36.5"},
    "binary_sensor.dhw": {T: "off", T + 40 * MINUTE: "on"},
}
ENTITIES = '[quantity.temp_outlet]\nfield="sensor.flow"\n[quantity.dhw_active]\nfield="binary_sensor.dhw"'


@pytest.mark.parametrize("form", ["database", "export"])
def test_home_assistant_states_are_held_until_they_change_or_become_unavailable(tmp_path, form):
    path = tmp_path / "source"
    (write_homeassistant if form == "database" else write_history_export)(path, STATES)
    rows = Read("homeassistant", path, ENTITIES, tmp_path).rows
    assert {at - T: row["temp_outlet"] for at, row in rows.items() if "temp_outlet" in row} == {
        0: 35.5,
        10 * MINUTE: 35.5,
        40 * MINUTE: 36.5,
    }
    assert [row["dhw_active"] for row in rows.values() if "dhw_active" in row] == [0.0, 0.0, 0.0, 0.0, 1.0]


def test_home_assistant_statistics_are_means_of_hours_and_counters_at_their_ends(tmp_path):
    hours = [(T + n * 60 * MINUTE, 30.0 + n, 100.0 + n) for n in range(3)]
    write_homeassistant(tmp_path / "ha.db", {}, {"sensor.t": hours, "sensor.e": hours})
    mapping = (
        '[source]\ntable="statistics"\nhold="1h"\n[quantity.temp_inlet]\nfield="sensor.t"\n'
        '[quantity.electric_energy]\nfield="sensor.e"'
    )
    rows = Read("homeassistant", tmp_path / "ha.db", mapping, tmp_path).rows
    assert [row["temp_inlet"] for row in rows.values() if "temp_inlet" in row][:7] == [30.0] * 6 + [31.0]
    assert rows[T + 60 * MINUTE]["electric_energy"] == 100.0
    assert rows[T + 120 * MINUTE]["electric_energy"] == 101.0
    assert rows[T + 90 * MINUTE]["electric_energy"] == pytest.approx(100.5)


def test_a_feed_of_emoncms_with_impossible_times_is_told_as_that(tmp_path):
    write_phpfina(tmp_path, 1, 0, 60, [1.0] * 3)
    write_phpfina(tmp_path, 2, 4_102_444_800, 60, [float("nan"), 1.0])
    write_phpfina(tmp_path, 3, 0xFFFFFFFF, 0xFFFFFFFF, [1.0] * 50_000)
    write_phptimeseries(tmp_path, 4, {0: 1.0, T: 2.0, 4_102_444_800_000: 3.0})
    feeds = {"power": 1, "temp_inlet": 2, "temp_outlet": 3, "flow_rate": 4}
    mapping = "".join(f'[quantity.{name}]\nfield="{feed}"\n' for name, feed in feeds.items())
    read = Read("emoncms", tmp_path, mapping, tmp_path)
    assert read.rows == {T: {"flow_rate": 2.0}}
    assert read.tally.rows == 3 + 2 + 50_000 + 3
    assert read.tally.refused == {
        "a time before 2000 in 1.meta": 3,
        "a time after now in 2.meta": 1,
        "a time after now in 3.meta": 50_000,
        "a time before 2000 in feed_4.MYD": 1,
        "a time after now in feed_4.MYD": 1,
    }
    assert read.tally.first["a time after now in 2.meta"] == "row 2: '4102444860' (time_format \"unix\")"


@pytest.mark.parametrize("table", ["states", "statistics"])
def test_home_assistant_rows_with_impossible_times_are_told_as_that(tmp_path, table):
    path, good = tmp_path / "ha.db", T // 1000
    points = {T: "1"}
    write_homeassistant(path, {"sensor.p": points}, {"sensor.p": [(T, 1.0, None)]})
    column, value = ("last_updated_ts", "state") if table == "states" else ("start_ts", "mean")
    times = (-5.0, 10.0, 4_102_444_800.0, good * 1000.0, 1e300, 9e999, "yesterday", b"\xff", good + 3600.0)
    with closing(sqlite3.connect(path)) as db, db:
        for at in times:
            db.execute(f"INSERT INTO {table} (metadata_id, {column}, {value}) VALUES (1, ?, 2)", (at,))
    mapping = f'[source]\ntable="{table}"\nhold=""\n[quantity.power]\nfield="sensor.p"'
    read = Read("homeassistant", path, mapping, tmp_path)
    assert [at // 1000 for at in read.rows] == [good, good + 3600]
    assert read.tally.rows == 10
    where = f"{column} of sensor.p"
    assert read.tally.refused == {
        f"a time before 2000 in {where}": 2,
        f"a time after now in {where}": 3,
        f"no time in {where}": 3,
    }
    assert read.tally.first[f"a time before 2000 in {where}"] == "row 1: '-5.0' (time_format \"unix\")"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"DELETE FROM {table} WHERE {column} IN (?, ?)", (good, good + 3600))
    assert not Read("homeassistant", path, mapping, tmp_path).rows


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


@pytest.mark.parametrize("keys", ["", "sorted=false", 'hold="1s"'])
@pytest.mark.parametrize("before", [1, 19_999, 20_000], ids=lambda rows: f"after {rows} rows")
def test_rows_of_one_time_are_merged_value_by_value_however_the_file_is_read(tmp_path, keys, before):
    times = (T // 1000 - before + number for number in range(before))
    rows = [
        *(f"{at},0,0" for at in times),
        *(f"{T // 1000},{cells}" for cells in ("1,", ",2", ",", "x,3", "4,inf")),
    ]
    (tmp_path / "a.csv").write_text("time,p,t\n" + "\n".join(rows) + "\n")
    mapping = (
        f'[source]\ntime_format="unix"\n{keys}\n[quantity.power]\nfield="p"\n[quantity.temp_inlet]\nfield="t"'
    )
    read = Read("csv", tmp_path / "a.csv", mapping, tmp_path)
    assert (len(read.rows), read.rows[T]) == (before + 1, {"power": 4.0, "temp_inlet": 3.0})
    several = "of several at one time the last one stays"
    counts = {
        f"power: {several}": 1,
        f"temp_inlet: {several}": 1,
        "power: no number": 1,
        "temp_inlet: not finite": 1,
    }
    assert (read.tally.removed, read.tally.refused) == (counts, {})


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


def test_a_long_series_is_read_in_blocks_of_bounded_size(tmp_path):
    write_phpfina(tmp_path, 1, 1_600_000_000, 10, [float(n % 500) for n in range(100_000)])
    path = tmp_path / "map.toml"
    path.write_text('[quantity.power]\nfield="1"')
    with opened("emoncms", str(tmp_path), load_mapping(path, "emoncms"), Tally()) as tables:
        sizes = [len(table.at) for table in tables]
    assert sum(sizes) == 100_000
    assert max(sizes) <= 20_000
    assert np.isclose(min(sizes), 20_000)
