"""Raw rows of a device in a span, and the one that follows: what folds and episodes are found in."""

from collections.abc import Collection

import numpy as np

from flows.model.rollup import HOLD_MS
from flows.model.table import Table
from flows.store.influx.catalog import Catalog
from flows.store.influx.checking import END_OF_TIME
from flows.store.influx.names import ORDER
from flows.store.influx.rowreading import RawRows, raw_times, read_raw

_OWN = (ORDER,)


def read_on(
    catalog: Catalog, device_id: str, start: int, end: int, names: Collection[str] | None = None
) -> RawRows:
    """Read rows of [start, end) and what follows up to HOLD_MS later, at least the next row if there is one.

    names : of the payload's quantities, None: all.
    """
    rows = read_raw(catalog.server, device_id, start, end + HOLD_MS, names, own=_OWN)
    if len(rows.table.at) and rows.table.at[-1] >= end:
        return rows
    after = first_after(catalog, device_id, end + HOLD_MS - 1)
    if after is None:
        return rows
    return _joined(rows, read_raw(catalog.server, device_id, after, after + 1, names, own=_OWN))


def first_after(catalog: Catalog, device_id: str, at: int) -> int | None:
    """Find the first row after a time. [ms since 1970, UTC]"""
    if at >= catalog.raw.newest.get(device_id, -1):
        return None
    found = raw_times(catalog.server, device_id, at + 1, END_OF_TIME, limit=1)
    return int(found[0]) if len(found) else None


def cut_behind(table: Table, end: int) -> Table:
    """Take the rows up to the first at or after a time. [ms since 1970, UTC]"""
    rows = int(np.searchsorted(table.at, end)) + 1
    return Table(table.at[:rows], table.names, table.values[:rows])


def _joined(rows: RawRows, after: RawRows) -> RawRows:
    """Put rows behind rows; their columns may differ."""
    first, second = rows.table, after.table
    names = tuple(dict.fromkeys((*first.names, *second.names)))
    values = np.full((len(first.at) + len(second.at), len(names)), np.nan)
    values[: len(first.at), [names.index(name) for name in first.names]] = first.values
    values[len(first.at) :, [names.index(name) for name in second.names]] = second.values
    return RawRows(
        Table(np.concatenate([first.at, second.at]), names, values),
        np.concatenate([rows.late, after.late]),
        np.concatenate([rows.order, after.order]),
        rows.clock + after.clock,
    )
