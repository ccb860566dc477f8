"""Raw rows and rollup rows as tables: for the reader, and for the writer's healing."""

from collections.abc import Collection, Sequence
from typing import cast

import msgspec
import numpy as np

from flows.model.cells import DERIVED_NAMES
from flows.model.device import DeviceMetadata
from flows.model.quantities import FLAG_NAMES, HEAT_SOURCES, QUANTITIES
from flows.model.reading import Clock, Value
from flows.model.rollup import BUCKET_MS, Resolution
from flows.model.table import RollupTable, Table, Times
from flows.physics.derive import derived_table
from flows.store.influx.columns import NOTHING, Rows
from flows.store.influx.names import CLOCK, COUNT, HEAT_SOURCE, LATE, ORDER, READING, ROLLUP
from flows.store.influx.questions import Cut, Of, ask, ask_and_first, last_of_each, narrowed
from flows.store.influx.server import InfluxServer

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
    clock: list[Clock]


def read_raw(
    server: InfluxServer,
    device_id: str,
    start: int,
    end: int,
    names: Collection[str] | None = None,
    limit: int | None = None,
    newest_first: bool = False,
    own: Sequence[str] = (ORDER, LATE, CLOCK),
) -> RawRows:
    """Read the rows of a device in [start, end) [ms since 1970, UTC], oldest first.

    names : of the payload's quantities, None: all. The rows that have none of them are there, too.
    limit : most rows; with newest_first the newest ones.
    own   : what is read besides the quantities; the order at least where names are given.
    """
    rows = _rows(server, device_id, start, end, names, own, limit, newest_first)
    sent = sorted(rows.numbers.keys() & _ORDER.keys(), key=_ORDER.__getitem__)
    values = np.array([rows.numbers[name] for name in sent]).reshape(len(sent), len(rows.at)).T
    clock = [cast(Clock, text or "device") for text in rows.text(CLOCK)]
    return RawRows(Table(rows.at, tuple(sent), values), rows.number(LATE, 0), rows.number(ORDER, 0), clock)


def newest(rows: RawRows, limit: int) -> RawRows:
    """Take the newest rows."""
    table = Table(rows.table.at[-limit:], rows.table.names, rows.table.values[-limit:])
    return RawRows(table, rows.late[-limit:], rows.order[-limit:], rows.clock[-limit:])


def raw_times(
    server: InfluxServer,
    device_id: str,
    start: int,
    end: int,
    limit: int | None = None,
    newest_first: bool = False,
) -> Times:
    """Read the event times alone, oldest first; see `read_raw`. [ms since 1970, UTC]"""
    return _rows(server, device_id, start, end, [], [ORDER], limit, newest_first).at


def newest_values(server: InfluxServer, device_id: str) -> dict[str, tuple[int, Value]]:
    """Look up the newest values with their event times [ms since 1970, UTC] of a device that the flow never met.

    None of one that has rows of our own: their newest values are told by the flow.
    """
    of = Of(server.address.bucket, READING, [device_id])
    rows = last_of_each(server, of, [*PAYLOAD, ORDER]).get(device_id, NOTHING)
    found: dict[str, tuple[int, Value]] = {}
    for name, column in rows.numbers.items():
        if name == ORDER:
            return {}
        place = np.flatnonzero(column == column)[-1]
        value = float(column[place])
        found[name] = int(rows.at[place]), bool(value) if name in FLAG_NAMES else value
    return found


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
    fields = None if columns is None else [*columns, ORDER, HEAT_SOURCE]
    found = rollup_rows(server, resolution, device_ids, start, end, fields, limit)
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
    """Read rollup rows by field; see `read_rollups`. columns: those of a row's own fields too that are wanted."""
    of = Of(server.address.rollups(resolution), ROLLUP, device_ids)
    fields = None if columns is None else [*columns, COUNT]
    if limit is None or len(device_ids) != 1:
        return ask(server, of, start, end, fields, None if limit is None else Cut(limit))
    # Where no row is missing, all that are wanted lie in as many buckets.
    length = limit * BUCKET_MS[resolution]
    few, window = True, length
    while limit > 1 and start + window < end:
        found = ask(server, of, start, start + window, fields, Cut(limit), few)
        if any(len(rows.at) == limit for rows in found.values()):
            return found
        few, window = False, 4 * window
    return ask(server, of, start, end, fields, Cut(limit), end - start <= length)


def _rollup_table(rows: Rows) -> RollupTable:
    names = tuple(name for name in rows.numbers if name not in (COUNT, ORDER))
    values = np.array([rows.numbers[name] for name in names]).reshape(len(names), len(rows.at)).T
    heat = [HEAT_SOURCES.index(source) if source else -1 for source in rows.text(HEAT_SOURCE)]
    return RollupTable(
        rows.at, rows.number(ORDER, 0), rows.number(COUNT, 0), np.array(heat, dtype=np.int64), names, values
    )


def _rows(
    server: InfluxServer,
    device_id: str,
    start: int,
    end: int,
    names: Collection[str] | None,
    own: Sequence[str],
    limit: int | None,
    newest_first: bool,
) -> Rows:
    """Read raw rows. own: which of the fields that only our rows have."""
    of = Of(server.address.bucket, READING, [device_id])
    cut = None if limit is None else Cut(limit, newest_first)
    few = False
    if cut is not None:
        start, end, few = narrowed(server, of, start, end, cut)
    if names is None:
        return ask(server, of, start, end, [*PAYLOAD, *own], cut, few).get(device_id, NOTHING)
    found, first = ask_and_first(server, of, start, end, [*names, *own], cut, few)
    rows = found.get(device_id, NOTHING)
    ours = rows.at[~np.isnan(rows.numbers[ORDER])] if ORDER in rows.numbers else rows.at[:0]
    # Rows that another program wrote have no order: they lie before our first.
    until = int(ours[0]) if len(ours) else end
    if first >= until or (newest_first and limit is not None and len(ours) >= limit):
        return rows
    others = ask(server, of, start, until, PAYLOAD, cut)
    return _beside(rows, others[device_id].at, cut) if others else rows


def _beside(rows: Rows, others: Times, cut: Cut | None) -> Rows:
    """Put the times of other rows among rows."""
    at = np.union1d(rows.at, others)
    if cut is not None:
        at = at[-cut.rows :] if cut.newest else at[: cut.rows]
    _, here, there = np.intersect1d(at, rows.at, return_indices=True)
    numbers = {field: np.full(len(at), np.nan) for field in rows.numbers}
    texts = {field: [""] * len(at) for field in rows.texts}
    for field, column in rows.numbers.items():
        numbers[field][here] = column[there]
    for field, held in rows.texts.items():
        for place, source in zip(here.tolist(), there.tolist(), strict=True):
            texts[field][place] = held[source]
    return Rows(at, numbers, texts)
