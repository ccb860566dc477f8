"""Minutes folded again from raw rows, hours and days composed again of finer rows: flows.physics.fold, on rows."""

from collections.abc import Iterable

import msgspec

from flows.model.device import DeviceMetadata, metadata_at
from flows.model.rollup import BUCKET_MS, HOLD_MS, Compose, Refold, Resolution, RollupRow
from flows.physics.derive import DERIVED, derived_values, payload_values
from flows.physics.fold import MINUTE_MS, Sample, compose, fold_range
from flows.store.sqlite.catalog import Catalog
from flows.store.sqlite.rowreading import sample_of, select_rollups, select_span, values_of
from flows.store.sqlite.rows import write_rollups
from flows.store.sqlite.schema import END_OF_TIME, at_of

FINER: dict[Resolution, Resolution] = {"1h": "1m", "1d": "1h"}
_metadata_decoder = msgspec.json.Decoder(list[DeviceMetadata])


def refold(catalog: Catalog, requests: list[Refold]) -> None:
    """Compute minutes anew, then the closed hours and days that hold them."""
    minutes: list[RollupRow] = []
    healed: list[Refold] = []
    for request in requests:
        device = catalog.known_device(request.device_id)
        if device is None:
            continue
        metadata = _metadata(catalog, device)
        if request.rederive:
            _rederive(catalog, device, request, metadata)
        # What retention has let go is not folded again: a good rollup never gives way to crumbs.
        first = catalog.raw_before.get(request.device_id, -HOLD_MS) + HOLD_MS + MINUTE_MS - 1
        start = max(request.start, first - first % MINUTE_MS)
        if start < request.end:
            request = msgspec.structs.replace(request, start=start)
            minutes += _minutes(catalog, device, request, metadata)
            healed.append(request)
    write_rollups(catalog, minutes)
    recompose(catalog, _touched(healed, "1h"))
    recompose(catalog, _touched(healed, "1d"))


def recompose(catalog: Catalog, requests: Iterable[Compose]) -> None:
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
        row = compose(parts, request.resolution, request.start, request.order)
        if row is not None:
            rows.append(row)
    write_rollups(catalog, rows)


def _minutes(
    catalog: Catalog, device: int, request: Refold, metadata: list[DeviceMetadata]
) -> Iterable[RollupRow]:
    samples = _samples(catalog, device, request.start - HOLD_MS, request.end)
    minutes, _ = fold_range(samples, request.start, request.end, metadata)
    return [
        RollupRow(request.device_id, "1m", m.start, request.order, m.count, m.values, m.heat_source)
        for m in minutes
        if m.start + MINUTE_MS <= request.frontier
    ]


def _samples(catalog: Catalog, device: int, start: int, end: int) -> list[Sample]:
    """Read raw rows from `start` to the first at or after `end`."""
    columns = catalog.columns("raw")
    chosen = ("key", *columns)
    rows = select_span(catalog.db, "raw", chosen, device, start, end).fetchall()
    rows += select_span(catalog.db, "raw", chosen, device, end, END_OF_TIME, "ORDER BY key LIMIT 1").fetchall()
    return [sample_of(columns, row) for row in rows]


def _rederive(catalog: Catalog, device: int, request: Refold, metadata: list[DeviceMetadata]) -> None:
    """Compute what raw rows derive from their own values with the metadata now in force.

    Their orders stay: only a newer message may change what the device said.
    """
    columns = catalog.columns("raw")
    changes = []
    rows = select_span(catalog.db, "raw", ("key", *columns), device, request.start, request.end).fetchall()
    for key, *stored in rows:
        values = values_of(columns, tuple(stored))
        derived = derived_values(payload_values(values), metadata_at(metadata, at_of(key)))
        changes.append((key, derived))
    catalog.columns_for("raw", [derived for _, derived in changes])
    stale = [column for column in catalog.columns("raw") if column in DERIVED]
    if stale:
        catalog.db.executemany(
            f"UPDATE raw SET {', '.join(f'{column} = ?' for column in stale)} WHERE key = ?",
            [(*map(derived.get, stale), key) for key, derived in changes],
        )


def _touched(requests: list[Refold], resolution: Resolution) -> list[Compose]:
    """Name the closed buckets in which minutes changed, once each, with the newest order."""
    length = BUCKET_MS[resolution]
    found: dict[tuple[str, int], int] = {}
    for request in requests:
        for start in range(request.start - request.start % length, request.end, length):
            if start + length <= request.frontier:
                at = (request.device_id, start)
                found[at] = max(found.get(at, 0), request.order)
    return [Compose(device_id, order, resolution, start) for (device_id, start), order in found.items()]  # type: ignore[arg-type]


def _metadata(catalog: Catalog, device: int) -> list[DeviceMetadata]:
    (text,) = catalog.db.execute("SELECT metadata FROM device WHERE device = ?", (device,)).fetchone()
    return _metadata_decoder.decode(text) if text is not None else []
