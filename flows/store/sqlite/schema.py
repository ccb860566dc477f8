"""Names, keys and codes of the tables; the columns of quantities are added as they first appear."""

from flows.model.quantities import ENERGY_COLUMNS, FLAGS, QUANTITIES, rollup_columns
from flows.model.reading import Clock
from flows.model.rollup import Resolution

TIME_BITS = 43
"""The key of a raw or rollup row is device · 2^43 + event time [ms]: good for 2^20 devices, until the year 2248.

Rows of one device lie together in time order, so a span is one range; measured in docs/reference/store.md.
"""

END_OF_TIME = 1 << TIME_BITS
"""No row is at or after it. [ms since 1970, UTC]"""

CLOCKS: tuple[Clock, ...] = ("device", "boot", "arrival")
"""Stored by their index, as HEAT_SOURCES are: never reorder."""

ROLLUP_TABLES: dict[Resolution, str] = {"1m": "rollup_1m", "1h": "rollup_1h", "1d": "rollup_1d"}

RAW_COLUMNS: tuple[str, ...] = tuple(q.name for q in QUANTITIES)
ROLLUP_COLUMNS: tuple[str, ...] = (*(column for q in QUANTITIES for column in rollup_columns(q)), *ENERGY_COLUMNS)
COLUMNS: dict[str, tuple[str, ...]] = {"raw": RAW_COLUMNS, **dict.fromkeys(ROLLUP_TABLES.values(), ROLLUP_COLUMNS)}
"""Every column of a quantity that a table can have, in the order in which they are read."""

FLAG_COLUMNS = frozenset(FLAGS)


def key_of(device: int, at: int) -> int:
    """Compose the key of a row. at: [ms since 1970, UTC]"""
    return (device << TIME_BITS) + at


def span_keys(device: int, start: int, end: int) -> tuple[int, int]:
    """Bound the keys of a device's rows in [start, end), whatever the times: never into another device's rows."""
    return key_of(device, min(max(start, 0), END_OF_TIME)), key_of(device, min(max(end, 0), END_OF_TIME))


def at_of(key: int) -> int:
    """Take the event time or bucket start from a key. [ms since 1970, UTC]"""
    return key & ((1 << TIME_BITS) - 1)


def device_of(key: int) -> int:
    """Take the device's number from a key."""
    return key >> TIME_BITS


def type_of(table: str, column: str) -> str:
    """Name the SQL type: flags of raw rows are 0 or 1, everything else is a number."""
    return "INTEGER" if table == "raw" and column in FLAG_COLUMNS else "REAL"
