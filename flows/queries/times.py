"""Instants as clients write them, and many at once as they read them: ISO 8601, UTC, milliseconds."""

from datetime import datetime

import numpy as np

from flows.errors import BadQuery

LATEST_MS = 7_258_118_399_999
"""2199-12-31T23:59:59.999Z: stores and calendars go further, so a day more overflows nothing. [ms]"""


def iso_all(times: list[int]) -> list[str]:
    """Format many instants, each as `iso` does, at a tenth of its time."""
    texts: list[str] = np.datetime_as_string(np.array(times, dtype="datetime64[ms]"), timezone="UTC").tolist()
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
