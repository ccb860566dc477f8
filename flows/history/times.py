"""Times as other systems write them."""

from collections.abc import Callable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from flows.history.tally import Tally
from flows.model.history import OLDEST_MS
from flows.model.reading import FUTURE_MS
from flows.model.table import Times
from flows.model.times import ms_of, now_ms

UNREADABLE, EARLY, LATE = -1, -2, -3
"""Stand for what cannot be read, is before 2000, or after now."""

UNDATED = {UNREADABLE: "no time", EARLY: "a time before 2000", LATE: "a time after now"}
"""Why such a row is refused."""


class TimeReader:
    """Reads texts as instants. [ms since 1970, UTC]

    A local time that a clock shows twice, in autumn, is the first one until a text before it has passed that.
    """

    def __init__(self, form: str, timezone: str) -> None:
        self._zone = None if timezone == "UTC" else ZoneInfo(timezone)
        self._offsets: dict[datetime, tuple[int, int]] = {}
        self._newest, self._latest = 0, now_ms() + FUTURE_MS
        if form == "iso":
            self._parse: Callable[[str], datetime] = datetime.fromisoformat
        else:
            self._parse = lambda text: datetime.strptime(text, form)  # noqa: DTZ007 (the zone is added below)
        self._factor = {"unix": 1000.0, "unix_ms": 1.0}.get(form)

    def read(self, cells: Sequence[str]) -> Times:
        """Read a column; a key of UNDATED where a text gives no time."""
        one = self._of_text if self._factor is None else self._of_number
        at = np.fromiter(map(one, cells), np.int64, len(cells))
        at[(at < OLDEST_MS) & (at != UNREADABLE)] = EARLY
        at[at > self._latest] = LATE
        return at

    def _of_number(self, text: str) -> int:
        try:
            at = round(float(text) * self._factor)  # type: ignore[operator]
        except (ValueError, OverflowError):
            return UNREADABLE
        return min(max(at, 0), 1 << 62)

    def _of_text(self, text: str) -> int:
        try:
            when = self._parse(text.strip())
        except ValueError:
            return UNREADABLE
        at = ms_of(when)
        if when.tzinfo is not None:
            return at
        if self._zone is not None:
            first, second = self._offset(when)
            again = at - second
            at -= first
            if again > at >= 0 and at <= self._newest:
                at = again
        self._newest = max(self._newest, at)
        return at

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


def refuse_undated(at: Times, texts: Sequence[str], rows: Times, column: str, form: str, tally: Tally) -> None:
    """Count what a TimeReader could not give a time. rows: their numbers in the file; form: of the times."""
    for mark, reason in UNDATED.items():
        places = np.flatnonzero(at == mark)
        if len(places):
            first = int(places[0])
            told = f'row {rows[first]}: {texts[first][:60]!r} (time_format "{form}")'
            tally.refuse(f"{reason} in {column}", told, len(places))


def rfc3339(text: str) -> int:
    """Read a time of InfluxDB, up to nanoseconds; UNREADABLE where it is none. [ms since 1970, UTC]"""
    try:
        return ms_of(datetime.fromisoformat(text))
    except ValueError:
        return UNREADABLE
