"""Each source as its system writes it gives the readings that went in."""

import gzip
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
    assert {at: row["power"] for at, row in read.rows.items()} == {T: 1.0, T + 2 * MINUTE: 5.0}
    assert read.tally.refused == {
        "no time in time": 2,
        "a time after now in time": 1,
        "a time before 2000 in time": 1,
        "out of order: sort the file, or set sorted = false": 1,
        "the same time as a row before": 1,
        "another number of cells than the header": 1,
    }
    assert read.tally.first == {
        "no time in time": "row 3: 'yesterday' (time_format \"iso\")",
        "a time after now in time": "row 4: '2099-01-01T00:00:00Z' (time_format \"iso\")",
        "a time before 2000 in time": "row 8: '1999-12-31T00:00:00Z' (time_format \"iso\")",
        "out of order: sort the file, or set sorted = false": "row 5: '2024-10-10T05:00:00Z'",
        "the same time as a row before": "row 9: '2024-10-10T06:02:00Z'",
        "another number of cells than the header": "row 6: '2024-10-10T06:01:00Z'",
        "power: no number": "'much'",
    }
    assert read.tally.rows == 9


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


FIELD = '[quantity.power]\nfield="{}"\n'
ROWS = '[source]\nname="what"\nvalue="how"\n'


@pytest.mark.parametrize(
    ("kind", "text", "mapping", "said"),
    [
        ("csv", "", FIELD, "is empty: its first line must name the columns"),
        ("csv", "time,q\n", FIELD, "map.toml [quantity.power] field: 'p' is no column of source; it has time, q"),
        ("csv", "time,what,how\n2024-10-10,q,1\n", ROWS + FIELD, "'p' has no row in source; there are q"),
        ("homeassistant", "entity_id,state,last_changed\nsensor.q,1,2024-10-10\n", FIELD, "there are sensor.q"),
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
        (whole[:-2000], "is a gzip that is cut off"),
        (whole[:-8] + b"x" * 8, "is a gzip that is damaged"),
    ):
        (tmp_path / "a.gz").write_bytes(data)
        with pytest.raises(ConfigError, match=said):
            Read(kind, tmp_path / "a.gz", '[quantity.power]\nfield="0"', tmp_path)


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
