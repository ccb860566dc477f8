"""Minutes folded again from raw rows, hours and days composed again of finer rows."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Literal

import numpy as np

from flows.model.device import DeviceMetadata
from flows.model.rollup import BUCKET_MS, HOLD_MS, Compose, Refold, Resolution
from flows.model.table import RollupTable, Table, rows_at
from flows.physics.compose import compose
from flows.physics.fold import fold_range
from flows.physics.segments import MINUTE_MS
from flows.store.sqlite.catalog import Catalog
from flows.store.sqlite.rowreading import ROLLUP, history_of, raw_table, rollup_table, select_span
from flows.store.sqlite.rows import write_rollup_table
from flows.store.sqlite.schema import END_OF_TIME, ROLLUP_TABLES, key_of

Coarser = Literal["1h", "1d"]
COARSER: tuple[Coarser, ...] = ("1h", "1d")
FINER: dict[Resolution, Resolution] = {"1h": "1m", "1d": "1h"}

COMPOSED_AT_ONCE = 100
"""Buckets whose finer rows are in memory together."""


def heal(catalog: Catalog, requests: list[Refold | Compose]) -> None:
    """Compute minutes anew, then every hour that holds one or has just closed, then every such day.

    All hours come before any day, and each once, with the newest order: a day composed before one of its hours
    would keep the older sum, since its order is then too new for the later request.
    """
    healed = list(_refold(catalog, [request for request in requests if isinstance(request, Refold)]))
    closed = [request for request in requests if isinstance(request, Compose)]
    for resolution in COARSER:
        wanted = [*_touched(healed, resolution), *(each for each in closed if each.resolution == resolution)]
        newest: dict[tuple[str, int], Compose] = {}
        for request in sorted(wanted, key=lambda each: each.order):
            newest[request.device_id, request.start] = request
        _recompose(catalog, resolution, newest.values())


def _refold(catalog: Catalog, requests: list[Refold]) -> Iterator[Refold]:
    """Compute minutes anew; yields what was computed."""
    for request in requests:
        device = catalog.known_device(request.device_id)
        # What retention has let go is not folded again: a good rollup never gives way to crumbs.
        first = catalog.raw_before.get(request.device_id, -HOLD_MS) + HOLD_MS + MINUTE_MS - 1
        start = max(request.start, first - first % MINUTE_MS)
        if device is None or start >= request.end:
            continue
        history = history_of(catalog.db, device)
        samples = _samples(catalog, device, start - HOLD_MS, request.end, history)
        if len(samples.at):
            minutes = fold_range(samples, start, request.end, history)
            first = max(start, catalog.minute_before.get(request.device_id, 0))
            closed = (minutes.start >= first) & (minutes.start + MINUTE_MS <= request.frontier)
            order = np.full(len(minutes.start), request.order)
            keys = minutes.start + key_of(device, 0)
            rows = RollupTable(keys, order, minutes.count, minutes.heat, minutes.names, minutes.values)
            write_rollup_table(catalog, "1m", rows_at(rows, np.flatnonzero(closed)))
        yield Refold(request.device_id, request.order, start, request.end, request.frontier)


def _recompose(catalog: Catalog, resolution: Coarser, requests: Iterable[Compose]) -> None:
    """Compose hours of minutes, days of hours; hours whose minutes retention has let go stay as they are."""
    finer = FINER[resolution]
    length, layout = BUCKET_MS[resolution], catalog.layout(ROLLUP_TABLES[finer])
    known = []
    for request in requests:
        device = catalog.known_device(request.device_id)
        gone = finer == "1m" and request.start < catalog.minute_before.get(request.device_id, 0)
        if device is not None and not gone:
            known.append((device, request.start, request.order))
    waiting = iter(sorted(known))
    while some := list(islice(waiting, COMPOSED_AT_ONCE)):
        rows, buckets, orders = [], [], []
        for device, start, order in some:
            found = select_span(
                catalog.db,
                ROLLUP_TABLES[finer],
                ROLLUP,
                device,
                start,
                start + length,
            ).fetchall()
            rows += found
            buckets += [key_of(device, start)] * len(found)
            orders += [order] if found else []
        if rows:
            composed = compose(
                rollup_table(layout, rows), np.array(buckets, dtype=np.int64), BUCKET_MS[finer] / length
            )
            composed.order[:] = orders
            write_rollup_table(catalog, resolution, composed)


def _samples(catalog: Catalog, device: int, start: int, end: int, history: list[DeviceMetadata]) -> Table:
    """Read raw rows from `start` to the first at or after `end`."""
    rows = select_span(catalog.db, "raw", "key, body", device, start, end).fetchall()
    rows += select_span(
        catalog.db, "raw", "key, body", device, end, END_OF_TIME, "ORDER BY key LIMIT 1"
    ).fetchall()
    keys, bodies = zip(*rows, strict=True) if rows else ((), ())
    return raw_table(catalog.layout("raw"), keys, bodies, history)


def _touched(requests: list[Refold], resolution: Coarser) -> Iterator[Compose]:
    """Name the closed buckets in which minutes changed."""
    length = BUCKET_MS[resolution]
    for request in requests:
        for start in range(request.start - request.start % length, request.end, length):
            if start + length <= request.frontier:
                yield Compose(request.device_id, request.order, resolution, start)
