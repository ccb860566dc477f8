"""Rows of one device as columns: what folds and stores compute with."""

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
