"""readings: rows of one device, newest first, page by page."""

from collections.abc import Iterator
from zoneinfo import ZoneInfo

from flows.errors import NotFound
from flows.model.quantities import BY_NAME, ENERGY_COLUMNS, HEAT_SOURCES
from flows.model.rollup import BUCKET_MS
from flows.model.times import iso
from flows.queries.devices import known
from flows.queries.fields import columns_of_rollups, refuse_rollup_columns
from flows.queries.open_bucket import frontier
from flows.queries.pages import PAGE_ROWS, AnyResolution, bucket_start, pages
from flows.queries.times import LATEST_MS
from flows.store.protocol import Columns, StoredDevice, StoredReading, StoreReader

Row = dict[str, object]

ALWAYS = (
    "temp_inlet",
    "temp_outlet",
    "temp_ambient",
    "temp_compressor",
    "voltage",
    "current",
    "power",
    "pressure_high",
    "pressure_low",
    "compressor_running",
    "fan_running",
    "defrost_active",
)
"""Fields that clients in the field expect in every row, null where missing; others only where there is a value."""

_MISSING: Row = dict.fromkeys(ALWAYS)


def latest(reader: StoreReader, device_id: str) -> Row:
    """Get the newest row. Raises DeviceNotFound, and NotFound where raw readings are gone or never came."""
    found = reader.readings(device_id, 0, LATEST_MS, 1)
    if not found:
        known(reader, device_id)
        raise NotFound(f"device {device_id!r} has no reading that is still kept")
    return _raw_row(found[0], None)


def page(
    reader: StoreReader,
    device: StoredDevice,
    resolution: AnyResolution,
    start: int,
    end: int,
    limit: int,
    fields: list[str] | None,
    zone: ZoneInfo,
) -> tuple[list[Row], int | None]:
    """Read at most `limit` rows of [start, end), newest first, and the `end` of the next page, None on the last.

    start, end : [ms since 1970, UTC]
    fields     : None: all that a row has.
    A number's row of a rollup has its mean by its own name, and _min and _max; a flag's its share of time.
    Raises BadQuery.
    """
    if resolution == "raw":
        return raw_page(reader, device.device_id, start, end, limit, fields)
    start = bucket_start(start, resolution, zone)
    asked = fields or [*_sent(device), *ENERGY_COLUMNS, "count"]
    columns = columns_of_rollups(asked)
    bucket = BUCKET_MS[resolution]
    left, window = min(end, (frontier(device) or 0) + 1), limit * bucket
    buckets: list[tuple[int, Row]] = []
    while len(buckets) < limit and left > start and window <= PAGE_ROWS * bucket:
        # Where a window has holes, look further back, by bounded reads.
        right, left = left, max(start, left - window)
        older: list[tuple[int, Row]] = []
        for found_columns in pages(reader, device, resolution, left, right, columns, zone):
            older += _rollup_rows(device.device_id, found_columns, asked)
        buckets = older + buckets
        window *= 2
    rest = left if left > start else None
    if len(buckets) > limit:
        buckets = buckets[-limit:]
        rest = buckets[0][0]
    return [row for _, row in reversed(buckets)], rest


def raw_page(
    reader: StoreReader, device_id: str, start: int, end: int, limit: int, fields: list[str] | None
) -> tuple[list[Row], int | None]:
    """Read raw rows as `page` does; a device that is not known has none. Raises BadQuery."""
    refuse_rollup_columns(fields or [])
    found = reader.readings(device_id, start, end, limit + 1)
    rows = [_raw_row(reading, fields) for reading in found[:limit]]
    return rows, found[limit - 1].at if len(found) > limit else None


def table(
    reader: StoreReader,
    device: StoredDevice,
    resolution: AnyResolution,
    start: int,
    end: int,
    limit: int | None,
    fields: list[str],
    zone: ZoneInfo,
) -> Iterator[list[list[object]]]:
    """Read rows as the lines of a table, newest first, a page at a time; the first page is the header.

    limit : None: all of the span.
    """
    names = ["time", "device_id", *(name for field in fields for name in _names(field, resolution))]
    yield [list(names)]
    following: int | None = end
    while following is not None and limit != 0:
        size = PAGE_ROWS if limit is None else min(limit, PAGE_ROWS)
        rows, following = page(reader, device, resolution, start, following, size, fields, zone)
        limit = None if limit is None else limit - len(rows)
        yield [[row.get(name) for name in names] for row in rows]


def _sent(device: StoredDevice) -> list[str]:
    return [name for name in BY_NAME if name in device.latest]


def _raw_row(reading: StoredReading, fields: list[str] | None) -> Row:
    row: Row = {"time": iso(reading.at), "device_id": reading.device_id}
    if fields is not None:
        row.update((name, reading.values.get(name)) for name in fields)
        return row
    row.update(_MISSING)
    row.update(reading.values)
    row["arrived"], row["clock"] = iso(reading.arrived), reading.clock
    return row


def _rollup_rows(device_id: str, columns: Columns, fields: list[str]) -> list[tuple[int, Row]]:
    names = [pair for field in fields for pair in _stored(field)]
    rows = []
    for i, at in enumerate(columns.time):
        row: Row = {"time": iso(at), "device_id": device_id}
        row.update((name, columns.values[column][i]) for name, column in names)
        if any(field.startswith("heat_kwh") for field in fields):
            heat = columns.values["heat_source"][i]
            row["heat_source"] = None if heat is None else HEAT_SOURCES[int(heat)]
        rows.append((at, row))
    return rows


def _stored(field: str) -> list[tuple[str, str]]:
    """Pair the names a field has in a row of a rollup with the columns they come from."""
    if field not in BY_NAME:
        return [(field, field)]
    if BY_NAME[field].kind == "flag":
        return [(field, f"{field}_share")]
    return [(field, f"{field}_mean"), (f"{field}_min", f"{field}_min"), (f"{field}_max", f"{field}_max")]


def _names(field: str, resolution: AnyResolution) -> list[str]:
    return [field] if resolution == "raw" else [name for name, _ in _stored(field)]
