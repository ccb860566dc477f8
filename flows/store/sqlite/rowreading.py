"""Packed rows as tables: for the reader, and for the writer's healing."""

import sqlite3
from collections.abc import Sequence

import msgspec
import numpy as np

from flows.model.cells import DERIVED_NAMES
from flows.model.device import DeviceMetadata
from flows.model.quantities import QUANTITIES
from flows.model.table import RollupTable, Table, Times
from flows.physics.derive import derived_table
from flows.store.sqlite.packing import Layout, unpack
from flows.store.sqlite.schema import TIME_BITS, span_keys

ROLLUP = "key, ord, count, heat_source, body"
"""Columns of the rollup tables."""

_ORDER = {quantity.name: place for place, quantity in enumerate(QUANTITIES)}
_metadata_decoder = msgspec.json.Decoder(list[DeviceMetadata])


def select_span(
    db: sqlite3.Connection, table: str, columns: str, device: int, start: int, end: int, rest: str = ""
) -> sqlite3.Cursor:
    """Read columns of one device's rows in [start, end). rest: ORDER BY and LIMIT, by default in time order."""
    return db.execute(
        f"SELECT {columns} FROM {table} WHERE key >= ? AND key < ? {rest or 'ORDER BY key'}",
        span_keys(device, start, end),
    )


def times_of(keys: Sequence[int] | Times) -> Times:
    """Take the event times or bucket starts from keys. [ms since 1970, UTC]"""
    return np.array(keys, dtype=np.int64) & ((1 << TIME_BITS) - 1)


def history_of(db: sqlite3.Connection, device: int) -> list[DeviceMetadata]:
    """Read a device's metadata history, oldest first."""
    (text,) = db.execute("SELECT metadata FROM device WHERE device = ?", (device,)).fetchone()
    return history_in(text)


def history_in(text: str | None) -> list[DeviceMetadata]:
    """Decode a device's metadata history, oldest first."""
    return _metadata_decoder.decode(text) if text is not None else []


def raw_table(
    layout: Layout, keys: Sequence[int], bodies: Sequence[bytes], history: list[DeviceMetadata]
) -> Table:
    """Unpack raw rows of a device, oldest first, and derive what follows from each; names as in quantities.py.

    Quantities that none of the rows has are left out.
    """
    sent = Table(times_of(keys), layout.names, unpack(layout, bodies))
    derived = derived_table(sent, history)
    values = np.concatenate([sent.values, derived.values], axis=1)
    names = (*layout.names, *DERIVED_NAMES)
    there = np.flatnonzero((values == values).any(axis=0)).tolist()
    there.sort(key=lambda column: _ORDER[names[column]])
    return Table(sent.at, tuple(names[column] for column in there), values[:, there])


def rollup_table(layout: Layout, rows: Sequence[tuple[int, int, int, int | None, bytes]]) -> RollupTable:
    """Unpack rollup rows: (key, ord, count, heat_source, body). Columns that none of them has are left out.

    start : keys, of rows of several devices.
    """
    keys, orders, counts, heats, bodies = zip(*rows, strict=True) if rows else ((),) * 5
    values = unpack(layout, bodies)
    there = np.flatnonzero((values == values).any(axis=0))
    return RollupTable(
        np.array(keys, dtype=np.int64),
        np.array(orders, dtype=np.int64),
        np.array(counts, dtype=np.int64),
        np.array([-1 if heat is None else heat for heat in heats], dtype=np.int64),
        tuple(layout.names[column] for column in there),
        values[:, there],
    )
