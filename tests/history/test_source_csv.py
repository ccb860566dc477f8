"""A CSV as a logger writes it gives the readings that are in it."""

import gzip
from pathlib import Path

import numpy as np
import pytest

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
