"""Instants and lengths as people write them. [ms since 1970, UTC]"""

from __future__ import annotations

import re
from datetime import datetime, timezone

UTC = timezone.utc  # noqa: UP017 (Python 3.8 has no datetime.UTC)
HOUR_S, DAY_S = 3600, 86400

SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)(s|min|m|h|d|w)")
SPAN_S = {"s": 1, "m": 60, "min": 60, "h": HOUR_S, "d": DAY_S, "w": 7 * DAY_S}


def parse_span(text: str) -> int:
    """Read a length such as 14d, 36h or 10min. [ms] Raises ValueError with a sentence."""
    match = SPAN.fullmatch(text)
    if not match or float(match[1]) <= 0.0:
        raise ValueError(f"{text!r} is no length such as 14d, 36h or 10min")
    return int(float(match[1]) * SPAN_S[match[2]] * 1000)


def parse_time(text: str, now_ms: int) -> int:
    """Read ISO 8601 (without a zone: UTC), or a length before or after now: -3d, +6h. [ms since 1970]"""
    if text[:1] in ("-", "+") and SPAN.fullmatch(text[1:]):
        return now_ms + (-1 if text[0] == "-" else 1) * parse_span(text[1:])
    try:
        at = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)
    except ValueError:
        raise ValueError(f"{text!r} is no time such as 2026-01-31T12:00 (UTC) or -3d") from None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return round(at.timestamp() * 1000)


def iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
