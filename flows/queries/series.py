"""series: values of one device over a span, by column, with what is missing said."""

from collections.abc import Iterator
from itertools import chain
from zoneinfo import ZoneInfo

import msgspec

from flows.errors import BadQuery
from flows.model.quantities import BY_NAME, HEAT_SOURCES
from flows.model.times import iso
from flows.queries.completeness import Gap, gaps, raw_coverage, rollup_coverage
from flows.queries.fields import (
    any_in_rollups_only,
    columns_of_rollups,
    coverage_column,
    refuse_rollup_columns,
    unit_of,
)
from flows.queries.pages import AnyResolution, bucket_end, bucket_start, pages
from flows.queries.resolution import choose
from flows.queries.times import iso_all
from flows.store.protocol import Columns, StoredDevice, StoreReader

USUAL_POINTS = 2_000
MOST_POINTS = 20_000

Numbers = list[float | None]


class Series(msgspec.Struct, frozen=True):
    """The answer; see docs/reference/api.md.

    start, end  : the span as answered: of rollups, widened to whole buckets.
    readings    : how many it holds.
    coverage    : by field, share of the span until now for which a value is known.
    gaps        : holes of more than 900 s; of rollups, as fine as the buckets.
    heat_source : the least certain source of heat in the span (counter, measured, estimated), None of raw.
    values      : by field; of rollups {mean, min, max} of numbers, the share of time of flags.
    """

    device_id: str
    resolution: AnyResolution
    start: str
    end: str
    timezone: str
    readings: int
    coverage: dict[str, float]
    gaps: list[tuple[str, str]]
    units: dict[str, str]
    heat_source: str | None
    time: list[str]
    values: dict[str, Numbers | dict[str, Numbers]]


class Span(msgspec.Struct, frozen=True):
    """What is to be read. columns: of the store; start, end: [ms since 1970, UTC]."""

    device: StoredDevice
    resolution: AnyResolution
    start: int
    end: int
    fields: list[str]
    columns: list[str]
    zone: ZoneInfo


def plan(
    reader: StoreReader,
    device: StoredDevice,
    fields: list[str],
    start: int,
    end: int,
    resolution: AnyResolution | None,
    max_points: int,
    zone: ZoneInfo,
) -> Span:
    """Decide what to read; resolution None: the finest that fits. Raises BadQuery."""
    if resolution is None:
        resolution = choose(reader, device.device_id, start, end, max_points, any_in_rollups_only(fields))
    if resolution == "raw":
        refuse_rollup_columns(fields)
        return Span(device, resolution, start, end, fields, fields, zone)
    start = bucket_start(start, resolution, zone)
    end = bucket_end(bucket_start(end - 1, resolution, zone), resolution, zone)
    return Span(device, resolution, start, end, fields, columns_of_rollups(fields), zone)


def series(reader: StoreReader, span: Span, max_points: int, now: int) -> Series:
    """Read a span of at most max_points points. now: [ms since 1970, UTC]. Raises BadQuery."""
    rows = _joined(_read(reader, span), span.columns, max_points, span.resolution)
    known_until = max(min(span.end, now), span.start)
    lengths = _lengths(span, rows.time)
    return Series(
        device_id=span.device.device_id,
        resolution=span.resolution,
        start=iso(span.start),
        end=iso(span.end),
        timezone=span.zone.key,
        readings=_readings(span, rows),
        coverage=_coverage(span, rows, lengths, known_until),
        gaps=[(iso(left), iso(right)) for left, right in _gaps(span, rows, lengths, known_until)],
        units={field: unit_of(field) for field in span.fields},
        heat_source=_heat_source(rows.values.get("heat_source", [])),
        time=iso_all(rows.time),
        values={field: _values(span, rows, field) for field in span.fields},
    )


def table(reader: StoreReader, span: Span) -> Iterator[list[list[object]]]:
    """Read a span as the lines of a table, a page at a time, however long; the first page is the header."""
    names = [name for field in span.fields for name in _table_columns(span, field)]
    yield [["time", *names]]
    for page in _read(reader, span):
        held = zip(*(page.values[name] for name in names), strict=True) if names else ((),) * len(page.time)
        yield [[at, *values] for at, values in zip(iso_all(page.time), held, strict=True)]


def _read(reader: StoreReader, span: Span) -> Iterator[Columns]:
    return pages(reader, span.device, span.resolution, span.start, span.end, span.columns, span.zone)


def _joined(read: Iterator[Columns], columns: list[str], max_points: int, resolution: AnyResolution) -> Columns:
    found: list[Columns] = []
    points = 0
    for page in read:
        found.append(page)
        points += len(page.time)
        if points > max_points:
            raise BadQuery(
                "max_points",
                max_points,
                f"is less than this span has at resolution {resolution}; ask a shorter span, a coarser resolution,"
                f" up to {MOST_POINTS} points, or CSV, which has no such limit",
            )
    time = list(chain.from_iterable(page.time for page in found))
    values = {name: list(chain.from_iterable(page.values[name] for page in found)) for name in columns}
    return Columns(time, values)


def _lengths(span: Span, starts: list[int]) -> list[int]:
    if span.resolution == "raw":
        return []
    return [bucket_end(at, span.resolution, span.zone) - at for at in starts]


def _readings(span: Span, rows: Columns) -> int:
    if span.resolution == "raw":
        return len(rows.time)
    return int(sum(count or 0 for count in rows.values["count"]))


def _coverage(span: Span, rows: Columns, lengths: list[int], until: int) -> dict[str, float]:
    span_ms = until - span.start
    if span.resolution == "raw":
        covered = raw_coverage(rows.time, rows.values, until, span_ms)
    else:
        columns = {field: coverage_column(field) for field in span.fields}
        covered = {
            field: rollup_coverage(rows.values[column], lengths, span_ms)
            for field, column in columns.items()
            if column
        }
    return {field: round(share, 6) for field, share in covered.items()}


def _gaps(span: Span, rows: Columns, lengths: list[int], until: int) -> list[Gap]:
    if span.resolution == "raw":
        return gaps(rows.time, rows.time, span.start, until)
    counts = rows.values["count"]
    filled = [(at, min(at + ms, until)) for at, ms, count in zip(rows.time, lengths, counts, strict=True) if count]
    return gaps([left for left, _ in filled], [right for _, right in filled], span.start, until)


def _heat_source(codes: Numbers) -> str | None:
    known = [int(code) for code in codes if code is not None]
    return HEAT_SOURCES[max(known)] if known else None


def _values(span: Span, rows: Columns, field: str) -> Numbers | dict[str, Numbers]:
    names = _table_columns(span, field)
    if len(names) == 1:
        return rows.values[names[0]]
    return {name.removeprefix(f"{field}_"): rows.values[name] for name in names}


def _table_columns(span: Span, field: str) -> list[str]:
    """Name the columns that say a field: of rollups mean, min and max of a number, the share of a flag."""
    if span.resolution == "raw" or field not in BY_NAME:
        return [field]
    if BY_NAME[field].kind == "flag":
        return [f"{field}_share"]
    return [f"{field}_{part}" for part in ("mean", "min", "max")]
