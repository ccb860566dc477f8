"""Questions for rows of devices in a span, and how little of the span the server need read for them."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np

from flows.store.influx.answers import series
from flows.store.influx.checking import END_OF_TIME
from flows.store.influx.columns import Rows, side_by_side
from flows.store.influx.names import ORDER, tag_of
from flows.store.influx.server import InfluxServer, moment

_SPAN = """
from(bucket: p_bucket)
  |> range(start: p_start, stop: p_end)
  |> filter(fn: (r) => r._measurement == p_measurement)
"""
_KEPT = '  |> keep(columns: ["_time", "_field", "_value", "device_id"])\n'

WINDOWS = 500
"""In so many the rows of a span are counted."""

SLOWEST_MS = 20_000
"""A device that sends this often or less has its rows read without a count before. [ms]"""


class Cut(msgspec.Struct, frozen=True):
    """The most rows that are wanted of a device: the first of a span, or the newest."""

    rows: int
    newest: bool = False

    @property
    def flux(self) -> str:
        """Cut every series: a row that is wanted is there in each that has it."""
        if self.rows == 1:
            return f"  |> {'last' if self.newest else 'first'}()\n"
        return f"  |> {'tail' if self.newest else 'limit'}(n: {self.rows:d})\n"


class Of(msgspec.Struct, frozen=True):
    """Whose rows: of one device or several in a measurement of a bucket."""

    bucket: str
    measurement: str
    device_ids: Sequence[str]


def ask(
    server: InfluxServer, of: Of, start: int, end: int, fields: Iterable[str] | None = None, cut: Cut | None = None
) -> dict[str, Rows]:
    """Read rows of [start, end) [ms since 1970, UTC] by device; those without are absent. fields: None: all."""
    start, end = max(start, 0), min(end, END_OF_TIME)
    if start >= end or not of.device_ids or (cut and not cut.rows):
        return {}
    return _answer(server, of, start, end, fields, cut.flux if cut else "", cut)


def narrowed(server: InfluxServer, of: Of, start: int, end: int, cut: Cut) -> tuple[int, int]:
    """Find a part of [start, end) that holds all rows of one device that are wanted.

    Counting costs the server little, reading a lot. Rows of our own are counted: they are the ones with an order.
    """
    start, end = max(start, 0), min(end, END_OF_TIME)
    side = "_start" if cut.newest else "_stop"
    while cut.rows > 1 and end - start > cut.rows * SLOWEST_MS:
        wide = end - start
        length = -(-wide // WINDOWS)
        count = f'  |> aggregateWindow(every: {length:d}ms, fn: count, createEmpty: false, timeSrc: "{side}")\n'
        windows = next(iter(_answer(server, of, start, end, [ORDER], count).values()), None)
        if windows is None:
            break
        step = -1 if cut.newest else 1
        total = windows.numbers[ORDER][::step].cumsum()
        if total[-1] < cut.rows:
            break
        reached = int(windows.at[::step][np.searchsorted(total, cut.rows)])
        if cut.newest:
            start = reached
        else:
            start, end = _first(server, of, start, reached), reached
        if end - start > wide // 2:
            break
    return start, end


def _first(server: InfluxServer, of: Of, start: int, end: int) -> int:
    """Find the first row of any origin."""
    found = _answer(server, of, start, end, None, "  |> first()\n")
    return min((int(rows.at[0]) for rows in found.values()), default=start)


def _answer(
    server: InfluxServer,
    of: Of,
    start: int,
    end: int,
    fields: Iterable[str] | None,
    then: str,
    cut: Cut | None = None,
) -> dict[str, Rows]:
    flux, bound = _points(of, start, end, fields)
    text = server.text(flux + then + _KEPT, **bound)
    return side_by_side(series(text), cut.rows if cut else None, cut is not None and cut.newest)


def _points(of: Of, start: int, end: int, fields: Iterable[str] | None) -> tuple[str, dict[str, Any]]:
    devices, bound = _any("device_id", map(tag_of, of.device_ids))
    flux = _SPAN + devices
    if fields is not None:
        chosen, names = _any("_field", fields)
        flux, bound = flux + chosen, bound | names
    span = {"start": moment(start), "end": moment(end)}
    return flux, {"bucket": of.bucket, "measurement": of.measurement, **span, **bound}


def _any(tag: str, values: Iterable[str]) -> tuple[str, dict[str, Any]]:
    """Choose what has one of these values: compared one by one, which the server does where the points lie."""
    bound = {f"{tag.strip('_')}{place}": value for place, value in enumerate(dict.fromkeys(values))}
    return f"  |> filter(fn: (r) => {' or '.join(f'r.{tag} == p_{name}' for name in bound)})\n", bound
