"""Upserts of readings, rollups and devices: newer orders replace, older ones are ignored."""

from collections.abc import Sequence
from itertools import chain, compress
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from flows.errors import RowRefused
from flows.model.rollup import BUCKET_MS, ClosedMinutes, Resolution, RollupBlock
from flows.model.rows import DeviceRow, LatestRow
from flows.model.table import Numbers, RollupTable, Times, rows_at
from flows.store.sqlite.catalog import Catalog, ages_of
from flows.store.sqlite.packing import pack
from flows.store.sqlite.schema import END_OF_TIME, ROLLUP_TABLES, key_of

PACKED_AT_ONCE = 2000
"""Rows packed in one go: more do not stay in a processor's cache."""

ROWS_A_STATEMENT = 20

_NEWER, _NOT_OLDER = "excluded.ord > ord", "excluded.ord >= ord"


def by_names(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, ...], list[int]]:
    """Tell which rows have the same names in the same order."""
    alike: dict[tuple[str, ...], list[int]] = {}
    for number, row in enumerate(rows):
        alike.setdefault(tuple(row), []).append(number)
    return alike


def matrix(
    names: Sequence[str], rows: Sequence[dict[str, Any]], alike: dict[tuple[str, ...], list[int]], parts: int = 1
) -> Numbers:
    """Arrange rows by columns; NaN where a row has no such value; what is not among the columns is left out.

    alike : see by_names.
    parts : of how many numbers a value is; shape (n, columns · parts).
    """
    columns = {name: column for column, name in enumerate(names)}
    out = np.full((len(rows), len(names), parts), np.nan)
    for theirs, numbers in alike.items():
        mine = rows if len(alike) == 1 else [rows[number] for number in numbers]
        cells = chain.from_iterable(map(dict.values, mine))
        flat = cells if parts == 1 else chain.from_iterable(cells)
        block = np.fromiter(flat, dtype=np.float64, count=len(mine) * len(theirs) * parts)
        kept = [place for place, name in enumerate(theirs) if name in columns]
        to = [columns[theirs[place]] for place in kept]
        block = block.reshape(len(mine), len(theirs), parts)[:, kept]
        if len(alike) == 1:
            out[:, to] = block
        else:
            out[np.array(numbers)[:, None], to] = block
    return out.reshape(len(rows), len(names) * parts)


def insert(catalog: Catalog, table: str, rows: list[Any], otherwise: str) -> int:
    """Insert rows (key, …), or do otherwise where one is there; returns how many were inserted or changed.

    Sorted, because neighbours in the table lie on one page, and some to a statement: a quarter cheaper.
    """
    rows.sort(key=itemgetter(0))
    row = f"({', '.join('?' * len(rows[0]))})" if rows else ""
    changed, whole = 0, len(rows) - len(rows) % ROWS_A_STATEMENT
    for size, some in ((ROWS_A_STATEMENT, rows[:whole]), (1, rows[whole:])):
        if some:
            statement = f"INSERT INTO {table} VALUES {', '.join([row] * size)} ON CONFLICT DO {otherwise}"
            flat = [tuple(chain.from_iterable(some[n : n + size])) for n in range(0, len(some), size)]
            changed += catalog.db.executemany(statement, flat if size > 1 else some).rowcount
    return changed


def keyable(at: int) -> int:
    """Check that a row can have this time. Raises RowRefused."""
    if 0 <= at < END_OF_TIME:
        return at
    raise RowRefused(f"{at} ms is no time the store can hold: 1970 to 2248")


def write_closed(catalog: Catalog, blocks: list[ClosedMinutes]) -> None:
    """Write minutes of the stream; those of devices since forgotten, or let go by retention, do not come back."""
    forgotten, before = catalog.forgotten, catalog.minute_before
    for block in blocks:
        rows = _table_of(block, np.array(block.orders))
        wanted = [
            order > forgotten.get(device_id, -1) and at >= before.get(device_id, 0)
            for device_id, order, at in zip(block.device_ids, block.orders, rows.start.tolist(), strict=True)
        ]
        keys = [key_of(catalog.device(device_id), 0) for device_id in compress(block.device_ids, wanted)]
        rows = rows_at(rows, np.flatnonzero(wanted))
        rows.start[:] += np.array(keys, dtype=np.int64)
        write_rollup_table(catalog, "1m", rows, _NEWER)


def write_blocks(catalog: Catalog, blocks: list[RollupBlock]) -> None:
    """Write whole rows of history; none replaces a row of more readings, nor minutes those of a richer hour."""
    for block in blocks:
        rows = _table_of(block, np.full(len(block.start) // 8, block.order))
        condition = f"{_NEWER} AND excluded.count >= count"
        kept = rows.start >= 0
        if block.resolution == "1m":
            kept = rows.start >= catalog.minute_before.get(block.device_id, 0)
            condition = _NEWER
        rows.start[:] += key_of(catalog.device(block.device_id), 0)
        if block.resolution == "1m":
            kept &= _in_no_richer_hour(catalog, rows.start, rows.count)
        write_rollup_table(catalog, block.resolution, rows_at(rows, np.flatnonzero(kept)), condition)


def _table_of(block: ClosedMinutes | RollupBlock, orders: Times) -> RollupTable:
    """Read a block. Raises RowRefused for a time that no row can have."""
    start, count, heat = (np.frombuffer(part, np.int64) for part in (block.start, block.count, block.heat))
    for at in (start.min(), start.max()):
        keyable(int(at))
    values = np.frombuffer(block.values).reshape(len(start), len(block.names))
    return RollupTable(start.copy(), orders, count, heat, block.names, values)


def _in_no_richer_hour(catalog: Catalog, keys: Times, count: Times) -> NDArray[np.bool_]:
    """Tell which minutes lie in hours of which not more readings are stored than these minutes have."""
    hour = keys - (keys & (END_OF_TIME - 1)) % BUCKET_MS["1h"]
    hours, of = np.unique(hour, return_inverse=True)
    query = "SELECT coalesce(sum(count), 0) FROM rollup_1m WHERE key >= ? AND key < ?"
    stored = [catalog.db.execute(query, (key, key + BUCKET_MS["1h"])).fetchone()[0] for key in hours.tolist()]
    return np.asarray(np.array(stored) <= np.bincount(of, count))[of]


def write_rollup_table(
    catalog: Catalog, resolution: Resolution, rows: RollupTable, condition: str = _NOT_OLDER
) -> None:
    """Write rows, by default ones computed from what is stored. rows.start: their keys."""
    table = ROLLUP_TABLES[resolution]
    there = np.flatnonzero(~np.isnan(rows.values).all(axis=0))
    names = [rows.names[column] for column in there]
    layout = catalog.layout(table, names)
    columns = [layout.names.index(name) for name in names]
    heats = [None if heat < 0 else heat for heat in rows.heat.tolist()]
    bodies: list[bytes] = []
    for first in range(0, len(rows.start), PACKED_AT_ONCE):
        part = rows.values[first : first + PACKED_AT_ONCE, there]
        values = np.full((len(part), len(layout.names)), np.nan)
        values[:, columns] = part
        bodies += pack(layout, values)
    own = (rows.start.tolist(), rows.order.tolist(), rows.count.tolist())
    _upsert(catalog, table, list(zip(*own, heats, bodies, strict=True)), condition)


def _upsert(catalog: Catalog, table: str, rows: list[Any], condition: str) -> None:
    columns = ("ord", "count", "heat_source", "body")
    replaced = ", ".join(f"{column} = excluded.{column}" for column in columns)
    insert(catalog, table, rows, f"UPDATE SET {replaced} WHERE {condition}")


def write_latest(catalog: Catalog, rows: list[LatestRow]) -> None:
    """Replace the newest values of devices.

    Values are packed as those of a reading, their times as ages against the newest one: mostly 0.
    """
    changes: list[tuple[object, ...]] = []
    for first in range(0, len(rows), PACKED_AT_ONCE):
        part = rows[first : first + PACKED_AT_ONCE]
        held = [row.values for row in part]
        alike = by_names(held)
        layout = catalog.layout("latest", chain.from_iterable(alike))
        pairs = matrix(layout.names, held, alike, parts=2)
        times, values = pairs[:, 0::2], pairs[:, 1::2].copy()
        newest = np.fmax.reduce(times, axis=1, initial=0.0)
        changes += zip(
            [catalog.device(row.device_id) for row in part],
            [row.order for row in part],
            newest.astype(np.int64).tolist(),
            pack(ages_of(layout), newest[:, None] - times),
            pack(layout, values),
            strict=True,
        )
    insert(
        catalog,
        "latest",
        changes,
        "UPDATE SET ord = excluded.ord, at = excluded.at, ages = excluded.ages, body = excluded.body"
        " WHERE excluded.ord >= ord",
    )


def write_devices(catalog: Catalog, rows: list[DeviceRow]) -> None:
    """Write what changed of devices; each part has an order of its own."""
    parts: dict[str, list[tuple[object, int, int, int]]] = {"online": [], "last_seen": [], "metadata": []}
    attributes: list[tuple[int, str, int, str]] = []
    for row in rows:
        device, order = catalog.device(row.device_id), row.order
        if row.online is not None:
            parts["online"].append((row.online, order, device, order))
        if row.last_seen is not None:
            parts["last_seen"].append((row.last_seen, order, device, order))
        if row.metadata is not None:
            parts["metadata"].append((msgspec.json.encode(row.metadata).decode(), order, device, order))
        attributes.extend((device, name, order, value) for name, value in row.attributes.items())
    for part, changes in parts.items():
        catalog.db.executemany(
            f"UPDATE device SET {part} = ?, {part}_ord = ? WHERE device = ? AND coalesce({part}_ord, 0) <= ?",
            changes,
        )
    catalog.db.executemany(
        "INSERT INTO attribute VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET ord = excluded.ord, value = excluded.value WHERE excluded.ord >= ord",
        attributes,
    )
