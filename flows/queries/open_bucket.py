"""open_bucket: the bucket a device's newest reading lies in, composed when asked.

The store holds closed buckets only; with this, a chart's right edge is alive.
"""

from functools import partial

import numpy as np

from flows.model.quantities import HEAT_SOURCES
from flows.model.rollup import BUCKET_MS, HOLD_MS, Resolution
from flows.model.table import RollupTable, rows_at, stacked, table_of
from flows.physics.compose import compose
from flows.physics.fold import open_minute
from flows.physics.segments import MINUTE_MS
from flows.store.protocol import Columns, StoredDevice, StoreReader

MOST_SAMPLES = 20_000
"""A device with more readings in 16 minutes has its open minute composed of the newest ones."""


def frontier(device: StoredDevice) -> int | None:
    """Event time of the device's newest reading. [ms since 1970, UTC]; None before the first."""
    return max((at for at, _ in device.latest.values()), default=None)


def open_start(device: StoredDevice, resolution: Resolution) -> int | None:
    """Start of the open bucket. [ms since 1970, UTC]; None before the first reading."""
    newest = frontier(device)
    return None if newest is None else newest - newest % BUCKET_MS[resolution]


def open_row(
    reader: StoreReader, device: StoredDevice, resolution: Resolution, columns: list[str]
) -> RollupTable | None:
    """Compose the open bucket of closed finer ones and the open one; None where nothing has counted yet.

    columns : which, count and heat source among them; all of a quantity together.
    """
    start = open_start(device, resolution)
    if start is None:
        return None
    if resolution == "1m":
        return _minute(reader, device, start, columns)
    finer: Resolution = "1m" if resolution == "1h" else "1h"
    rows = finer_rows(reader, device, finer, start, start + BUCKET_MS[resolution], columns)
    if not len(rows.start):
        return None
    return compose(rows, np.full(len(rows.start), start), BUCKET_MS[finer] / BUCKET_MS[resolution])


def finer_rows(
    reader: StoreReader, device: StoredDevice, resolution: Resolution, start: int, end: int, columns: list[str]
) -> RollupTable:
    """Read the rows of [start, end), the open one composed. At most a day of hours or two hours of minutes."""
    most = (end - start) // BUCKET_MS[resolution]
    page = reader.beside(partial(reader.rollup_columns, device.device_id, resolution, start, end, columns, most))
    opened = open_start(device, resolution)
    row = None
    if opened is not None and start <= opened < end:
        row = open_row(reader, device, resolution, columns)
    rows = rollup_table(page())
    return rows if row is None else stacked([rows_at(rows, np.flatnonzero(rows.start != opened)), row])


def rollup_table(page: Columns) -> RollupTable:
    """Make a table of columns, count and heat source among them; orders are 0."""
    names = tuple(name for name in page.values if name not in ("count", "heat_source"))
    cells = np.array([page.values[name] for name in names], dtype=np.float64).reshape(len(names), len(page.time)).T
    return RollupTable(
        np.array(page.time, dtype=np.int64),
        np.zeros(len(page.time), dtype=np.int64),
        np.array([count or 0 for count in page.values["count"]], dtype=np.int64),
        np.array([-1 if heat is None else heat for heat in page.values["heat_source"]], dtype=np.int64),
        names,
        cells,
    )


def _minute(reader: StoreReader, device: StoredDevice, start: int, columns: list[str]) -> RollupTable | None:
    end = start + MINUTE_MS
    rows = reader.readings(device.device_id, start - HOLD_MS, end, MOST_SAMPLES, history=device.metadata)[::-1]
    names = tuple(dict.fromkeys(name for row in rows for name in row.values))
    samples = table_of([row.at for row in rows], [row.values for row in rows], names)
    minute = open_minute(samples, device.metadata)
    if minute is None or minute.start != start:
        return None
    values: dict[str, list[float | None]] = {name: [minute.values.get(name)] for name in columns}
    heat = HEAT_SOURCES.index(minute.heat_source) if minute.heat_source else None
    return rollup_table(Columns([start], {**values, "count": [minute.count], "heat_source": [heat]}))
