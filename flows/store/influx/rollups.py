"""Rollup rows: a newer one replaces the whole older one, whose other fields go with it.

A row newer than all that its device has is written without a question; what may be there is asked for.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, compress, groupby

import msgspec
import numpy as np
from numpy.typing import NDArray

from flows.model.rollup import BUCKET_MS, ClosedMinutes, Resolution, RollupBlock
from flows.model.table import RollupTable, Times, rows_at
from flows.store.influx.catalog import Catalog
from flows.store.influx.devices import meet
from flows.store.influx.lines import rollup_lines
from flows.store.influx.names import ROLLUP, tag_of
from flows.store.influx.rowreading import read_rollups
from flows.store.influx.spans import Key, spans

ROWS_A_QUESTION = 1500
"""About how many stored rows a question may bring; each has some 60 fields."""


class Stored(msgspec.Struct, frozen=True):
    """A row that is stored; `fields`: the columns that it has, and "" of one with a source of heat."""

    order: int
    count: int
    fields: frozenset[str]


Accepts = Callable[[Stored, Stored], bool]
"""Tells whether the second row may replace the first."""


def _newer(old: Stored, new: Stored) -> bool:
    return new.order > old.order


def _newer_of_no_fewer(old: Stored, new: Stored) -> bool:
    return new.order > old.order and new.count >= old.count


def _not_older(old: Stored, new: Stored) -> bool:
    return new.order >= old.order


def write_closed(catalog: Catalog, blocks: list[ClosedMinutes]) -> None:
    """Write minutes of the stream; those of devices since forgotten, or let go by retention, do not come back."""
    forgotten, before = catalog.leaving.forgotten, catalog.leaving.minute_before
    for block in blocks:
        rows = _table_of(block, np.array(block.orders))
        wanted = [
            order > forgotten.get(device_id, -1) and at >= before.get(device_id, 0)
            for device_id, order, at in zip(block.device_ids, block.orders, rows.start.tolist(), strict=True)
        ]
        device_ids = [*compress(block.device_ids, wanted)]
        write_rollup_table(catalog, "1m", device_ids, rows_at(rows, np.flatnonzero(wanted)), _newer)


def write_blocks(catalog: Catalog, blocks: list[RollupBlock]) -> None:
    """Write whole rows of history; none replaces a row of more readings, nor minutes those of a richer hour."""
    for block in blocks:
        rows = _table_of(block, np.full(len(block.start) // 8, block.order))
        accepts = _newer_of_no_fewer
        if block.resolution == "1m":
            kept = rows.start >= catalog.leaving.minute_before.get(block.device_id, 0)
            kept &= _in_no_richer_hour(catalog, block.device_id, rows)
            rows, accepts = rows_at(rows, np.flatnonzero(kept)), _newer
        write_rollup_table(catalog, block.resolution, [block.device_id] * len(rows.start), rows, accepts)
        if not len(rows.start):
            meet(catalog, [block.device_id])


def write_rollup_table(
    catalog: Catalog,
    resolution: Resolution,
    device_ids: Sequence[str],
    rows: RollupTable,
    accepts: Accepts = _not_older,
) -> None:
    """Write rows, by default ones computed from what is stored. device_ids: one a row."""
    meet(catalog, dict.fromkeys(device_ids))
    newest = catalog.rollups[resolution]
    parts = zip(device_ids, rows.start.tolist(), rows.order.tolist(), range(len(device_ids)), strict=True)
    fresh: list[int] = []
    again: list[int] = []
    for device_id, start, _, place in sorted(parts):
        if start > newest.get(device_id, -1):
            newest[device_id] = start
            fresh.append(place)
        else:
            again.append(place)
    _send(catalog, resolution, device_ids, rows, fresh)
    if again:
        catalog.outgoing.flush()
        _replace(catalog, resolution, device_ids, rows, again, accepts)


def _replace(
    catalog: Catalog,
    resolution: Resolution,
    device_ids: Sequence[str],
    rows: RollupTable,
    places: list[int],
    accepts: Accepts,
) -> None:
    """Write rows in place of those stored, where they may be. places: which, by device, start and order."""
    keys = [(device_ids[place], int(rows.start[place])) for place in places]
    stored = [*_stored(catalog, resolution, set(keys))]
    there, chosen = {key: row for part in stored for key, row in part.items()}, dict[Key, int]()
    for key, place in zip(keys, places, strict=True):
        mine = _row(rows, place)
        if key not in there or accepts(there[key], mine):
            there[key], chosen[key] = mine, place
    coming = {key: there[key].fields for key in chosen}
    for part in stored:
        _clear(catalog, resolution, part, coming)
    _send(catalog, resolution, device_ids, rows, [*chosen.values()])
    catalog.outgoing.flush()


def _stored(catalog: Catalog, resolution: Resolution, keys: set[Key]) -> Iterator[dict[Key, Stored]]:
    """Read the rows of these devices and starts, by device and start.

    A span after the other: of each all rows of its devices, those that were not asked for too.
    """
    for start, end, device_ids in spans(keys, BUCKET_MS[resolution], ROWS_A_QUESTION):
        found = read_rollups(catalog.server, resolution, device_ids, start, end)
        yield {
            (device_id, at): _row(table, place)
            for device_id, table in found.items()
            for place, at in enumerate(table.start.tolist())
        }


def _row(table: RollupTable, place: int) -> Stored:
    fields = {*compress(table.names, (~np.isnan(table.values[place])).tolist())}
    if table.heat[place] >= 0:
        fields.add("")
    return Stored(int(table.order[place]), int(table.count[place]), frozenset(fields))


def _clear(
    catalog: Catalog, resolution: Resolution, stored: dict[Key, Stored], coming: dict[Key, frozenset[str]]
) -> None:
    """Delete stored rows that have fields which those that come lack; neighbours that are replaced too go along.

    stored : all rows of a span: between two of them lies nothing else.
    A deletion costs some milliseconds, of however many rows.
    """
    address = catalog.server.address
    for replaced, run in groupby(sorted(stored), key=lambda key: (key[0], key in coming)):
        gone = [
            at for device_id, at in run if replaced[1] and stored[device_id, at].fields - coming[device_id, at]
        ]
        if gone:
            predicate = f'_measurement="{ROLLUP}" AND device_id="{tag_of(replaced[0])}"'
            catalog.server.delete(address.rollups(resolution), predicate, gone[0], gone[-1] + 1)


def _send(
    catalog: Catalog, resolution: Resolution, device_ids: Sequence[str], rows: RollupTable, places: list[int]
) -> None:
    if places:
        device_ids, rows = [device_ids[place] for place in places], rows_at(rows, np.array(places))
        catalog.recent.add(resolution, device_ids, rows)
        lines = rollup_lines(device_ids, rows)
        catalog.outgoing.add(catalog.server.address.rollups(resolution), lines)


def _table_of(block: ClosedMinutes | RollupBlock, orders: Times) -> RollupTable:
    start, count, heat = (np.frombuffer(part, np.int64) for part in (block.start, block.count, block.heat))
    values = np.frombuffer(block.values).reshape(len(start), len(block.names))
    return RollupTable(start, orders, count, heat, block.names, values)


def _in_no_richer_hour(catalog: Catalog, device_id: str, rows: RollupTable) -> NDArray[np.bool_]:
    """Tell which minutes lie in hours of which not more readings are stored than these minutes have."""
    hour_ms = BUCKET_MS["1h"]
    hours, of = np.unique(rows.start - rows.start % hour_ms, return_inverse=True)
    mine = np.bincount(of, rows.count)
    theirs = np.zeros(len(hours))
    newest = catalog.rollups["1m"].get(device_id, -1)
    asked = [at for at in hours.tolist() if at <= newest]
    if asked:
        catalog.outgoing.flush()
        keys = {(device_id, at + offset) for at in asked for offset in (0, hour_ms - BUCKET_MS["1m"])}
        for (_, at), row in chain.from_iterable(part.items() for part in _stored(catalog, "1m", keys)):
            place = int(np.searchsorted(hours, at - at % hour_ms))
            # What an attempt that broke off has written of these is no other's.
            if place < len(hours) and hours[place] == at - at % hour_ms and row.order != int(rows.order[0]):
                theirs[place] += row.count
    return np.asarray(theirs <= mine)[of]
