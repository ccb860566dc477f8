"""Which span is shown, by what was chosen."""

from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from panel_app.components.span_bar import span_bar
from panel_app.spans import Shown, began, moved, shown
from tests.panel_app import sample_day as sample

HOUR = 3_600_000
NOW = 1_770_000_000_000


def chosen(span: str = "", start: str = "", end: str = "") -> SimpleNamespace:
    return SimpleNamespace(span=span, start=start, end=end)


def test_nothing_chosen_is_a_day_that_ends_now_and_six_hours_on_a_phone():
    assert shown(chosen(), NOW, phone=False) == Shown(NOW - 24 * HOUR, NOW, True, "24h", "Last 24 hours")
    assert shown(chosen(), NOW, phone=True).length == 6 * HOUR


def test_a_device_that_is_long_silent_is_shown_as_it_was_last():
    last = NOW - 30 * HOUR
    span = shown(chosen(), NOW, False, last)
    assert (span.start, span.end, span.live) == (last - 24 * HOUR, last + 1, False)
    assert span.title == "Its last 24 hours"
    assert shown(chosen("24h"), NOW, False, last).end == NOW
    assert shown(chosen(), NOW, False, NOW - HOUR).live


def test_of_a_young_device_the_usual_span_begins_at_its_first_reading():
    span = shown(chosen(), NOW, False, NOW, NOW - 2 * HOUR)
    assert span == Shown(NOW - 2 * HOUR, NOW, True, "", "Its newest readings")
    assert shown(chosen(), NOW, False, NOW, NOW - 60_000).length == HOUR // 4
    assert shown(chosen("24h"), NOW, False, NOW, NOW - 2 * HOUR).name == "24h"
    assert shown(chosen(), NOW, False, NOW, NOW - 13 * HOUR).name == "24h"


def test_readings_begin_where_the_span_before_is_empty_for_more_than_half():
    first = sample.START + 1320 * sample.MINUTE
    young = sample.series(minutes=range(1320, 1440))
    young |= {"start": sample.iso(sample.START), "gaps": [[sample.iso(sample.START), sample.iso(first)]]}
    assert began(young) == first
    assert began(sample.series()) is None
    assert began(sample.empty()) is None
    late = [[sample.iso(sample.START), sample.iso(sample.START + 600 * sample.MINUTE)]]
    assert began(young | {"gaps": late}) is None


def test_a_span_says_its_year_where_that_is_another():
    zone = ZoneInfo("Europe/Berlin")
    assert "Mon 9 Feb 2015 00:00" in span_bar(
        Shown(1_423_436_400_000, 1_423_440_000_000, False, "custom"), zone, ""
    )


def test_a_chosen_span_stands_still():
    span = shown(chosen("custom", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00+01:00"), NOW, False)
    assert (span.length, span.live) == (23 * HOUR, False)


@pytest.mark.parametrize(
    "ends",
    [
        ("", ""),
        ("yesterday", "2026-01-02T00:00:00Z"),
        ("2026-01-01T00:00:00", "2026-01-02T00:00:00"),
        ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00+14:00", "2026-01-01T00:00:00Z"),
    ],
    ids=["empty", "no time", "without a zone", "backwards", "before all time"],
)
def test_what_is_no_span_is_the_usual_one(ends: tuple[str, str]):
    assert shown(chosen("custom", *ends), NOW, False).name == "24h"


def test_moving_keeps_the_length_and_follows_again_where_it_reaches_now():
    span = Shown(NOW - 24 * HOUR, NOW, True, "24h")
    earlier = moved(span, -1, NOW)
    assert earlier == (NOW - 48 * HOUR, NOW - 24 * HOUR)
    assert moved(Shown(*earlier, False, "custom"), 1, NOW + 60_000) is None
