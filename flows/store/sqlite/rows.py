"""Upserts of readings, rollups and devices: newer orders replace, older ones are ignored."""

from collections.abc import Sequence
from functools import lru_cache

import msgspec
import numpy as np

from flows.errors import RowRefused
from flows.model.quantities import HEAT_SOURCES
from flows.model.rollup import RollupBlock, RollupRow
from flows.model.rows import DeviceRow, LatestRow, RawRow
from flows.physics.derive import DERIVED
from flows.store.sqlite.catalog import Catalog
from flows.store.sqlite.deriving import rederive
from flows.store.sqlite.schema import CLOCKS, END_OF_TIME, ROLLUP_TABLES, key_of

_CLOCK_CODES = {clock: code for code, clock in enumerate(CLOCKS)}
_HEAT_CODES = {source: code for code, source in enumerate(HEAT_SOURCES)}


def write_raw(catalog: Catalog, rows: list[RawRow]) -> None:
    """Insert readings; one of a known device and time is merged field by field if it is newer."""
    before = catalog.raw_before
    if before:
        rows = [row for row in rows if row.at >= before.get(row.device_id, 0)]
    columns = catalog.columns_for("raw", [row.values for row in rows])
    device = catalog.device
    keyed = [
        (
            key_of(device(row.device_id), _keyable(row.at)),
            row.order,
            row.arrived,
            _CLOCK_CODES[row.clock],
            *map(row.values.get, columns),
        )
        for row in rows
    ]
    inserted = catalog.db.executemany(_insert_raw(columns), keyed).rowcount
    if inserted < len(keyed):
        _merge(catalog, columns, rows, keyed)
    catalog.db.execute("UPDATE tally SET readings = readings + ?", (inserted,))


def _merge(
    catalog: Catalog, columns: tuple[str, ...], rows: list[RawRow], keyed: Sequence[tuple[object, ...]]
) -> None:
    """Merge what the device sent, field by field, and derive anew what follows from the merged row."""
    merged: set[int] = set()
    for row, values in zip(rows, keyed, strict=True):
        found = catalog.db.execute(_merge_raw(columns, row.summed), values).fetchone()
        if found:
            merged.add(found[0])
    rederive(catalog, sorted(merged))


def write_rollups(catalog: Catalog, rows: list[RollupRow], from_store: bool = False) -> None:
    """Write whole rows; minutes that retention has let go do not come back.

    from_store : computed from what is stored, so never poorer than a row of the same order. A row of the stream
                 may be: after a rebuild it begins without a past.
    """
    condition = "excluded.ord >= ord" if from_store else "excluded.ord > ord"
    device, before = catalog.device, catalog.minute_before
    for resolution, table in ROLLUP_TABLES.items():
        mine = [row for row in rows if row.resolution == resolution]
        if resolution == "1m" and before:
            mine = [row for row in mine if row.start >= before.get(row.device_id, 0)]
        if not mine:
            continue
        columns = catalog.columns_for(table, [row.values for row in mine])
        keyed = [
            (
                key_of(device(row.device_id), _keyable(row.start)),
                row.order,
                row.count,
                _HEAT_CODES.get(row.heat_source),
                *map(row.values.get, columns),
            )
            for row in mine
        ]
        catalog.db.executemany(_upsert_rollup(table, columns, condition), keyed)


def write_blocks(catalog: Catalog, blocks: list[RollupBlock]) -> None:
    """Write whole rows of history; none replaces a row of more readings."""
    for block in blocks:
        start, count, heat = (np.frombuffer(part, np.int64) for part in (block.start, block.count, block.heat))
        values = np.frombuffer(block.values).reshape(len(start), len(block.names))
        first = 0
        if block.resolution == "1m":
            first = int(np.searchsorted(start, catalog.minute_before.get(block.device_id, 0)))
        if first == len(start):
            continue
        table = ROLLUP_TABLES[block.resolution]
        there = np.flatnonzero(~np.isnan(values).all(axis=0)).tolist()
        names = [block.names[column] for column in there]
        columns = catalog.columns_for(table, [dict.fromkeys(names)])
        cells = np.full((len(start) - first, 4 + len(columns)), None, dtype=object)
        device = catalog.device(block.device_id)
        cells[:, 0] = [key_of(device, _keyable(at)) for at in start[first:].tolist()]
        cells[:, 1], cells[:, 2] = block.order, count[first:]
        cells[:, 3] = [None if source < 0 else source for source in heat[first:].tolist()]
        chosen = values[first:, there].astype(object)
        chosen[np.isnan(values[first:, there])] = None
        cells[:, [4 + columns.index(name) for name in names]] = chosen
        catalog.db.executemany(
            _upsert_rollup(table, columns, "excluded.ord > ord AND excluded.count >= count"), cells.tolist()
        )


def write_latest(catalog: Catalog, rows: list[LatestRow]) -> None:
    """Replace the newest values of devices."""
    encode = msgspec.msgpack.Encoder().encode
    catalog.db.executemany(
        "INSERT INTO latest VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET ord = excluded.ord, readings = excluded.readings WHERE excluded.ord >= ord",
        [(catalog.device(row.device_id), row.order, encode(row.values)) for row in rows],
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


def _keyable(at: int) -> int:
    if 0 <= at < END_OF_TIME:
        return at
    raise RowRefused(f"{at} ms is no time the store can hold: 1970 to 2248")


@lru_cache(maxsize=8)
def _insert_raw(columns: tuple[str, ...]) -> str:
    return _insert("raw", ("key", "ord", "arrived", "clock", *columns)) + " ON CONFLICT DO NOTHING"


@lru_cache(maxsize=8)
def _merge_raw(columns: tuple[str, ...], summed: tuple[str, ...]) -> str:
    """Merge a newer row that says something new; an identical one changes nothing, not even the order."""
    merged = {
        column: f"coalesce({column}, excluded.{column})"
        if column in summed
        else f"coalesce(excluded.{column}, {column})"
        for column in columns
        if column not in DERIVED
    }
    sets = ["ord = excluded.ord", "arrived = excluded.arrived", "clock = excluded.clock"]
    sets += [f"{column} = {value}" for column, value in merged.items()]
    news = " OR ".join(f"{column} IS NOT {value}" for column, value in merged.items()) or "0"
    return (
        _insert("raw", ("key", "ord", "arrived", "clock", *columns))
        + f" ON CONFLICT DO UPDATE SET {', '.join(sets)} WHERE excluded.ord > ord AND ({news}) RETURNING key"
    )


@lru_cache(maxsize=24)
def _upsert_rollup(table: str, columns: tuple[str, ...], condition: str) -> str:
    own = ("ord", "count", "heat_source", *columns)
    replaced = ", ".join(f"{column} = excluded.{column}" for column in own)
    return _insert(table, ("key", *own)) + f" ON CONFLICT DO UPDATE SET {replaced} WHERE {condition}"


def _insert(table: str, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
