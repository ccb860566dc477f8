"""What can never be stored is refused before anything of its batch is written."""

from collections.abc import Iterable

import numpy as np

from flows.errors import RowRefused
from flows.model.quantities import ENERGY_COLUMNS, QUANTITIES, rollup_columns
from flows.model.rollup import ClosedMinutes, RollupBlock
from flows.model.rows import RawRow, StoreItem

END_OF_TIME = 1 << 43
"""No row is at or after it, as in the embedded store. [ms since 1970, UTC]"""

MOST_ORDER = 1 << 53
"""Orders are floats in InfluxDB: whole numbers up to this one are told apart."""

ROLLUP_COLUMNS = {*ENERGY_COLUMNS, *(column for each in QUANTITIES for column in rollup_columns(each))}


def check(items: Iterable[StoreItem]) -> None:
    """Raises RowRefused that names what can never be stored, and why. Raw rows have no other columns than ours."""
    times: list[int] = []
    orders: list[int] = []
    for item in items:
        if type(item) is RawRow:
            times.append(item.at)
            orders.append(item.order)
        elif isinstance(item, RollupBlock | ClosedMinutes):
            if not ROLLUP_COLUMNS.issuperset(item.names):
                name = min(set(item.names) - ROLLUP_COLUMNS)
                raise RowRefused(f"{name!r} is no column of rollup: quantities.py does not know it")
            starts = np.frombuffer(item.start, np.int64)
            times += [int(starts.min(initial=0)), int(starts.max(initial=0))]
            orders += item.orders if isinstance(item, ClosedMinutes) else [item.order]
        else:
            orders.append(getattr(item, "order", 0))
    for at in (min(times, default=0), max(times, default=0)):
        if not 0 <= at < END_OF_TIME:
            raise RowRefused(f"{at} ms is no time the store can hold: 1970 to 2248")
    if max(orders, default=0) > MOST_ORDER:
        raise RowRefused(f"order {max(orders)} is more than {MOST_ORDER}")
