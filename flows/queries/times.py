"""Instants as clients write them, and many at once as they read them: ISO 8601, UTC, milliseconds."""

from datetime import datetime

from flows.errors import BadQuery
from flows.model.times import HOUR_MS, iso

LATEST_MS = 7_258_118_399_999
"""2199-12-31T23:59:59.999Z: stores and calendars go further, so a day more overflows nothing. [ms]"""

_SECONDS = [f"{second // 60:02d}:{second % 60:02d}" for second in range(3600)]
_MS = [f".{ms:03d}Z" for ms in range(1000)]


def iso_all(times: list[int]) -> list[str]:
    """Format many instants, ascending: as `iso`, a fifth of its time, because an hour's are alike."""
    texts: list[str] = []
    hour, prefix = -1, ""
    for at in times:
        if at // HOUR_MS != hour:
            hour = at // HOUR_MS
            prefix = iso(hour * HOUR_MS)[:14]
        seconds, ms = divmod(at - hour * HOUR_MS, 1000)
        texts.append(prefix + _SECONDS[seconds] + _MS[ms])
    return texts


def instant(name: str, text: str) -> int:
    """Read an instant with its time zone. [ms since 1970, UTC]

    Raises BadQuery that names the parameter.
    """
    allowed = "must be ISO 8601 with a time zone, such as 2025-01-31T12:00:00Z (in a URL, + is written %2B)"
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise BadQuery(name, text, allowed) from None
    if at.tzinfo is None:
        raise BadQuery(name, text, allowed)
    try:
        ms = round(at.timestamp() * 1000)
    except (OverflowError, ValueError):
        ms = -1
    if not 0 <= ms <= LATEST_MS:
        raise BadQuery(name, text, "must be between 1970 and 2199")
    return ms
