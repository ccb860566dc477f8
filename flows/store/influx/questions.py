"""Questions for rows of devices in a span, and how little of the span the server need read for them."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np

from flows.model.quantities import BY_NAME
from flows.store.influx.answers import Series, series, times_ms
from flows.store.influx.checking import END_OF_TIME, ROLLUP_COLUMNS
from flows.store.influx.columns import Rows, side_by_side
from flows.store.influx.names import CLOCK, COUNT, HEAT_SOURCE, LATE, ORDER, tag_of
from flows.store.influx.server import InfluxServer, moment

_SPAN = """
from(bucket: p_bucket)
  |> range(start: p_start, stop: p_end)
  |> filter(fn: (r) => r._measurement == p_measurement)
"""
_FILTER = "  |> filter(fn: (r) => {})\n"
_KEPT = '  |> keep(columns: ["_time", "_field", "_value"])\n'
_KEPT_OF_EACH = '  |> keep(columns: ["_time", "_field", "_value", "device_id"])\n'

FIELDS = frozenset(BY_NAME) | ROLLUP_COLUMNS | {ORDER, LATE, CLOCK, COUNT, HEAT_SOURCE}
"""Those that questions name, and nothing else."""

WINDOWS = 500
"""In so many the rows of a span are counted."""

SLOWEST_MS = 20_000
"""A device that sends this often or less has its newest rows read without a count before. [ms]"""


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
    server: InfluxServer,
    of: Of,
    start: int,
    end: int,
    fields: Iterable[str] | None = None,
    cut: Cut | None = None,
    few: bool = False,
) -> dict[str, Rows]:
    """Read rows of [start, end) [ms since 1970, UTC] by device; those without are absent.

    fields : None: all; what is no field of ours is left out.
    few    : there are hardly more rows in the span than the cut leaves: that is not worth the server's while.
    """
    start, end = max(start, 0), min(end, END_OF_TIME)
    if start >= end or not of.device_ids or (cut and not cut.rows):
        return {}
    return _answer(server, of, start, end, fields, cut.flux if cut and not few else "", cut)


def ask_and_first(
    server: InfluxServer, of: Of, start: int, end: int, fields: Iterable[str], cut: Cut | None, few: bool
) -> tuple[dict[str, Rows], int]:
    """Ask as `ask` does, and for the time of the first point of any field, the end where there is none."""
    start, end = max(start, 0), min(end, END_OF_TIME)
    if start >= end or not of.device_ids or (cut and not cut.rows):
        return {}, end
    flux, bound = _points(of, start, end, fields)
    first, _ = _points(of, start, end, None)
    flux += (cut.flux if cut and not few else "") + _KEPT + '  |> yield(name: "rows")\n'
    flux += first + "  |> first()\n" + _KEPT + '  |> yield(name: "first")\n'
    answers: dict[str, list[Series]] = {"rows": [], "first": []}
    for each in series(server.stream(flux, **bound)):
        answers[each.labels["result"]].append(each)
    at = min((int(times_ms(each.times)[0]) for each in answers["first"]), default=end)
    return _by_device(of, answers["rows"], cut), at


def last_of_each(server: InfluxServer, of: Of, fields: Iterable[str]) -> dict[str, Rows]:
    """Read the rows that have the newest value of a field, and of each row no other values."""
    return _answer(server, of, 0, END_OF_TIME, fields, "  |> last()\n")


def narrowed(server: InfluxServer, of: Of, start: int, end: int, cut: Cut) -> tuple[int, int, bool]:
    """Find a part of [start, end) that holds all rows of one device that are wanted.

    Gives its start and end, and whether it holds few more. Counting costs the server little, reading a lot.
    Rows of our own are counted: they are the ones with an order.
    """
    start, end, few = max(start, 0), min(end, END_OF_TIME), False
    side, enough = ("_start", SLOWEST_MS) if cut.newest else ("_stop", 3 * SLOWEST_MS)
    while cut.rows > 1 and end - start > cut.rows * enough:
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
        place = np.searchsorted(total, cut.rows)
        few = cut.newest and total[place] < 2 * cut.rows
        reached = int(windows.at[::step][place])
        if cut.newest:
            start = reached
        else:
            if windows.at[0] > start + 2 * length:
                start = _first(server, of, start, reached)
            end = reached
        if end - start > wide // 2:
            break
    return start, end, few


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
    answer = server.stream(flux + then + (_KEPT if len(of.device_ids) == 1 else _KEPT_OF_EACH), **bound)
    return _by_device(of, series(answer), cut)


def _by_device(of: Of, answer: Iterable[Series], cut: Cut | None) -> dict[str, Rows]:
    found = side_by_side(answer, cut.rows if cut else None, cut is not None and cut.newest)
    # An answer about one device does not name it.
    return dict(zip(of.device_ids, found.values(), strict=False)) if len(of.device_ids) == 1 else found


def _points(of: Of, start: int, end: int, fields: Iterable[str] | None) -> tuple[str, dict[str, Any]]:
    """Choose by comparisons one by one, which the server does where the points lie."""
    devices = {f"device{place}": tag_of(device_id) for place, device_id in enumerate(of.device_ids)}
    flux = _SPAN + _FILTER.format(" or ".join(f"r.device_id == p_{name}" for name in devices))
    if fields is not None:
        flux += _FILTER.format(
            " or ".join(f'r._field == "{name}"' for name in dict.fromkeys(fields) if name in FIELDS)
        )
    span = {"start": moment(start), "end": moment(end)}
    return flux, {"bucket": of.bucket, "measurement": of.measurement, **span, **devices}
