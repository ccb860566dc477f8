"""open_bucket: the bucket a device's newest reading lies in, composed when asked.

The store holds closed buckets only; with this, a chart's right edge is alive.
"""

from flows.model.rollup import BUCKET_MS, HOLD_MS, Resolution, RollupRow
from flows.model.table import table_of
from flows.physics.compose import compose_rows
from flows.physics.fold import open_minute
from flows.physics.segments import MINUTE_MS
from flows.store.protocol import StoredDevice, StoreReader

MOST_SAMPLES = 20_000
"""A device with more readings in 16 minutes has its open minute composed of the newest ones."""


def frontier(device: StoredDevice) -> int | None:
    """Event time of the device's newest reading. [ms since 1970, UTC]; None before the first."""
    return max((at for at, _ in device.latest.values()), default=None)


def open_start(device: StoredDevice, resolution: Resolution) -> int | None:
    """Start of the open bucket. [ms since 1970, UTC]; None before the first reading."""
    newest = frontier(device)
    return None if newest is None else newest - newest % BUCKET_MS[resolution]


def open_row(reader: StoreReader, device: StoredDevice, resolution: Resolution) -> RollupRow | None:
    """Compose the open bucket of closed finer ones and the open one; None where nothing has counted yet."""
    start = open_start(device, resolution)
    if start is None:
        return None
    if resolution == "1m":
        return _minute(reader, device, start)
    finer: Resolution = "1m" if resolution == "1h" else "1h"
    rows = finer_rows(reader, device, finer, start, start + BUCKET_MS[resolution])
    return compose_rows(rows, resolution, start, 0)


def finer_rows(
    reader: StoreReader, device: StoredDevice, resolution: Resolution, start: int, end: int
) -> list[RollupRow]:
    """Read the rows of [start, end), the open one composed. At most a day of hours or two hours of minutes."""
    rows = reader.rollups(device.device_id, resolution, start, end, (end - start) // BUCKET_MS[resolution])
    opened = open_start(device, resolution)
    if opened is None or not start <= opened < end:
        return rows
    row = open_row(reader, device, resolution)
    return rows if row is None else [*(known for known in rows if known.start != opened), row]


def _minute(reader: StoreReader, device: StoredDevice, start: int) -> RollupRow | None:
    end = start + MINUTE_MS
    rows = reader.readings(device.device_id, start - HOLD_MS, end, MOST_SAMPLES)[::-1]
    names = tuple(dict.fromkeys(name for row in rows for name in row.values))
    samples = table_of([row.at for row in rows], [row.values for row in rows], names)
    minute = open_minute(samples, device.metadata)
    if minute is None or minute.start != start:
        return None
    return RollupRow(device.device_id, "1m", start, 0, minute.count, minute.values, minute.heat_source)
