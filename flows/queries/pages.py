"""pages: one device's rows of a span by column, in short reads, the open bucket last."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np

from flows.model.device import metadata_at
from flows.model.rollup import BUCKET_MS
from flows.model.table import Numbers, RollupTable, rows_at, stacked
from flows.model.times import DAY_MS, HOUR_MS
from flows.physics.compose import compose
from flows.physics.segments import MINUTE_MS
from flows.queries.open_bucket import finer_rows, frontier, open_row, open_start, rollup_table
from flows.store.protocol import Columns, StoredDevice, StoreReader

AnyResolution = Literal["raw", "1m", "1h", "1d"]

PAGE_ROWS = 5_000
"""Rows of one read: short enough that no reader holds a checkpoint up."""

_PAGE_DAYS = 200


def zone_of(device: StoredDevice, now: int) -> ZoneInfo:
    """Give the site's time zone."""
    return ZoneInfo(metadata_at(device.metadata, now).timezone)


def pages(
    reader: StoreReader,
    device: StoredDevice,
    resolution: AnyResolution,
    start: int,
    end: int,
    columns: list[str],
    zone: ZoneInfo,
) -> Iterator[Columns]:
    """Read what starts in [start, end), oldest first. Of raw rows `columns` are quantities.

    start, end : [ms since 1970, UTC]
    zone       : whose days 1d rows are.
    """
    if resolution == "raw":
        yield from _raw(reader, device, start, end, columns)
    elif resolution == "1d" and zone.key not in ("UTC", "Etc/UTC"):
        yield from _site_days(reader, device, start, end, columns, zone)
    else:
        yield from _rollups(reader, device, resolution, start, end, columns)


def bucket_start(at: int, resolution: AnyResolution, zone: ZoneInfo) -> int:
    """Start of the bucket that an instant lies in; of raw, the instant itself. [ms since 1970, UTC]"""
    if resolution == "raw":
        return at
    return _midnight(at, zone, 0) if resolution == "1d" else at - at % BUCKET_MS[resolution]


def bucket_end(start: int, resolution: AnyResolution, zone: ZoneInfo) -> int:
    """End of the bucket that starts there. [ms since 1970, UTC]"""
    return _midnight(start, zone, 1) if resolution == "1d" else start + BUCKET_MS[resolution]


@lru_cache(maxsize=10_000)
def _midnight(at: int, zone: ZoneInfo, days: int) -> int:
    local = datetime.fromtimestamp(at / 1000, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return round((local + timedelta(days=days)).timestamp()) * 1000


def _raw(reader: StoreReader, device: StoredDevice, start: int, end: int, columns: list[str]) -> Iterator[Columns]:
    while start < end:
        page = reader.raw_columns(device.device_id, start, end, columns, PAGE_ROWS, device.metadata)
        if page.time:
            yield page
        if len(page.time) < PAGE_ROWS:
            return
        start = page.time[-1] + 1


def _rollups(
    reader: StoreReader,
    device: StoredDevice,
    resolution: Literal["1m", "1h", "1d"],
    start: int,
    end: int,
    columns: list[str],
) -> Iterator[Columns]:
    def page_from(first: int) -> Callable[[], Columns]:
        return reader.beside(
            partial(reader.rollup_columns, device.device_id, resolution, first, end, columns, PAGE_ROWS)
        )

    if start >= end:
        return
    page, newest = page_from(start), None
    opened = open_start(device, resolution)
    if opened is not None and start <= opened < end:
        # If it closes meanwhile either its stored row is in the page, or it is composed of all that it has.
        row = open_row(reader, device, resolution, columns)
        newest = None if row is None else _columns_of(row, columns)
    while (found := page()).time:
        start = found.time[-1] + BUCKET_MS[resolution]
        is_last = len(found.time) < PAGE_ROWS or start >= end
        page = page if is_last else page_from(start)
        yield found
        if is_last:
            break
    if newest is not None and newest.time[0] >= start:
        yield newest


def _site_days(
    reader: StoreReader, device: StoredDevice, start: int, end: int, columns: list[str], zone: ZoneInfo
) -> Iterator[Columns]:
    """Compose the site's days of UTC hours; an hour that midnight cuts is split by its minutes."""
    newest = frontier(device)
    if newest is None:
        return
    # From the first hour to the newest reading, however long a span was asked for.
    first_hour = reader.rollup_columns(device.device_id, "1h", start - start % HOUR_MS, end, [], 1).time
    oldest = first_hour[0] if first_hour else newest
    day, end = bucket_start(max(start, oldest), "1d", zone), min(end, newest + 1)
    day = day if day >= start else bucket_end(day, "1d", zone)
    while day < end:
        days = [day]
        while len(days) <= _PAGE_DAYS and days[-1] < end:
            days.append(bucket_end(days[-1], "1d", zone))
        first, last = days[0] - days[0] % HOUR_MS, days[-1]
        parts = [rollup_table(page) for page in _rollups(reader, device, "1h", first, last, columns)]
        if parts:
            yield _days(_split(reader, device, stacked(parts), days, columns), days, columns)
        day = days[-1]


def _split(
    reader: StoreReader, device: StoredDevice, hours: RollupTable, days: list[int], columns: list[str]
) -> RollupTable:
    """Split the hours that a midnight cuts by their minutes.

    Minutes are gone after 90 days: then the hour goes to its start's day.
    """
    halves: list[RollupTable] = []
    for midnight in days:
        hour = midnight - midnight % HOUR_MS
        if midnight == hour or hour not in hours.start:
            continue
        minutes = finer_rows(reader, device, "1m", hour, hour + HOUR_MS, columns)
        if len(minutes.start):
            hours = rows_at(hours, np.flatnonzero(hours.start != hour))
            halves.append(
                compose(minutes, np.where(minutes.start < midnight, hour, midnight), MINUTE_MS / HOUR_MS)
            )
    both = stacked([hours, *halves])
    return rows_at(both, np.argsort(both.start, kind="stable"))


def _days(parts: RollupTable, days: list[int], columns: list[str]) -> Columns:
    """Compose one row for each span between two of `days` that has any part."""
    starts = np.array(days)
    within = rows_at(parts, np.flatnonzero((parts.start >= starts[0]) & (parts.start < starts[-1])))
    of = np.searchsorted(starts, within.start, side="right") - 1
    composed = compose(within, starts[of], HOUR_MS / DAY_MS)
    # Coverage is a share of the day's own length: clocks are put forward and back.
    lengths = np.diff(starts)[np.searchsorted(starts, composed.start)]
    for column, name in enumerate(composed.names):
        if name.endswith("_coverage"):
            composed.values[:, column] *= DAY_MS / lengths
    return _columns_of(composed, columns)


def _columns_of(table: RollupTable, columns: list[str]) -> Columns:
    values = {name: _listed(table.values[:, column]) for column, name in enumerate(table.names)}
    nothing: list[float | None] = [None] * len(table.start)
    values |= {name: nothing for name in columns if name not in values}
    values["count"] = table.count.tolist()
    values["heat_source"] = [None if heat < 0 else heat for heat in table.heat.tolist()]
    return Columns(table.start.tolist(), values)


def _listed(values: Numbers) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]
