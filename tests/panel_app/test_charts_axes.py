"""Ranges and ticks."""

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panel_app import plots
from panel_app.charts import axes
from panel_app.charts.panes import PANES

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3_600_000


def berlin(*parts: int) -> float:
    return datetime(*parts, tzinfo=BERLIN).timestamp() * 1000  # type: ignore[misc]


def labels(ticks: list[axes.Tick], start: float, end: float) -> list[str]:
    return [tick.label for tick in ticks if start <= tick.at <= end]


def test_an_axis_follows_the_data_with_five_percent_of_head_room() -> None:
    low, high = axes.y_range([np.array([20.0, np.nan]), np.array([40.0])], 5.0, (0.0, 1.0), with_zero=False)
    assert (low, high) == (19.0, 41.0)


def test_an_axis_is_never_narrower_than_its_floor() -> None:
    low, high = axes.y_range([np.array([21.0, 21.2])], 5.0, (0.0, 1.0), with_zero=False)
    assert high - low == pytest.approx(5.0)
    assert (low + high) / 2 == pytest.approx(21.1)


def test_power_has_zero_and_keeps_what_is_below_it() -> None:
    low, high = axes.y_range([np.array([0.1, 0.2])], 1.0, (0.0, 4.0), with_zero=True)
    assert low == 0.0
    assert high - low >= 1.0
    low, high = axes.y_range([np.array([-3.2, 6.8])], 1.0, (0.0, 4.0), with_zero=True)
    assert low < -3.2
    assert high > 6.8


def test_without_data_an_axis_has_its_usual_range() -> None:
    assert axes.y_range([np.array([np.nan])], 5.0, (20.0, 50.0), with_zero=False) == (20.0, 50.0)


@given(st.floats(-1000, 1000), st.floats(0.5, 5000), st.sampled_from([3, 4]))
def test_there_are_always_as_many_ticks_within_the_range_as_asked_or_one_less(
    low: float, width: float, most: int
) -> None:
    ticks = axes.y_ticks(low, low + width, most)
    assert most - 1 <= len(ticks) <= most
    assert all(low - 1e-6 <= tick <= low + width + 1e-6 for tick in ticks)


def test_plain_steps_come_first() -> None:
    assert axes.y_ticks(22.6, 45.2) == [25.0, 30.0, 35.0, 40.0]
    assert axes.y_ticks(0.0, 4.1) == [0.0, 2.0, 4.0]


@given(st.floats(-40, 60), st.floats(5, 100))
def test_labels_of_a_low_chart_have_room(low: float, width: float) -> None:
    ticks = axes.y_ticks(low, low + width, most=3)
    outdoor = next(pane for pane in PANES if pane.key == "outdoor")
    assert outdoor.height < plots.LOW
    assert np.diff(ticks).min() / width * outdoor.height >= 10, "the letters of a label are 8 px high"


def test_ticks_are_written_with_as_many_digits_as_they_need() -> None:
    assert [axes.tick_label(t, [-4.0, 0.0, 4.0]) for t in (-4.0, 0.0, 4.0)] == ["−4", "0", "4"]
    assert axes.tick_label(0.5, [0.0, 0.5, 1.0]) == "0.5"


def test_a_day_has_a_tick_each_two_hours_and_its_midnight_has_the_date() -> None:
    start, end = berlin(2026, 2, 9, 14, 8), berlin(2026, 2, 10, 14, 8)
    ticks = axes.x_ticks(start, end, BERLIN, 13)
    assert labels(ticks, start, end) == [
        *("16:00", "18:00", "20:00", "22:00", "Tue 10 Feb"),
        *("02:00", "04:00", "06:00", "08:00", "10:00", "12:00", "14:00"),
    ]
    assert [tick.label for tick in ticks if tick.midnight and start <= tick.at <= end] == ["Tue 10 Feb"]
    assert ticks[0].at < start - 20 * HOUR, "there are ticks to pan to"


def test_when_clocks_go_forward_the_skipped_hour_has_no_tick_and_the_others_keep_their_place() -> None:
    start, end = berlin(2026, 3, 29, 0, 0), berlin(2026, 3, 29, 8, 0)
    ticks = axes.x_ticks(start, end, BERLIN, 13)
    shown = {tick.label: tick.at for tick in ticks if start <= tick.at <= end}
    assert "02:00" not in shown
    assert shown["03:00"] - shown["01:00"] == HOUR
    assert shown["08:00"] == end


def test_when_clocks_go_back_midnight_is_25_hours_before_the_next() -> None:
    start, end = berlin(2026, 10, 25, 0, 0), berlin(2026, 10, 26, 0, 0)
    midnights = [
        tick.at for tick in axes.x_ticks(start, end, BERLIN, 13) if tick.midnight and start <= tick.at <= end
    ]
    assert midnights == [start, end]
    assert end - start == 25 * HOUR


def test_longer_spans_have_dates_and_the_longest_months() -> None:
    start, end = berlin(2026, 1, 11), berlin(2026, 2, 10)
    assert labels(axes.x_ticks(start, end, BERLIN, 4), start, end) == ["11 Jan", "21 Jan", "1 Feb"]
    start, end = berlin(2025, 1, 10), berlin(2026, 2, 10)
    assert labels(axes.x_ticks(start, end, BERLIN, 13), start, end)[-3:] == ["Sep", "Nov", "2026"]


@pytest.mark.parametrize("days", [1 / 24, 0.25, 1, 3, 7, 30, 90, 400, 3000])
def test_no_span_has_more_ticks_than_fit(days: float) -> None:
    start = berlin(2026, 1, 5, 3, 20)
    end = start + days * 24 * HOUR
    shown = labels(axes.x_ticks(start, end, BERLIN, 13), start, end)
    assert 2 <= len(shown) <= 15
