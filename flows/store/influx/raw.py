"""Raw rows: one reading a point, merged field by field with a newer one of the same device and time.

A reading newer than all that its device has is written without a question; what may be there is asked for.
"""

from collections.abc import Iterable, Iterator
from operator import attrgetter

import msgspec

from flows.model.cells import cells_of
from flows.model.device import metadata_at
from flows.model.quantities import BY_NAME, Value
from flows.model.rows import RawRow
from flows.physics.derive import DERIVED, derived_values
from flows.store.influx.answers import times_ms
from flows.store.influx.catalog import Catalog
from flows.store.influx.devices import meet
from flows.store.influx.lines import raw_lines
from flows.store.influx.names import READING, tag_of, text_of
from flows.store.influx.outgoing import LINES_A_REQUEST
from flows.store.influx.server import InfluxServer, moment
from flows.store.influx.spans import Key, spans

STEP_MS, ROWS_A_QUESTION = 10_000, 40_000
"""About how far apart readings are [ms], and how many a question may bring."""

_POINTS = """
from(bucket: p_bucket)
  |> range(start: p_start, stop: p_end)
  |> filter(fn: (r) => r._measurement == p_measurement)
  |> filter(fn: (r) => {})
"""
_ORDERS = '  |> filter(fn: (r) => r._field == "order")\n'
_KEPT = '  |> keep(columns: ["device_id", "_time", "_field", "_value"])\n'
_FLAGS = {"true": True, "false": False}
_PAYLOAD = BY_NAME.keys() - DERIVED
"""Other programs' points have fields of their own, too."""

_by_series = attrgetter("device_id", "at")


def write_raw(catalog: Catalog, rows: list[RawRow]) -> int:
    """Write readings; returns how many said nothing new.

    One of a known device and time is merged field by field if it is newer.
    """
    before = catalog.leaving.raw_before
    if before:
        rows = [row for row in rows if row.at >= before.get(row.device_id, 0)]
    meet(catalog, {row.device_id for row in rows})
    newest = catalog.raw.newest
    fresh: list[RawRow] = []
    again: list[RawRow] = []
    for row in sorted(rows, key=_by_series):
        if row.at > newest.get(row.device_id, -1):
            newest[row.device_id] = row.at
            fresh.append(row)
        else:
            again.append(row)
    if fresh:
        catalog.attempted.append(fresh)
        for first in range(0, len(fresh), LINES_A_REQUEST):  # sent while the next are written
            lines = raw_lines(fresh[first : first + LINES_A_REQUEST])
            catalog.outgoing.add(catalog.server.address.bucket, lines)
        _count(catalog, fresh)
        catalog.samples.add(fresh)
    if not again:
        return 0
    catalog.outgoing.flush()
    told = _merge(catalog, again)
    catalog.attempted.append(told)
    return len(again) - len(told)


def _merge(catalog: Catalog, rows: list[RawRow]) -> list[RawRow]:
    """Write what these rows add to what may be stored; returns those that said something new.

    So did what an attempt that failed brought as far as the server.
    """
    orders = stored_orders(catalog.server, {(row.device_id, row.at) for row in rows})
    newer = {(row.device_id, row.at) for row in rows if row.order > orders.get((row.device_id, row.at), -1)}
    stored = stored_values(catalog.server, newer) if newer else {}
    told: list[RawRow] = []
    merged: dict[Key, RawRow] = {}
    for row in rows:
        key = row.device_id, row.at
        if row.order <= orders.get(key, -1):
            if (*key, row.order) in catalog.failed:
                told.append(row)
            continue
        known = stored.get(key)
        if known is None:
            _count(catalog, [row])
            values = row.values
        else:
            values = {**known, **_payload(row.values)}
            values.update((name, known[name]) for name in row.summed if name in known)
            if _exactly(values) == _exactly(known):
                continue
            history = catalog.devices.history(row.device_id)
            values = {**values, **derived_values(values, metadata_at(history, row.at))}
        orders[key], stored[key] = row.order, _payload(values)
        merged[key] = msgspec.structs.replace(row, cells=cells_of(values))
        told.append(row)
    for device_id in {device_id for device_id, _ in merged}:
        catalog.samples.drop(device_id)
    lines = raw_lines(list(merged.values()), every_clock=True)
    catalog.outgoing.add(catalog.server.address.bucket, lines)
    return told


def stored_orders(server: InfluxServer, keys: set[Key]) -> dict[Key, int]:
    """Read the orders of rows that are stored; those of another program have none."""
    return {key: int(float(text)) for key, _, text in _read(server, keys, _ORDERS + _KEPT)}


def stored_values(server: InfluxServer, keys: set[Key]) -> dict[Key, dict[str, Value]]:
    """Read the payload of rows that are stored, whatever program wrote them."""
    found: dict[Key, dict[str, Value]] = {}
    for key, field, text in _read(server, keys, _KEPT):
        values = found.setdefault(key, {})
        if field in _PAYLOAD:
            values[field] = _FLAGS[text] if text in _FLAGS else float(text)
    return found


def _read(server: InfluxServer, keys: set[Key], rest: str) -> Iterator[tuple[Key, str, str]]:
    """Read fields of points, by (key, field, value)."""
    for start, end, device_ids in spans(keys, STEP_MS, ROWS_A_QUESTION):
        bound = {f"d{place}": tag_of(device_id) for place, device_id in enumerate(device_ids)}
        chosen = " or ".join(f"r.device_id == p_{name}" for name in bound)
        span = {"start": moment(start), "end": moment(end)}
        answer = server.ask(
            _POINTS.format(chosen) + rest, bucket=server.address.bucket, measurement=READING, **span, **bound
        )
        for block in answer:
            at = times_ms(block.column("_time")).tolist()
            cells = (at, *map(block.column, ("device_id", "_field", "_value")))
            for time, tag, field, value in zip(*cells, strict=True):
                key = text_of(tag), time
                if key in keys:
                    yield key, field, value


def _count(catalog: Catalog, rows: list[RawRow]) -> None:
    """Count rows of which none was stored."""
    reach = catalog.raw
    reach.counts.update([row.device_id for row in rows])
    for row in rows:
        if row.at < reach.oldest.get(row.device_id, row.at + 1):
            reach.oldest[row.device_id] = row.at


def _payload(values: dict[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in values.items() if name not in DERIVED}


def _exactly(values: dict[str, Value]) -> str:
    """Tell values apart as doubles: 0.0 from −0.0, but not a flag from its number."""
    return repr(sorted((name, float(value)) for name, value in values.items()))


def keys_of(rows: Iterable[RawRow]) -> Iterator[tuple[str, int, int]]:
    """What tells rows apart: device, event time, order."""
    return map(attrgetter("device_id", "at", "order"), rows)
