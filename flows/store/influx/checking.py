"""What can never be stored is refused before anything of its batch is written."""

from collections.abc import Iterable

import numpy as np

from flows.errors import RowRefused
from flows.model.quantities import BY_NAME, ENERGY_COLUMNS, QUANTITIES, rollup_columns
from flows.model.rollup import ClosedMinutes, RollupBlock
from flows.model.rows import RawRow, StoreItem

END_OF_TIME = 1 << 43
"""No row is at or after it, as in the embedded store. [ms since 1970, UTC]"""

MOST_ORDER = 1 << 53
"""Orders are floats in InfluxDB: whole numbers up to this one are told apart."""

ROLLUP_COLUMNS = {*ENERGY_COLUMNS, *(column for each in QUANTITIES for column in rollup_columns(each))}


def check(items: Iterable[StoreItem]) -> None:
    """Raises RowRefused that names the item that can never be stored, and why."""
    known = BY_NAME.keys()
    for item in items:
        if type(item) is RawRow:
            if not item.values.keys() <= known:
                raise _no_column("raw", min(item.values.keys() - known))
            _check_times(item.at, item.at)
        elif isinstance(item, RollupBlock | ClosedMinutes):
            if not ROLLUP_COLUMNS.issuperset(item.names):
                raise _no_column("rollup", min(set(item.names) - ROLLUP_COLUMNS))
            starts = np.frombuffer(item.start, np.int64)
            _check_times(int(starts.min(initial=0)), int(starts.max(initial=0)))
        order = max(item.orders) if isinstance(item, ClosedMinutes) else getattr(item, "order", 0)
        if order > MOST_ORDER:
            raise RowRefused(f"order {order} is more than {MOST_ORDER}")


def _check_times(first: int, last: int) -> None:
    for at in (first, last):
        if not 0 <= at < END_OF_TIME:
            raise RowRefused(f"{at} ms is no time the store can hold: 1970 to 2248")


def _no_column(table: str, name: str) -> RowRefused:
    return RowRefused(f"{name!r} is no column of {table}: quantities.py does not know it")
