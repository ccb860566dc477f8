"""Times as other systems write them."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import chain
from zoneinfo import ZoneInfo

import numpy as np

from flows.history.tally import Tally
from flows.history.twice import Twice
from flows.model.history import OLDEST_MS
from flows.model.reading import FUTURE_MS
from flows.model.table import Times
from flows.model.times import ms_of, now_ms

UNREADABLE, EARLY, LATE, SKIPPED = -1, -2, -3, -4
"""Stand for what cannot be read, is before 2000, after now, or shown by no clock of the timezone."""

UNDATED = {
    UNREADABLE: "no time",
    EARLY: "a time before 2000",
    LATE: "a time after now",
    SKIPPED: "a time that the timezone skips",
}
"""Why such a row is refused."""


class TimeReader:
    """Reads texts as instants. [ms since 1970, UTC]"""

    def __init__(self, form: str, timezone: str) -> None:
        self._zone = None if timezone == "UTC" else ZoneInfo(timezone)
        self._offsets: dict[datetime, tuple[int, int]] = {}
        self._twice = Twice()
        if form == "iso":
            self._parse: Callable[[str], datetime] = datetime.fromisoformat
        else:
            self._parse = lambda text: datetime.strptime(text, form)  # noqa: DTZ007 (the zone is added below)
        self._factor = {"unix": 1000.0, "unix_ms": 1.0}.get(form)

    def read(self, cells: Sequence[str]) -> Times:
        """Read a column; a key of UNDATED where a text gives no time."""
        if self._factor is not None:
            return in_time(np.fromiter(map(self._of_number, cells), np.int64, len(cells)))
        both = chain.from_iterable(map(self._of_text, cells))
        first, second = np.fromiter(both, np.int64, 2 * len(cells)).reshape(-1, 2).T
        at, again = in_time(first), in_time(second)
        rows = np.flatnonzero(at >= 0)  # the others say nothing about their neighbours
        at[rows] = self._twice.settle(at[rows], np.maximum(at[rows], again[rows]))
        return at

    def _of_number(self, text: str) -> int:
        try:
            at = round(float(text) * self._factor)  # type: ignore[operator]
        except (ValueError, OverflowError):
            return UNREADABLE
        return min(max(at, 0), 1 << 62)

    def _of_text(self, text: str) -> tuple[int, int]:
        """Read the instants at which a clock shows this; the same where it does so once, SKIPPED where never."""
        try:
            when = self._parse(text.strip())
        except ValueError:
            return UNREADABLE, UNREADABLE
        at = ms_of(when)
        if when.tzinfo is not None or self._zone is None:
            return at, at
        first, second = self._offset(when)
        if second > first:  # in spring; read as the hour after it, it would put the real rows of that out of order
            return SKIPPED, SKIPPED
        return at - first, at - second

    def _offset(self, when: datetime) -> tuple[int, int]:
        """Distances from UTC of a local time, as it is shown first and again. [ms]"""
        hour = when.replace(minute=when.minute // 15 * 15, second=0, microsecond=0)
        known = self._offsets.get(hour)
        if known is None:
            both = (hour.replace(tzinfo=self._zone, fold=fold).utcoffset() for fold in (0, 1))
            first, second = (round(offset.total_seconds() * 1000) if offset else 0 for offset in both)
            known = self._offsets[hour] = (first, second)
            if len(self._offsets) > 10_000:
                self._offsets.clear()
        return known


def in_time(at: Times) -> Times:
    """Mark what is before 2000 or after now, as UNDATED has it; what is UNREADABLE or SKIPPED stays that."""
    wrong = [at == UNREADABLE, at == SKIPPED, at < OLDEST_MS, at > now_ms() + FUTURE_MS]
    return np.select(wrong, [UNREADABLE, SKIPPED, EARLY, LATE], at)


def refuse_undated(
    at: Times,
    texts: Sequence[str] | Times,
    rows: Times,
    column: str,
    form: str,
    tally: Tally,
    timezone: str = "UTC",
) -> None:
    """Count what has no time, as UNDATED has it.

    texts : the times as they are written. rows: their numbers in the source. form, timezone: of the times.
    """
    for mark, reason in UNDATED.items():
        places = np.flatnonzero(at == mark)
        if len(places):
            first = int(places[0])
            why = _winter_all_year(timezone) if mark == SKIPPED else f'time_format "{form}"'
            told = f"row {rows[first]}: {str(texts[first])[:60]!r} ({why})"
            tally.refuse(f"{reason} in {column}", told, len(places))


def _winter_all_year(timezone: str) -> str:
    """Say which zone a logger needs whose clock nobody sets: else all its summer is wrong, not only these rows."""
    zone = ZoneInfo(timezone)
    offsets = [datetime(2024, month, 1, tzinfo=zone).utcoffset() or timedelta() for month in (1, 7)]
    hours, rest = divmod(min(offsets), timedelta(hours=1))
    # The signs of these names are those of POSIX: Etc/GMT-1 is an hour ahead of UTC. There are none of half hours.
    fixed = "one that never changes" if rest else f'"Etc/GMT{-hours:+d}"' if hours else '"UTC"'
    return f'timezone "{timezone}"; of a logger that keeps winter time all year it must be {fixed}'


def rfc3339(text: str) -> int:
    """Read a time of InfluxDB, up to nanoseconds; UNREADABLE where it is none. [ms since 1970, UTC]"""
    try:
        return ms_of(datetime.fromisoformat(text))
    except ValueError:
        return UNREADABLE
