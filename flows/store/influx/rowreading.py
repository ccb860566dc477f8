"""Raw rows and rollup rows as tables: for the reader, and for the writer's healing."""

from collections.abc import Collection, Iterable, Sequence

import msgspec
import numpy as np

from flows.model.device import DeviceMetadata
from flows.model.quantities import HEAT_SOURCES, QUANTITIES
from flows.model.rollup import Resolution
from flows.model.table import RollupTable, Table, Times
from flows.physics.derive import DERIVED_NAMES, derived_table
from flows.store.influx.answers import series
from flows.store.influx.checking import END_OF_TIME
from flows.store.influx.columns import NOTHING, Rows, side_by_side
from flows.store.influx.names import CLOCK, COUNT, HEAT_SOURCE, LATE, ORDER, READING, ROLLUP, tag_of
from flows.store.influx.server import InfluxServer, moment

PAYLOAD = tuple(quantity.name for quantity in QUANTITIES if quantity.origin == "payload")

DERIVED_FROM = (
    "temp_inlet",
    "temp_outlet",
    "temp_ambient",
    "temp_compressor",
    "flow_rate",
    "pressure_high",
    "pressure_low",
)
"""What derived quantities are computed from."""

_SPAN = """
from(bucket: p_bucket)
  |> range(start: p_start, stop: p_end)
  |> filter(fn: (r) => r._measurement == p_measurement)
"""
_KEPT = '  |> keep(columns: ["_time", "_field", "_value"])\n'
_KEPT_OF_EACH = '  |> keep(columns: ["_time", "_field", "_value", "device_id"])\n'

_ORDER = {quantity.name: place for place, quantity in enumerate(QUANTITIES)}


class RawRows(msgspec.Struct, frozen=True):
    """Raw rows of one device, oldest first.

    table : quantities of the payload that any of the rows has, in the order of quantities.py.
    late  : arrival less event time [ms]; order: of the row's cause. Both 0 of points that another program wrote.
    clock : by which each was dated.
    """

    table: Table
    late: Times
    order: Times
    clock: list[str]


def read_raw(
    server: InfluxServer,
    device_id: str,
    start: int,
    end: int,
    names: Collection[str] | None = None,
    limit: int | None = None,
    newest_first: bool = False,
) -> RawRows:
    """Read the rows of a device in [start, end) [ms since 1970, UTC], oldest first.

    names : of the payload's quantities, None: all. The rows that have none of them are there, too.
    limit : most rows; with newest_first the newest ones.
    """
    fields = [*(PAYLOAD if names is None else names), ORDER, LATE, CLOCK]
    rows = _read(server, device_id, start, end, fields, limit, newest_first)
    if names is not None:
        others = _others(server, device_id, start, end, rows, limit, newest_first)
        rows = _beside(rows, others, limit, newest_first)
    sent = sorted(rows.numbers.keys() & _ORDER.keys(), key=_ORDER.__getitem__)
    values = np.array([rows.numbers[name] for name in sent]).reshape(len(sent), len(rows.at)).T
    clock = [text or "device" for text in rows.text(CLOCK)]
    return RawRows(Table(rows.at, tuple(sent), values), rows.number(LATE, 0), rows.number(ORDER, 0), clock)


def raw_times(
    server: InfluxServer,
    device_id: str,
    start: int,
    end: int,
    limit: int | None = None,
    newest_first: bool = False,
) -> Times:
    """Read the event times alone, oldest first; see `read_raw`. [ms since 1970, UTC]"""
    rows = _read(server, device_id, start, end, [ORDER], limit, newest_first)
    others = _others(server, device_id, start, end, rows, limit, newest_first)
    return _beside(rows, others, limit, newest_first).at


def with_derived(table: Table, history: list[DeviceMetadata]) -> Table:
    """Add what derives from each row; quantities that none of them has are left out, names as in quantities.py."""
    derived = derived_table(table, history)
    values = np.concatenate([table.values, derived.values], axis=1)
    names = (*table.names, *DERIVED_NAMES)
    there = np.flatnonzero((values == values).any(axis=0)).tolist()
    there.sort(key=lambda column: _ORDER[names[column]])
    return Table(table.at, tuple(names[column] for column in there), values[:, there])


def read_rollups(
    server: InfluxServer,
    resolution: Resolution,
    device_ids: Sequence[str],
    start: int,
    end: int,
    columns: Collection[str] | None = None,
    limit: int | None = None,
) -> dict[str, RollupTable]:
    """Read the rows of devices whose bucket starts in [start, end). [ms since 1970, UTC]

    Gives them by device; one that has none is absent.
    columns : None: all. limit: most rows of each device, the oldest.
    """
    found = rollup_rows(server, resolution, device_ids, start, end, columns, limit)
    return {device_id: _rollup_table(rows) for device_id, rows in found.items()}


def rollup_rows(
    server: InfluxServer,
    resolution: Resolution,
    device_ids: Sequence[str],
    start: int,
    end: int,
    columns: Collection[str] | None = None,
    limit: int | None = None,
) -> dict[str, Rows]:
    """Read rollup rows by field; see `read_rollups`."""
    span = _span(start, end)
    if span is None or not device_ids:
        return {}
    chosen, bound = _any("device_id", [tag_of(device_id) for device_id in device_ids])
    flux = _SPAN + chosen
    if columns is not None:
        chosen, names = _any("_field", [*columns, COUNT, ORDER, HEAT_SOURCE])
        flux, bound = flux + chosen, bound | names
    flux += _cut(limit, newest_first=False) + _KEPT_OF_EACH
    answer = server.text(flux, bucket=server.address.rollups(resolution), measurement=ROLLUP, **span, **bound)
    return side_by_side(series(answer), limit)


def _rollup_table(rows: Rows) -> RollupTable:
    names = tuple(name for name in rows.numbers if name not in (COUNT, ORDER))
    values = np.array([rows.numbers[name] for name in names]).reshape(len(names), len(rows.at)).T
    heat = [HEAT_SOURCES.index(source) if source else -1 for source in rows.text(HEAT_SOURCE)]
    return RollupTable(
        rows.at, rows.number(ORDER, 0), rows.number(COUNT, 0), np.array(heat, dtype=np.int64), names, values
    )


def _read(
    server: InfluxServer,
    device_id: str,
    start: int,
    end: int,
    fields: Sequence[str],
    limit: int | None,
    newest_first: bool,
) -> Rows:
    span = _span(start, end)
    if span is None or limit == 0:
        return NOTHING
    chosen, names = _any("_field", fields)
    device = "  |> filter(fn: (r) => r.device_id == p_device)\n"
    answer = server.text(
        _SPAN + device + chosen + _cut(limit, newest_first) + _KEPT,
        bucket=server.address.bucket,
        measurement=READING,
        device=tag_of(device_id),
        **span,
        **names,
    )
    return side_by_side(series(answer), limit, newest_first).get("", NOTHING)


def _others(
    server: InfluxServer,
    device_id: str,
    start: int,
    end: int,
    own: Rows,
    limit: int | None,
    newest_first: bool,
) -> Rows:
    """Find the rows that another program wrote: they have no order, and lie before the first of our own.

    own : what was read of the span.
    """
    ours = own.at[own.numbers[ORDER] == own.numbers[ORDER]] if ORDER in own.numbers else own.at[:0]
    if newest_first and limit is not None and len(ours) >= limit:
        return NOTHING
    return _read(server, device_id, start, int(ours[0]) if len(ours) else end, PAYLOAD, limit, newest_first)


def _beside(rows: Rows, others: Rows, limit: int | None, newest_first: bool) -> Rows:
    """Put the times of other rows among rows."""
    if not len(others.at):
        return rows
    at = np.union1d(rows.at, others.at)
    if limit is not None:
        at = at[-limit:] if newest_first else at[:limit]
    _, here, there = np.intersect1d(at, rows.at, return_indices=True)
    numbers, texts = {}, {}
    for field, column in rows.numbers.items():
        numbers[field] = np.full(len(at), np.nan)
        numbers[field][here] = column[there]
    for field, held in rows.texts.items():
        texts[field] = [""] * len(at)
        for place, source in zip(here.tolist(), there.tolist(), strict=True):
            texts[field][place] = held[source]
    return Rows(at, numbers, texts)


def _span(start: int, end: int) -> dict[str, object] | None:
    """Bind a span; None where nothing can be in it."""
    start, end = max(start, 0), min(end, END_OF_TIME)
    return {"start": moment(start), "end": moment(end)} if start < end else None


def _any(tag: str, values: Iterable[str]) -> tuple[str, dict[str, str]]:
    """Choose what has one of these values: compared one by one, which the server does where the points lie."""
    bound = {f"{tag.strip('_')}{place}": value for place, value in enumerate(dict.fromkeys(values))}
    return f"  |> filter(fn: (r) => {' or '.join(f'r.{tag} == p_{name}' for name in bound)})\n", bound


def _cut(limit: int | None, newest_first: bool) -> str:
    if limit is None:
        return ""
    return f"  |> {'tail' if newest_first else 'limit'}(n: {limit:d})\n"
