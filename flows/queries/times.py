"""Instants as clients write and read them: ISO 8601, UTC, milliseconds."""

from datetime import UTC, datetime

from flows.errors import BadQuery

LATEST_MS = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z. [ms]"""


def iso(ms: int) -> str:
    """Format an instant. ms: [ms since 1970, UTC]."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


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
        raise BadQuery(name, text, "must be between 1970 and 9999")
    return ms
