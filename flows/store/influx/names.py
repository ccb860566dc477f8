"""Names in InfluxDB: measurements, fields of our own, and how any text becomes a tag and back."""

import re
from urllib.parse import quote, unquote

READING = "sensor_reading"
ROLLUP = "sensor_rollup"

ORDER = "order"
"""Field of every row: the order of its cause."""
LATE = "late_ms"
"""Field of a raw row: arrival less event time. [ms]"""
CLOCK = "clock"
"""Field of a raw row that was not dated by the device's own clock."""
COUNT = "count"
HEAT_SOURCE = "heat_source"

STATE_AT = 0
"""Time of points of which there is one a series: state that is overwritten. [ms since 1970, UTC]"""

_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")


def tag_of(text: str) -> str:
    """Write any text as a tag value that needs no escaping; device ids stay as they are, "" becomes "%".

    Raises UnicodeEncodeError for half a character.
    """
    return text if _PLAIN.fullmatch(text) else "%" + quote(text, safe="")


def text_of(tag: str) -> str:
    """Read what `tag_of` wrote; a tag that others wrote is what it is."""
    return unquote(tag[1:]) if tag.startswith("%") else tag


def quoted(text: str) -> str:
    """Write a string field's value, quotes and all."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
