"""pages: one device's rows of a span by column, in short reads, the open bucket last."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal
from zoneinfo import ZoneInfo

from flows.model.device import metadata_at
from flows.model.quantities import HEAT_SOURCES
from flows.model.rollup import BUCKET_MS, RollupRow
from flows.physics.compose import compose_rows
from flows.queries.open_bucket import finer_rows, frontier, open_row, open_start
from flows.store.protocol import Columns, StoredDevice, StoreReader

AnyResolution = Literal["raw", "1m", "1h", "1d"]

PAGE_ROWS = 5_000
"""Rows of one read: short enough that no reader holds a checkpoint up."""

HOUR_MS = BUCKET_MS["1h"]
DAY_MS = BUCKET_MS["1d"]
_PAGE_DAYS = 31


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
        yield from _raw(reader, device.device_id, start, end, columns)
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


def _midnight(at: int, zone: ZoneInfo, days: int) -> int:
    local = datetime.fromtimestamp(at / 1000, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return round((local + timedelta(days=days)).timestamp()) * 1000


def _raw(reader: StoreReader, device_id: str, start: int, end: int, columns: list[str]) -> Iterator[Columns]:
    while start < end:
        page = reader.raw_columns(device_id, start, end, columns, PAGE_ROWS)
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
    opened = open_start(device, resolution)
    if opened is not None and start <= opened < end:
        # Composed first: if it closes meanwhile its stored row is read below, and this one is not needed.
        row = open_row(reader, device, resolution)
        newest = _columns_of([row], columns) if row else None
    else:
        newest = None
    while start < end:
        page = reader.rollup_columns(device.device_id, resolution, start, end, columns, PAGE_ROWS)
        if page.time:
            yield page
            start = page.time[-1] + BUCKET_MS[resolution]
        if len(page.time) < PAGE_ROWS:
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
        hours = [
            row
            for page in _rollups(reader, device, "1h", first, last, columns)
            for row in _rows_of(device.device_id, page)
        ]
        rows = _days(reader, device, hours, days)
        if rows:
            yield _columns_of(rows, columns)
        day = days[-1]


def _days(reader: StoreReader, device: StoredDevice, hours: list[RollupRow], days: list[int]) -> list[RollupRow]:
    """Compose one row for each span between two of `days` that has any."""
    cut = {midnight - midnight % HOUR_MS: midnight for midnight in days if midnight % HOUR_MS}
    parts: list[tuple[int, RollupRow]] = []
    for hour in hours:
        midnight = cut.get(hour.start)
        minutes = finer_rows(reader, device, "1m", hour.start, hour.start + HOUR_MS) if midnight else []
        if (
            midnight is None or not minutes
        ):  # minutes are gone after 90 days: then the hour goes to its start's day
            parts.append((hour.start, hour))
            continue
        for at, half in (
            (hour.start, [row for row in minutes if row.start < midnight]),
            (midnight, [row for row in minutes if row.start >= midnight]),
        ):
            part = compose_rows(half, "1h", hour.start, 0)
            if part is not None:
                parts.append((at, part))
    found = []
    for left, right in pairwise(days):
        row = compose_rows([part for at, part in parts if left <= at < right], "1d", left, 0)
        if row is not None:
            found.append(_of_its_length(row, right - left))
    return found


def _of_its_length(row: RollupRow, ms: int) -> RollupRow:
    """Correct coverage for a day that is not 24 h long: clocks are put forward and back."""
    for column in row.values:
        if column.endswith("_coverage"):
            row.values[column] *= DAY_MS / ms
    return row


def _rows_of(device_id: str, page: Columns) -> list[RollupRow]:
    names = [name for name in page.values if name not in ("count", "heat_source")]
    held = zip(*(page.values[name] for name in names), strict=True) if names else ((),) * len(page.time)
    return [
        RollupRow(
            device_id,
            "1h",
            start,
            0,
            int(count or 0),
            {name: value for name, value in zip(names, values, strict=True) if value is not None},
            "" if heat is None else HEAT_SOURCES[int(heat)],
        )
        for start, count, heat, values in zip(
            page.time, page.values["count"], page.values["heat_source"], held, strict=True
        )
    ]


def _columns_of(rows: list[RollupRow], columns: list[str]) -> Columns:
    values: dict[str, list[float | None]] = {name: [row.values.get(name) for row in rows] for name in columns}
    values["count"] = [row.count for row in rows]
    values["heat_source"] = [HEAT_SOURCES.index(row.heat_source) if row.heat_source else None for row in rows]
    return Columns([row.start for row in rows], values)
