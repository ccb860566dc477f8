"""Which span is shown, by what was chosen."""

from types import SimpleNamespace

import pytest

from panel_app.spans import Shown, moved, shown

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
