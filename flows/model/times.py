"""Instants: how they are written, and the clock, for the edges that may read it. Nodes take theirs from ticks."""

import time
from datetime import UTC, datetime

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def now_ms() -> int:
    """Read the clock. [ms since 1970, UTC]"""
    return time.time_ns() // 1_000_000


def iso(ms: int) -> str:
    """Format an instant: ISO 8601, UTC, milliseconds. ms: [ms since 1970, UTC]."""
    return f"{datetime.fromtimestamp(ms // 1000, UTC).isoformat()[:-6]}.{ms % 1000:03d}Z"
