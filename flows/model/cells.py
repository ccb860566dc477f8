"""cells: what a reading says as one row of numbers, so that a batch of readings is a matrix at once.

A row is float64, a column a quantity in the order of NAMES; NaN where there is no value, 0.0 or 1.0 for a flag.
Rows never outlive the process, since another version may know other quantities: what is saved says names.
"""

from collections.abc import Iterator, Mapping, Sequence
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.model.quantities import FLAG_NAMES, QUANTITIES, Quantity, Value
from flows.model.table import Numbers, Table

Tree = dict[str, "Quantity | Tree"]


def _tree() -> Tree:
    """Arrange the quantities of the payload as the payload does: groups, in them keys."""
    tree: Tree = {}
    for quantity in QUANTITIES:
        if quantity.path:
            *groups, key = quantity.path
            branch: Any = tree
            for group in groups:
                branch = branch.setdefault(group, {})
            branch[key] = quantity
    return tree


def _leaves(tree: Tree) -> Iterator[str]:
    for part in tree.values():
        if isinstance(part, Quantity):
            yield part.name
        else:
            yield from _leaves(part)


TREE = _tree()
SENT: tuple[str, ...] = tuple(_leaves(TREE))
"""Quantities of the payload, in its order."""

DERIVED_NAMES: tuple[str, ...] = tuple(q.name for q in QUANTITIES if q.origin == "derived")
NAMES: tuple[str, ...] = SENT + DERIVED_NAMES
COLUMN: dict[str, int] = {name: column for column, name in enumerate(NAMES)}
IS_FLAG: tuple[bool, ...] = tuple(name in FLAG_NAMES for name in NAMES)
NAN = float("nan")

_row = Struct(f"{len(NAMES)}d")
ROW_BYTES = _row.size
NOTHING = _row.pack(*[NAN] * len(NAMES))
"""The row of a reading without any value."""

NOTHING_DERIVED = NOTHING[: 8 * len(DERIVED_NAMES)]

_LAYOUTS: dict[tuple[str, ...], tuple[str, ...]] = {}
_MOST_LAYOUTS = 10_000
"""Of a fleet there are a few; a device that sends ever others must not fill the memory."""


def interned(names: tuple[str, ...]) -> tuple[str, ...]:
    """Give one and the same object for each list of names, as a rule: 10 000 devices share it."""
    if len(_LAYOUTS) >= _MOST_LAYOUTS:
        _LAYOUTS.clear()
    return _LAYOUTS.setdefault(names, names)


def cells_of(values: Mapping[str, Value]) -> bytes:
    """Lay out values, by quantity; what another version knew is left out."""
    row = [NAN] * len(NAMES)
    for name, value in values.items():
        if name in COLUMN:
            row[COLUMN[name]] = value
    return _row.pack(*row)


def numbers_of(cells: bytes) -> tuple[float, ...]:
    """Give a row's numbers, by column."""
    return _row.unpack(cells)


def values_of(cells: bytes) -> dict[str, Value]:
    """Give the values of a row, by quantity."""
    return {
        name: value == 1.0 if is_flag else value
        for name, is_flag, value in zip(NAMES, IS_FLAG, _row.unpack(cells), strict=True)
        if value == value
    }


def matrix_of(rows: Sequence[bytes]) -> Numbers:
    """Put rows one below the other: shape (n, columns), to be read only."""
    return np.frombuffer(b"".join(rows)).reshape(len(rows), len(NAMES))


def rows_of(matrix: Numbers) -> list[bytes]:
    """Take a matrix apart into rows."""
    data = matrix.tobytes()
    return [data[start : start + ROW_BYTES] for start in range(0, len(data), ROW_BYTES)]


def matrix_of_table(table: Table) -> Numbers:
    """Arrange a table's columns so; what another version knew is left out."""
    matrix = np.full((len(table.at), len(NAMES)), np.nan)
    known = [place for place, name in enumerate(table.names) if name in COLUMN]
    matrix[:, [COLUMN[table.names[place]] for place in known]] = table.values[:, known]
    return matrix


def alike(matrix: Numbers) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Group the rows that have values in the same columns: row numbers and these columns, both ascending."""
    if not len(matrix):
        return
    there = ~np.isnan(matrix)
    if (there == there[0]).all():
        yield np.arange(len(matrix)), np.flatnonzero(there[0])
        return
    patterns = np.packbits(there, axis=1)
    data, width = patterns.tobytes(), patterns.shape[1]
    groups: dict[bytes, list[int]] = {}
    for row in range(len(matrix)):
        groups.setdefault(data[row * width : (row + 1) * width], []).append(row)
    for rows in groups.values():
        yield np.array(rows), np.flatnonzero(there[rows[0]])


def compact(matrix: Numbers) -> tuple[list[tuple[str, ...]], list[bytes]]:
    """Leave out what rows do not have: of each its names, interned, and the numbers of these alone."""
    names: list[tuple[str, ...]] = [()] * len(matrix)
    packed = [b""] * len(matrix)
    for rows, columns in alike(matrix):
        theirs = interned(tuple([NAMES[column] for column in columns]))
        data, size = matrix[np.ix_(rows, columns)].tobytes(), 8 * len(columns)
        for place, row in enumerate(rows.tolist()):
            names[row], packed[row] = theirs, data[place * size : (place + 1) * size]
    return names, packed
