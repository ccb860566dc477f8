"""Ranges and ticks: y follows the data, x follows the site's clock."""

import math
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from panel_app import words
from panel_app.charts.frame import Floats

HEAD_ROOM = 0.05
_PLAIN = (1.0, 2.0, 5.0)
_OTHERS = (4.0, 3.0, 2.5, 1.5, 8.0, 6.0, 1.2)
"""Steps of an axis; together close enough to each other that enough ticks are always found."""

_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000
_CLOCK_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720)
_DAY_STEPS = (1, 2, 5, 10)
_MONTH_STEPS = (1, 2, 3, 6, 12)


class Tick(msgspec.Struct, frozen=True):
    """A place on the time axis. at: [ms since 1970, UTC]; midnight: stands out, with its date."""

    at: int
    label: str
    midnight: bool


def y_range(
    values: Iterable[Floats], floor: float, usual: tuple[float, float], with_zero: bool
) -> tuple[float, float]:
    """Fit an axis to what is drawn, with head room; at least `floor` wide, `usual` where there is nothing."""
    known = np.concatenate([*values, np.empty(0)])
    known = known[np.isfinite(known)]
    if not known.size:
        return usual
    low, high = float(known.min()), float(known.max())
    if with_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    room = (high - low) * HEAD_ROOM
    if with_zero and low == 0:
        return 0.0, max(high + room, floor)
    low, high = low - room, high + room
    lacking = max(0.0, floor - (high - low)) / 2
    return low - lacking, high + lacking


def y_ticks(low: float, high: float, most: int = 4) -> list[float]:
    """Choose `most` round values within a range or one less; plain steps may leave one out in the head room.

    most : 3 or 4.
    """
    room = (high - low) * HEAD_ROOM
    tries = ((_PLAIN, low, high), (_PLAIN, low + room if low else low, high - room), (_OTHERS, low, high))
    decade = 10.0 ** math.floor(math.log10(high - low))
    for mantissas, first_at, last_at in tries:
        for step in (mantissa * size for mantissa in mantissas for size in (decade, decade / 10)):
            first, last = math.ceil(first_at / step - 1e-9), math.floor(last_at / step + 1e-9)
            if most - 1 <= last - first + 1 <= most:
                return [round(n * step, 9) for n in range(first, last + 1)]
    raise AssertionError(f"no ticks between {low} and {high}")


def tick_label(value: float, ticks: list[float]) -> str:
    """Write a tick with as many digits as its axis needs."""
    digits = next((n for n in range(4) if all(math.isclose(t, round(t, n), abs_tol=1e-9) for t in ticks)), 4)
    return words.number(value, digits)


def x_ticks(start: float, end: float, zone: ZoneInfo, most: int) -> list[Tick]:
    """Choose about `most` ticks a span on the site's clock; one span more on each side is for panning.

    start, end: [ms since 1970, UTC].
    """
    length = max(end - start, _MINUTE)
    first, last = start - length, end + length
    minutes = next((m for m in _CLOCK_STEPS if length / (m * _MINUTE) <= most), None)
    if minutes:
        return [tick for tick in _clock_ticks(first, last, minutes, zone) if first <= tick.at <= last]
    days = next((d for d in _DAY_STEPS if length / (d * _DAY) <= most), None)
    dates = _day_dates(first, last, days, zone) if days else _month_dates(first, last, length, most, zone)
    at = ((when, _instant(datetime.combine(when, datetime.min.time()), zone)) for when in dates)
    return [
        Tick(ms, _date_label(ms, zone, days is not None), False)
        for _, ms in at
        if ms is not None and first <= ms <= last
    ]


def _clock_ticks(first: float, last: float, minutes: int, zone: ZoneInfo) -> Iterator[Tick]:
    for when in _dates(first, last, zone):
        for minute in range(0, 24 * 60, minutes):
            at = _instant(datetime.combine(when, datetime.min.time()) + timedelta(minutes=minute), zone)
            if at is not None:
                yield Tick(at, words.clock(at, zone) if minute else words.day(at, zone), minute == 0)


def _instant(wall: datetime, zone: ZoneInfo) -> int | None:
    """Find when a clock shows a time; None where the clocks skip it."""
    at = round(wall.replace(tzinfo=zone).timestamp() * 1000)
    return at if words.at(at, zone).replace(tzinfo=None) == wall else None


def _dates(first: float, last: float, zone: ZoneInfo) -> Iterator[date]:
    when, stop = words.at(round(first), zone).date(), words.at(round(last), zone).date()
    while when <= stop:
        yield when
        when += timedelta(days=1)


def _day_dates(first: float, last: float, days: int, zone: ZoneInfo) -> Iterator[date]:
    if days in (1, 2):
        return (when for when in _dates(first, last, zone) if when.toordinal() % days == 0)
    # The 1st, 11th and 21st (or 1st, 6th, …) of each month; the 31st would crowd the 1st.
    return (when for when in _dates(first, last, zone) if (when.day - 1) % days == 0 and when.day < 30)


def _month_dates(first: float, last: float, length: float, most: int, zone: ZoneInfo) -> Iterator[date]:
    months = next((m for m in _MONTH_STEPS if length / (m * 30 * _DAY) <= most), _MONTH_STEPS[-1])
    return (when for when in _dates(first, last, zone) if when.day == 1 and (when.month - 1) % months == 0)


def _date_label(ms: int, zone: ZoneInfo, with_day: bool) -> str:
    """Write `11 Jan`; of months `Feb`, in January the year."""
    _, day, month = words.day(ms, zone).split(" ")
    if with_day:
        return f"{day} {month}"
    return str(words.at(ms, zone).year) if month == "Jan" else month
