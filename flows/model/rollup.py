"""Rollup rows and the requests by which the pipeline has the store sink heal them."""

from typing import Literal

import msgspec

Resolution = Literal["1m", "1h", "1d"]
RESOLUTIONS: tuple[Resolution, ...] = ("1m", "1h", "1d")

BUCKET_MS: dict[str, int] = {"1m": 60_000, "1h": 3_600_000, "1d": 86_400_000}
HOLD_MS = 900_000
"""How long the last value of a quantity is held. [ms]"""


class RollupRow(msgspec.Struct, frozen=True):
    """What one bucket [start, start + resolution) of one device came to.

    start       : [ms since 1970, UTC], a multiple of the resolution.
    order       : of the frame that caused this version of the row; newer replaces older.
    count       : readings with an event time in the bucket.
    values      : by column name (see quantities.rollup_columns and ENERGY_COLUMNS); zero energies and
                  quantities without coverage are absent.
    heat_source : counter, measured or estimated; "" without heat; of several, the least certain.
    """

    device_id: str
    resolution: Resolution
    start: int
    order: int
    count: int
    values: dict[str, float]
    heat_source: str = ""


class ClosedMinutes(msgspec.Struct, frozen=True):
    """Minute rows that readings closed in order, of many devices, as columns; see RollupRow.

    device_ids, orders : one a row.
    start, count       : int64. heat: int64, index in HEAT_SOURCES, −1 without.
    values             : float64, a row after the other, NaN where a row has no such value.
    """

    device_ids: list[str]
    orders: list[int]
    names: tuple[str, ...]
    start: bytes
    count: bytes
    heat: bytes
    values: bytes

    @property
    def device_id(self) -> str:
        """No one device's."""
        return ""

    @property
    def order(self) -> int:
        """The oldest: hours that close in the same batch are composed of these."""
        return min(self.orders)


class RollupBlock(msgspec.Struct, frozen=True):
    """Rollup rows of history of one device and resolution, oldest first, as columns; see RollupRow.

    They are of one order, and none replaces a row of more readings. Minutes come by whole hours, and replace none
    of an hour of more readings.
    start, count : int64. heat: int64, index in HEAT_SOURCES, −1 without.
    values       : float64, a row after the other, NaN where a row has no such value.
    """

    device_id: str
    resolution: Resolution
    order: int
    names: tuple[str, ...]
    start: bytes
    count: bytes
    heat: bytes
    values: bytes


class Refold(msgspec.Struct, frozen=True):
    """Compute the buckets [start, end) of a device anew from its raw rows, and what is composed of them.

    start, end : whole minutes. [ms since 1970, UTC]
    frontier   : event time of the device's newest reading; buckets that it has not passed stay open.
    """

    device_id: str
    order: int
    start: int
    end: int
    frontier: int


class Compose(msgspec.Struct, frozen=True):
    """A coarser bucket closed: compose it from the finer rows."""

    device_id: str
    order: int
    resolution: Literal["1h", "1d"]
    start: int
