"""Reads an answer of `/series` into lines that break where nothing is known."""

from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from numpy.typing import NDArray

from panel_app import words

Floats = NDArray[np.float64]
Span = tuple[float, float]
Answer = Mapping[str, Any]

HOLD_MS = 900_000
STEP_MS = {"raw": 0, "1m": 60_000, "1h": 3_600_000, "1d": 86_400_000}
_CADENCES = 4
"""A raw value older than this many usual intervals is shown as held."""


class Line(msgspec.Struct, frozen=True):
    """A quantity in time; NaN where the line breaks.

    at, value        : known values; of buckets at their middle. [ms since 1970, UTC]
    low, high        : smallest and largest of each bucket, never NaN; empty at raw.
    held_at, held    : pieces in which the last value is held, at most 900 s each.
    """

    at: Floats
    value: Floats
    low: Floats
    high: Floats
    held_at: Floats
    held: Floats


class Flag(msgspec.Struct, frozen=True):
    """Share of time that a flag is on, from `at` on, for `step` ms (0: until the next). [0 … 1]

    seen : of each bucket, how much of it was seen at all; the share is of that. [0 … 1]
    """

    at: Floats
    share: Floats
    step: int
    seen: Floats


class Frame(msgspec.Struct, frozen=True):
    """What an answer says, ready to be drawn.

    start, end : the span answered; of a device whose first reading lies in it, from that on. [ms since 1970, UTC]
    asked      : where the answer begins: before `start` nothing is known, nor is it missing. [ms since 1970, UTC]
    now        : until when something can be known. [ms since 1970, UTC]
    step       : bucket length; 0 of raw. [ms]
    missing    : spans without any value, 900 s of holding taken off. [ms since 1970, UTC]
    estimated  : quantities that were not measured.
    """

    resolution: str
    zone: ZoneInfo
    asked: float
    start: float
    end: float
    now: float
    step: int
    readings: int
    coverage: float
    missing: list[Span]
    lines: dict[str, Line]
    flags: dict[str, Flag]
    estimated: frozenset[str]
    time: Floats

    @property
    def unknown(self) -> list[Span]:
        """Every span of which nothing is known, for whatever reason."""
        return [(self.asked, self.start), *self.missing] if self.asked < self.start else self.missing

    def has(self, name: str) -> bool:
        """Tell whether any value of a quantity is known."""
        return (name in self.lines and self.lines[name].at.size > 0) or (
            name in self.flags and self.flags[name].at.size > 0
        )


def read_frame(
    answer: Answer,
    names: Sequence[str],
    flags: Sequence[str],
    now: float | None = None,
    first: float | None = None,
) -> Frame:
    """Read an answer of `/series`; a field it lacks is a line without points.

    first : when the device's first reading was, None where that is not known. [now too: ms since 1970, UTC]
    """
    step = STEP_MS[answer["resolution"]]
    asked, end = words.instant(answer["start"]), words.instant(answer["end"])
    known_until = end if now is None else max(asked, min(end, now))
    start = first if first is not None and asked < first < known_until else asked
    stripped = [instant.rstrip("Z") for instant in answer["time"]]
    time = np.array(stripped, dtype="datetime64[ms]").astype(np.float64)
    values = answer["values"]
    holes = [(words.instant(left), words.instant(right)) for left, right in answer["gaps"]]
    coverage = max(answer["coverage"].values(), default=0.0)
    if known_until > start:
        # The answer's is of the span from where it begins.
        coverage = min(coverage * (known_until - asked) / (known_until - start), 1.0)
    return Frame(
        resolution=answer["resolution"],
        zone=words.zone_of(answer["timezone"]),
        asked=asked,
        start=start,
        end=end,
        now=known_until,
        step=step,
        readings=answer["readings"],
        coverage=coverage,
        missing=[(max(left, start), right) for left, right in _missing(holes, time, step) if right > start],
        lines={name: _line(time, values.get(name), holes, step, known_until) for name in names},
        flags={name: _flag(time, values.get(name), values.get(f"{name}_coverage"), step) for name in flags},
        estimated=frozenset({"heat_power"} if answer.get("heat_source") == "estimated" else ()),
        time=time,
    )


def _missing(holes: Sequence[Span], time: Floats, step: int) -> list[Span]:
    """Cut from each hole what is held at its start: nothing before the first value, nor where buckets are long."""
    if step > HOLD_MS:
        return list(holes)
    first = time[0] if time.size else np.inf
    begun = [(left + (HOLD_MS if left >= first else 0), right) for left, right in holes]
    return [(left, right) for left, right in begun if right > left]


def _line(time: Floats, given: Any, holes: Sequence[Span], step: int, until: float) -> Line:
    nothing = np.empty(0)
    if given is None:
        return Line(nothing, nothing, nothing, nothing, nothing, nothing)
    parts = given if isinstance(given, dict) else {"mean": given}
    columns = [np.array(parts[part], dtype=np.float64) for part in ("mean", "min", "max") if part in parts]
    seen = ~np.isnan(columns[0])
    # Buckets right after the last reading hold its value: they belong to the hole, not to the line.
    for left, right in holes:
        seen &= (time < left) | (time >= right) | (time + step <= left)
    at = time[seen] + step / 2
    columns = [column[seen] for column in columns]
    after = np.diff(at, append=max(until, at[-1])) if at.size else nothing
    long = np.flatnonzero(after > _usual(after[:-1], step))
    held_at, held = _held(at, columns[0], after, long, step)
    mean = columns[0]
    after_last = long[long < at.size - 1] + 1
    breaks = np.repeat(after_last, 2)
    # Two points at each break, left and right: there the line is NaN and the band is closed.
    sides = np.column_stack([after_last - 1, after_last]).ravel()
    low, high = (
        (np.insert(edge, breaks, mean[sides]) for edge in columns[1:]) if columns[1:] else (nothing, nothing)
    )
    return Line(np.insert(at, breaks, at[sides]), np.insert(mean, breaks, np.nan), low, high, held_at, held)


def _usual(intervals: Floats, step: int) -> float:
    """Length up to which two values are neighbours. [ms]"""
    if step:
        return step * 1.5
    return min(_CADENCES * float(np.median(intervals)), HOLD_MS) if intervals.size else 0.0


def _held(at: Floats, value: Floats, after: Floats, long: NDArray[np.intp], step: int) -> tuple[Floats, Floats]:
    if step > HOLD_MS or not long.size:
        return np.empty(0), np.empty(0)
    until = at[long] + np.minimum(after[long], HOLD_MS)
    held_at = np.column_stack([at[long], until, until]).ravel()
    held = np.column_stack([value[long], value[long], np.full(long.size, np.nan)]).ravel()
    return held_at, held


def _flag(time: Floats, given: Any, coverage: Any, step: int) -> Flag:
    """Read a flag; where nobody tells how much of each bucket was seen, all of it."""
    if given is None or isinstance(given, dict):
        return Flag(np.empty(0), np.empty(0), step, np.empty(0))
    share = np.array(given, dtype=np.float64)
    seen = np.ones(share.size) if coverage is None else np.nan_to_num(np.array(coverage, dtype=np.float64))
    known = ~np.isnan(share)
    return Flag(time[known], share[known], step, seen[known])
