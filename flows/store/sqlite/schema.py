"""Names, keys and codes of the tables, and how the cells of packed rows are scaled."""

from flows.model.quantities import BY_NAME, COUNTERS, ENERGY_COLUMNS, FLAG_NAMES, QUANTITIES, rollup_columns
from flows.model.reading import Clock
from flows.model.rollup import BUCKET_MS, Resolution
from flows.physics.derive import DERIVED

TIME_BITS = 43
"""The key of a raw or rollup row is device · 2^43 + event time [ms]: good for 2^20 devices, until the year 2248.

Rows of one device lie together in time order, so a span is one range; measured in docs/reference/store.md.
"""

END_OF_TIME = 1 << TIME_BITS
"""No row is at or after it. [ms since 1970, UTC]"""

CLOCKS: tuple[Clock, ...] = ("device", "boot", "arrival")
"""Stored by their index, as HEAT_SOURCES are: never reorder."""

ROLLUP_TABLES: dict[Resolution, str] = {"1m": "rollup_1m", "1h": "rollup_1h", "1d": "rollup_1d"}

RAW_COLUMNS: tuple[str, ...] = tuple(q.name for q in QUANTITIES if q.name not in DERIVED)
ROLLUP_COLUMNS: tuple[str, ...] = (*(column for q in QUANTITIES for column in rollup_columns(q)), *ENERGY_COLUMNS)
COLUMNS: dict[str, tuple[str, ...]] = {
    "raw": RAW_COLUMNS,
    "latest": tuple(q.name for q in QUANTITIES),
    **dict.fromkeys(ROLLUP_TABLES.values(), ROLLUP_COLUMNS),
}
"""Every column that the rows packed in a table can have; what derives from a raw row alone is not stored."""


_MINUTE_MS = float(BUCKET_MS["1m"])
"""Means of decimals over a minute are multiples of a decimal divided by it."""

_INT32_MAX = 2**31 - 1


def key_of(device: int, at: int) -> int:
    """Compose the key of a row. at: [ms since 1970, UTC]"""
    return (device << TIME_BITS) + at


def span_keys(device: int, start: int, end: int) -> tuple[int, int]:
    """Bound the keys of a device's rows in [start, end), whatever the times: never into another device's rows."""
    return key_of(device, min(max(start, 0), END_OF_TIME)), key_of(device, min(max(end, 0), END_OF_TIME))


def at_of(key: int) -> int:
    """Take the event time or bucket start from a key. [ms since 1970, UTC]"""
    return key & ((1 << TIME_BITS) - 1)


def scales_of(column: str) -> tuple[float, float]:
    """Scale a column's cells for packing: coarse and fine, 0 and 0 of what mostly is 0 or 1 (see packing).

    Sensors send decimals: 45.2, 230.5, 1959.25, 45.1875. The file keeps the scales of each of its columns, so
    that these may change.
    """
    if column in FLAG_NAMES or column.endswith(("_share", "_coverage")):
        return 0.0, 0.0
    if column in COUNTERS or column.startswith("seconds_"):
        return 1000.0, 1000.0
    if column.endswith("_mean"):
        small = BY_NAME[column.removesuffix("_mean")].high <= _INT32_MAX / (100.0 * _MINUTE_MS)
        return 100.0, (100.0 if small else 10.0) * _MINUTE_MS
    return 100.0, 10_000.0
