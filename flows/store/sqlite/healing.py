"""Minutes folded again from raw rows, hours and days composed again of finer rows: flows.physics.fold, on rows."""

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from flows.model.device import DeviceMetadata
from flows.model.rollup import BUCKET_MS, HOLD_MS, Compose, Refold, Resolution, RollupRow
from flows.model.table import Table, table_of
from flows.physics.compose import compose_rows
from flows.physics.fold import fold_range
from flows.physics.segments import MINUTE_MS
from flows.store.sqlite.catalog import Catalog
from flows.store.sqlite.deriving import metadata_of, rederive
from flows.store.sqlite.rowreading import select_rollups, select_span, values_of
from flows.store.sqlite.rows import write_rollups
from flows.store.sqlite.schema import END_OF_TIME, at_of

Coarser = Literal["1h", "1d"]
COARSER: tuple[Coarser, ...] = ("1h", "1d")
FINER: dict[Resolution, Resolution] = {"1h": "1m", "1d": "1h"}


def heal(catalog: Catalog, requests: list[Refold | Compose]) -> None:
    """Compute minutes anew, then every hour that holds one or has just closed, then every such day.

    All hours come before any day, and each once, with the newest order: a day composed before one of its hours
    would keep the older sum, since its order is then too new for the later request.
    """
    healed = _refold(catalog, [request for request in requests if isinstance(request, Refold)])
    closed = [request for request in requests if isinstance(request, Compose)]
    for resolution in COARSER:
        wanted = [*_touched(healed, resolution), *(each for each in closed if each.resolution == resolution)]
        newest: dict[tuple[str, int], Compose] = {}
        for request in sorted(wanted, key=lambda each: each.order):
            newest[request.device_id, request.start] = request
        _recompose(catalog, newest.values())


def _refold(catalog: Catalog, requests: list[Refold]) -> list[Refold]:
    """Compute minutes anew; returns what was computed."""
    minutes: list[RollupRow] = []
    healed: list[Refold] = []
    for request in requests:
        device = catalog.known_device(request.device_id)
        if device is None:
            continue
        metadata = metadata_of(catalog, device)
        if request.rederive:
            span = select_span(catalog.db, "raw", ("key",), device, request.start, request.end)
            rederive(catalog, [key for (key,) in span.fetchall()])
        # What retention has let go is not folded again: a good rollup never gives way to crumbs.
        first = catalog.raw_before.get(request.device_id, -HOLD_MS) + HOLD_MS + MINUTE_MS - 1
        start = max(request.start, first - first % MINUTE_MS)
        if start < request.end:
            request = msgspec.structs.replace(request, start=start)
            minutes += _minutes(catalog, device, request, metadata)
            healed.append(request)
    write_rollups(catalog, minutes, from_store=True)
    return healed


def _recompose(catalog: Catalog, requests: Iterable[Compose]) -> None:
    """Compose hours of minutes, days of hours; hours whose minutes retention has let go stay as they are."""
    rows: list[RollupRow] = []
    for request in requests:
        device = catalog.known_device(request.device_id)
        finer = FINER[request.resolution]
        gone = finer == "1m" and request.start < catalog.minute_before.get(request.device_id, 0)
        if device is None or gone:
            continue
        end = request.start + BUCKET_MS[request.resolution]
        columns = catalog.columns(f"rollup_{finer}")
        parts = select_rollups(
            catalog.db, columns, (device, request.device_id), finer, request.start, end, limit=60
        )
        row = compose_rows(parts, request.resolution, request.start, request.order)
        if row is not None:
            rows.append(row)
    write_rollups(catalog, rows, from_store=True)


def _minutes(
    catalog: Catalog, device: int, request: Refold, metadata: list[DeviceMetadata]
) -> Iterable[RollupRow]:
    samples = _samples(catalog, device, request.start - HOLD_MS, request.end)
    minutes = fold_range(samples, request.start, request.end, metadata)
    return [
        RollupRow(request.device_id, "1m", m.start, request.order, m.count, m.values, m.heat_source)
        for m in minutes
        if m.start + MINUTE_MS <= request.frontier
    ]


def _samples(catalog: Catalog, device: int, start: int, end: int) -> Table:
    """Read raw rows from `start` to the first at or after `end`."""
    columns = catalog.columns("raw")
    chosen = ("key", *columns)
    rows = select_span(catalog.db, "raw", chosen, device, start, end).fetchall()
    rows += select_span(catalog.db, "raw", chosen, device, end, END_OF_TIME, "ORDER BY key LIMIT 1").fetchall()
    return table_of([at_of(row[0]) for row in rows], [values_of(columns, row[1:]) for row in rows], columns)


def _touched(requests: list[Refold], resolution: Coarser) -> Iterator[Compose]:
    """Name the closed buckets in which minutes changed."""
    length = BUCKET_MS[resolution]
    for request in requests:
        for start in range(request.start - request.start % length, request.end, length):
            if start + length <= request.frontier:
                yield Compose(request.device_id, request.order, resolution, start)
