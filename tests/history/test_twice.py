"""The hour that a clock shows twice in autumn is read in order, whichever way a file goes and whatever lies in it."""

from datetime import UTC, datetime
from itertools import accumulate
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.history.times import TimeReader
from tests.effort import examples
from tests.history.read import MINUTE, Read

HOUR = 60 * MINUTE
BACK = 1_729_990_800_000  # 2024-10-27T01:00Z, when clocks in Berlin go from 03:00 to 02:00
PASS = {"Europe/Berlin": (BACK, HOUR), "Australia/Lord_Howe": (1_712_415_600_000, HOUR // 2)}
"""When a zone's clocks go back, and by how much. [ms]"""


def shown(at: int, zone: str = "Europe/Berlin") -> str:
    """What a clock shows."""
    return datetime.fromtimestamp(at / 1000, UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None).isoformat()


def read(*blocks: list[str], zone: str = "Europe/Berlin") -> list[int]:
    reader = TimeReader("iso", zone)
    return [at for block in blocks for at in reader.read(block).tolist()]


@st.composite
def series(draw) -> tuple[str, list[int]]:
    """Instants, each less than the distance of the passes after the one before, from before both to after both."""
    zone = draw(st.sampled_from(sorted(PASS)))
    back, gap = PASS[zone]
    steps = draw(st.lists(st.one_of(st.just(0), st.integers(0, gap - 1)), max_size=20))
    instants = list(accumulate(steps, initial=back - gap - draw(st.integers(1, 2 * gap))))
    regular = draw(st.integers(gap // 12, gap - 1))
    while instants[-1] < back + gap:
        instants.append(instants[-1] + regular)
    return zone, instants


@pytest.mark.slow
@pytest.mark.parametrize("order", ["oldest first", "newest first"])
@settings(max_examples=examples(300), deadline=None)
@given(series(), st.data())
def test_any_series_through_both_hours_comes_back_as_the_same_instants(order, made, data):
    zone, instants = made
    rows = instants if order == "oldest first" else instants[::-1]
    texts = [shown(at, zone) for at in rows]
    cut = data.draw(st.integers(0, len(texts)), "cut into blocks at")
    assert read(texts[:cut], texts[cut:], zone=zone) == rows
    begin = data.draw(st.integers(0, len(texts) - 1), "ends at")
    assert read(texts[: begin + 1], zone=zone) == rows[: begin + 1], "an end within the hours"


FIVE_MINUTES = [BACK - 3 * HOUR + n * 5 * MINUTE for n in range(72)]


@pytest.mark.parametrize("rows", [FIVE_MINUTES, FIVE_MINUTES[::-1]], ids=["oldest first", "newest first"])
@pytest.mark.parametrize("place", [1, 14, 26, 30, 38, 50, 71])
@pytest.mark.parametrize("odd", ["2099-01-01T00:00", "1970-01-01T00:00", "2003-01-01T00:00", "no time"])
def test_an_absurd_time_harms_no_other_row(rows, place, odd):
    texts = [shown(at) for at in rows]
    got = read([*texts[:place], odd, *texts[place:]])
    assert [*got[:place], *got[place + 1 :]] == rows


@pytest.mark.parametrize("place", [28, 30, 34])
def test_a_row_that_comes_too_late_harms_none_after_it(place):
    rows = [*FIVE_MINUTES[:place], FIVE_MINUTES[place] - 6 * MINUTE, *FIVE_MINUTES[place:]]
    assert read([shown(at) for at in rows]) == rows


def test_readings_of_each_hour_have_both_hours():
    hours = [BACK + n * HOUR for n in range(-4, 4)]
    assert read([shown(at) for at in hours]) == hours
    assert read([shown(at) for at in hours[::-1]]) == hours[::-1]


@pytest.mark.parametrize("texts", [["02:10", "02:20"], ["02:20", "02:10"], ["02:10"]])
def test_what_nothing_tells_is_of_the_pass_that_comes_sooner(texts):
    comes_first = texts != ["02:20", "02:10"]
    assert all((at < BACK) == comes_first for at in read([f"2024-10-27T{text}" for text in texts]))


def test_a_file_of_one_sensor_after_the_other_has_each_in_both_hours():
    rows = [*FIVE_MINUTES, *FIVE_MINUTES[20:], *FIVE_MINUTES]
    assert read([shown(at) for at in rows]) == rows


def test_a_time_with_an_offset_is_that_instant():
    texts = ["2024-10-27T02:10+01:00", "2024-10-27T02:20", "2024-10-27T02:30+02:00"]
    at = read(texts)
    assert (at[0], at[2]) == (BACK + 10 * MINUTE, BACK - 30 * MINUTE)


@pytest.mark.parametrize(
    ("order", "keys"),
    [
        ("oldest first", ""),
        ("oldest first", "sorted=false\n"),
        ("newest first", "sorted=false\n"),
        ("oldest first", "name='n'\nvalue='v'\n"),
        ("newest first", "name='n'\nvalue='v'\n"),
    ],
)
def test_a_csv_in_local_times_gives_every_reading(tmp_path, order, keys):
    lines = []
    for number, at in enumerate(FIVE_MINUTES):
        one = [f"{shown(at)},p,{number}", f"{shown(at)},out,40"]
        lines += one if "name" in keys else [f"{shown(at)},{number},40"]
    lines = [("t,n,v" if "name" in keys else "t,p,out"), *(lines if order == "oldest first" else lines[::-1])]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    mapping = f"[source]\ntime='t'\ntimezone='Europe/Berlin'\n{keys}"
    mapping += "[quantity.power]\nfield='p'\n[quantity.temp_outlet]\nfield='out'\n"
    got = Read("csv", tmp_path / "a.csv", mapping, tmp_path)
    assert got.rows == {at: {"power": float(n), "temp_outlet": 40.0} for n, at in enumerate(FIVE_MINUTES)}
    assert not got.tally.refused and not got.tally.removed
