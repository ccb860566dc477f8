"""Rows of one device as columns: what folds and stores compute with."""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Times = NDArray[np.int64]
Amount = TypeVar("Amount", float, Numbers)
"""One number or a column of them: what a plain formula takes."""


class Table(msgspec.Struct, frozen=True):
    """Raw rows of one device, event times strictly ascending.

    at     : event times, shape (n,). [ms since 1970, UTC]
    names  : what the columns are.
    values : shape (n, len(names)); NaN is a missing value, a flag is 0.0 or 1.0.
    """

    at: Times
    names: tuple[str, ...]
    values: Numbers


class RollupTable(msgspec.Struct, frozen=True):
    """Rollup rows of one device and resolution, oldest first.

    start  : starts of the buckets, shape (n,). [ms since 1970, UTC]
    order  : see RollupRow; so are count and heat_source, here as index in HEAT_SOURCES, −1 without heat.
    names  : what the columns are.
    values : shape (n, len(names)); NaN where a row has no such value.
    """

    start: Times
    order: Times
    count: Times
    heat: Times
    names: tuple[str, ...]
    values: Numbers


def table_of(at: list[int], rows: list[dict[str, Any]], names: tuple[str, ...]) -> Table:
    """Make a table of dicts. at: ascending."""
    values = [[row.get(name, np.nan) for name in names] for row in rows]
    return Table(
        np.array(at, dtype=np.int64), names, np.array(values, dtype=np.float64).reshape(len(at), len(names))
    )


def rows_at(table: RollupTable, places: Times | slice) -> RollupTable:
    """Take rows of a table, by their places."""
    start, order, count, heat = (part[places] for part in (table.start, table.order, table.count, table.heat))
    return RollupTable(start, order, count, heat, table.names, table.values[places])


def stacked(tables: Sequence[RollupTable]) -> RollupTable:
    """Put tables one below the other; their columns may differ."""
    names = tuple(dict.fromkeys(name for table in tables for name in table.names))
    start, order, count, heat = (
        np.concatenate([getattr(table, part) for table in tables]) for part in ("start", "order", "count", "heat")
    )
    values = np.full((len(start), len(names)), np.nan)
    first, place = 0, {name: column for column, name in enumerate(names)}
    for table in tables:
        end = first + len(table.start)
        values[first:end, [place[name] for name in table.names]] = table.values
        first = end
    return RollupTable(start, order, count, heat, names, values)
