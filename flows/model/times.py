"""Instants: how they are written, and the clock, for the edges that may read it. Nodes take theirs from ticks."""

import re
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

_DURATION = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": HOUR_MS, "d": DAY_MS, "w": 7 * DAY_MS}
_EPOCH, _MS = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
_NAIVE_EPOCH = _EPOCH.replace(tzinfo=None)


def now_ms() -> int:
    """Read the clock. [ms since 1970, UTC]"""
    return time.time_ns() // 1_000_000


def iso(ms: int) -> str:
    """Format an instant: ISO 8601, UTC, milliseconds. ms: [ms since 1970, UTC]."""
    return f"{_to_the_second(ms // 1000)}.{ms % 1000:03d}Z"


@lru_cache(1_000)
def _to_the_second(s: int) -> str:
    """Most times are asked for beside another of the same second: measured at, arrived at."""
    return datetime.fromtimestamp(s, UTC).isoformat()[:-6]


def ms_of(when: datetime) -> int:
    """Turn an instant into a number, without fractions; a time that names no zone is UTC. [ms since 1970, UTC]"""
    return (when - (_EPOCH if when.tzinfo else _NAIVE_EPOCH)) // _MS


def duration_ms(text: str) -> int:
    """Turn `30d` into milliseconds. Raises ValueError that says what it must be."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise ValueError("must be a whole number of s, m, h, d or w, such as 30d")
    return int(found[1]) * _UNIT_MS[found[2]]


def is_zone(name: str) -> bool:
    """Tell an IANA time zone, such as Europe/Berlin."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
