"""What Home Assistant keeps or exports gives the readings that are in it."""

import sqlite3
from contextlib import closing

import pytest

from tests.history.formats import (
    write_history_export,
    write_homeassistant,
)
from tests.history.read import MINUTE, Read, T

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
