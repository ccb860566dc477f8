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


def test_readings_begin_where_the_span_before_is_empty():
    first = sample.START + 1320 * sample.MINUTE
    young = sample.series(minutes=range(1320, 1440))
    young |= {"start": sample.iso(sample.START), "gaps": [[sample.iso(sample.START), sample.iso(first)]]}
    assert began(young) == first
    assert began(sample.series()) is None
    assert began(sample.empty()) is None


def test_a_span_says_its_year_where_that_is_another():
    zone = ZoneInfo("Europe/Berlin")
    assert "Mon 9 Feb 2015 00:00" in span_bar(
        Shown(1_423_436_400_000, 1_423_440_000_000, False, "custom"), zone, ""
    )


def test_until_it_is_drawn_a_chosen_span_has_its_button_alone_and_then_its_title_too():
    day = Shown(NOW - 24 * HOUR, NOW, True, "24h", "Last 24 hours")
    week = Shown(NOW - 168 * HOUR, NOW, True, "7d", "Last 7 days")
    for loads in (False, True):
        html = span_bar(day, ZoneInfo("UTC"), "", week, loads)
        assert "<h2>Last 24 hours</h2>" in html
        assert 'data-span="7d" aria-pressed="true"' in html
        assert 'data-span="24h" aria-pressed="false"' in html
        assert ("Loading the last 7 days …" in html) is loads
    assert "<h2>Last 7 days</h2>" in span_bar(week, ZoneInfo("UTC"), "")


def test_a_named_span_is_the_same_choice_wherever_it_ends_and_a_chosen_one_only_with_its_ends():
    day = Shown(NOW - 24 * HOUR, NOW, True, "24h")
    assert day.is_like(Shown(NOW - 23 * HOUR, NOW + HOUR, True, "24h"))
    assert not day.is_like(Shown(NOW - 24 * HOUR, NOW, True, "6h"))
    silent = Shown(NOW - 48 * HOUR, NOW - 24 * HOUR, False, "")
    assert silent.is_like(Shown(NOW - 24 * HOUR, NOW, True, "")), "it speaks again"
    own = Shown(0, HOUR, False, "custom")
    assert own.is_like(Shown(0, HOUR, False, "custom"))
    assert not own.is_like(Shown(0, 2 * HOUR, False, "custom"))


def test_a_chosen_span_stands_still():
    span = shown(chosen("custom", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00+01:00"), NOW, False)
    assert (span.length, span.live) == (23 * HOUR, False)


@pytest.mark.parametrize(
    ("ends", "why"),
    [
        (("", ""), "times from 1970 on, with a time zone"),
        (("yesterday", "2026-01-02T00:00:00Z"), "times from 1970 on, with a time zone"),
        (("2026-01-01T00:00:00", "2026-01-02T00:00:00"), "with a time zone"),
        (("0001-01-01T00:00:00+14:00", "2026-01-01T00:00:00Z"), "times from 1970 on"),
        (("1969-12-31T00:00:00Z", "2026-01-01T00:00:00Z"), "times from 1970 on"),
        (("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"), "at least a minute after it begins"),
        (("2027-01-01T00:00:00Z", "2027-01-02T00:00:00Z"), "begins in the future"),
        (("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"), "ends more than a day from now"),
    ],
    ids=["empty", "no time", "without a zone", "before all time", "before 1970", "backwards", "future", "far end"],
)
def test_what_is_no_span_is_the_usual_one_and_says_why(ends: tuple[str, str], why: str):
    span = shown(chosen("custom", *ends), NOW, False)
    assert span.name == "24h"
    assert why in span.wrong
    assert f"cannot be shown: {span.wrong}." in span_bar(span, ZoneInfo("UTC"), "")


def test_a_span_that_can_be_shown_has_nothing_wrong():
    until_tomorrow = chosen("custom", "2026-02-01T00:00:00Z", "2026-02-03T00:00:00Z")
    for choice in (chosen(), chosen("7d"), until_tomorrow):
        assert shown(choice, NOW, False).wrong == ""
    assert "cannot be shown" not in span_bar(shown(chosen(), NOW, False), ZoneInfo("UTC"), "")


def test_moving_keeps_the_length_and_follows_again_where_it_reaches_now():
    span = Shown(NOW - 24 * HOUR, NOW, True, "24h")
    earlier = moved(span, -1, NOW)
    assert earlier == (NOW - 48 * HOUR, NOW - 24 * HOUR)
    assert moved(Shown(*earlier, False, "custom"), 1, NOW + 60_000) is None
