"""What an answer of /series becomes: lines that break, values that are held, holes."""

import math
from typing import Any

import numpy as np

from panel_app.charts import ratio
from panel_app.charts.frame import Frame, read_frame
from tests.panel_app import sample_day as sample

MINUTE = sample.MINUTE


def raw(
    at_minutes: list[float],
    values: list[float | None],
    gaps: list[list[str]] | None = None,
    more: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A raw answer of one hour with one quantity."""
    return {
        "resolution": "raw",
        "start": sample.iso(sample.START),
        "end": sample.iso(sample.START + 60 * MINUTE),
        "timezone": "Europe/Berlin",
        "readings": len(at_minutes),
        "coverage": {"power": 1.0},
        "gaps": gaps or [],
        "time": [sample.iso(sample.START + m * MINUTE) for m in at_minutes],
        "values": {"power": values},
    } | (more or {})


def read(answer: dict[str, Any]) -> Frame:
    return read_frame(answer, ["power", "temp_outlet", "heat_power"], ["compressor_running"])


def minutes(at: Any) -> list[float]:
    return [round((float(t) - sample.START) / MINUTE, 3) for t in at]


def test_a_steady_line_is_unbroken_and_nothing_is_held() -> None:
    line = read(raw([*range(60)], [1.0] * 60)).lines["power"]
    assert minutes(line.at) == [*range(60)]
    assert np.isfinite(line.value).all()
    assert line.held.size == 0


def test_a_short_silence_is_bridged_by_the_held_value_and_not_by_a_slope() -> None:
    at = [0, 1, 2, 3, 13, 14, 15]
    line = read(
        raw(at, [5.0, 5.0, 5.0, 5.0, 9.0, 9.0, 9.0], more={"end": sample.iso(sample.START + 16 * MINUTE)})
    ).lines["power"]
    assert minutes(line.held_at)[:2] == [3, 13]
    assert line.held.tolist()[:2] == [5.0, 5.0]
    broken = [m for m, value in zip(minutes(line.at), line.value, strict=True) if math.isnan(value)]
    assert broken == [3, 13]


def test_a_long_silence_is_held_for_900_seconds_and_the_rest_is_missing() -> None:
    gap = [[sample.iso(sample.START + 3 * MINUTE), sample.iso(sample.START + 50 * MINUTE)]]
    frame = read(raw([0, 1, 2, 3, *range(50, 60)], [5.0] * 14, gap))
    assert minutes(frame.lines["power"].held_at)[:2] == [3, 18]
    assert [minutes(hole) for hole in frame.missing] == [[18, 50]]


def test_before_the_first_value_nothing_is_held() -> None:
    gap = [[sample.iso(sample.START), sample.iso(sample.START + 30 * MINUTE)]]
    frame = read(raw([*range(30, 60)], [5.0] * 30, gap))
    assert [minutes(hole) for hole in frame.missing] == [[0, 30]]


def test_a_field_that_is_sent_less_often_than_others_stays_one_line() -> None:
    values = [float(m) if m % 5 == 0 else None for m in range(60)]
    line = read(raw([*range(60)], values)).lines["power"]
    assert minutes(line.at) == [*range(0, 60, 5)]
    assert np.isfinite(line.value).all()


def test_a_value_that_stopped_coming_is_held_to_the_end_of_its_900_seconds_while_others_go_on() -> None:
    line = read(raw([*range(60)], [1.0] * 20 + [None] * 40)).lines["power"]
    assert minutes(line.held_at)[:2] == [19, 34]


def test_minutes_after_the_last_reading_are_held_and_not_drawn_as_measured() -> None:
    frame = read_frame(sample.series(), ["temp_outlet"], [])
    line = frame.lines["temp_outlet"]
    hole = [(at - sample.START) / MINUTE for at in (sample.HOLE[0] + 15 * MINUTE, sample.HOLE[1])]
    assert [minutes(missing) for missing in frame.missing] == [hole]
    measured = np.array(minutes(line.at))[np.isfinite(line.value)]
    assert not ((measured > 447) & (measured < 519)).any()
    assert minutes(line.held_at)[0] == 446.5


def test_bands_follow_buckets_and_are_closed_where_the_line_breaks() -> None:
    line = read_frame(sample.series(), ["temp_outlet"], []).lines["temp_outlet"]
    assert line.low.size == line.high.size == line.at.size
    assert np.isfinite(line.low).all()
    broken = np.isnan(line.value)
    assert broken.sum() == 2
    assert (line.low[broken] == line.high[broken]).all()
    assert (line.low[~broken] <= line.value[~broken]).all()


def test_below_a_minute_there_is_no_band() -> None:
    line = read_frame(sample.series("raw"), ["temp_outlet"], []).lines["temp_outlet"]
    assert line.at.size > 1000
    assert line.low.size == line.high.size == 0


def test_long_buckets_are_never_held() -> None:
    hour = 3_600_000
    at = [sample.iso(sample.START + n * hour) for n in (0, 1, 5)]
    numbers = {part: [1.0, 2.0, 3.0] for part in ("mean", "min", "max")}
    answer = raw([], [], more={"resolution": "1h", "time": at, "values": {"power": numbers}})
    answer["gaps"] = [[at[1], at[2]]]
    frame = read(answer)
    assert frame.lines["power"].held.size == 0
    assert [round((right - left) / hour) for left, right in frame.missing] == [4]
    assert np.isnan(frame.lines["power"].value).sum() == 2
    assert minutes(frame.lines["power"].at)[0] == 30, "a mean stands in the middle of its bucket"


def test_an_answer_without_values_has_no_line_and_no_coverage() -> None:
    frame = read_frame(sample.empty(), ["temp_outlet"], ["compressor_running"])
    assert not frame.has("temp_outlet")
    assert not frame.has("compressor_running")
    assert frame.coverage == 0.0
    assert frame.missing == [(sample.START, sample.END)]


def test_heat_that_was_not_measured_is_estimated() -> None:
    assert read(raw([0], [1.0], more={"heat_source": "estimated"})).estimated == {"heat_power"}
    assert read(raw([0], [1.0], more={"heat_source": "measured"})).estimated == frozenset()


def test_cop_is_heat_over_electricity_of_the_half_hour_before() -> None:
    heat = [0.0] * 30 + [4000.0] * 30
    answer = raw([*range(60)], [], more={"values": {"power": [1000.0] * 60, "heat_power": heat}})
    at, cop = ratio.cop(read(answer), "heat_power", "power")
    by_minute = dict(zip(minutes(at), cop.tolist(), strict=True))
    assert by_minute[29] == 0.0
    assert math.isclose(by_minute[45], 2.0, rel_tol=0.04), "half of its half hour had 4 kW"
    assert math.isclose(by_minute[59], 4.0, rel_tol=0.04)


def test_cop_is_unknown_while_hardly_any_electricity_is_used() -> None:
    answer = raw([*range(60)], [], more={"values": {"power": [10.0] * 60, "heat_power": [0.0] * 60}})
    _, cop = ratio.cop(read(answer), "heat_power", "power")
    assert np.isnan(cop).all()
