"""Series of points, oldest first, in blocks: values repeated while they are held, and several merged to rows.

Everything is a generator over blocks of arrays, so memory does not grow with the history.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from flows.history.tally import Tally
from flows.model.table import Numbers, Table, Times
from flows.model.times import iso

BLOCK = 20_000
"""Points of a block, at most about as many."""

REPEAT_MS = 600_000
"""A held value is given again this often: the fold holds one for 15 minutes. [ms]"""


LAST_STAYS = "of several at one time the last one stays"
"""Why a value is left out."""


class Points(NamedTuple):
    """Points of one field, times strictly ascending [ms since 1970, UTC]; NaN says that a value ended."""

    at: Times
    values: Numbers


Series = Iterator[Points]


def ascending(at: Times, values: Numbers, quantity: str, tally: Tally) -> Points:
    """Sort points by time; of several at one time the last one stays, the others are counted."""
    if len(at) > 1 and not (at[1:] > at[:-1]).all():
        order = np.argsort(at, kind="stable")
        at, values = at[order], values[order]
        last = np.append(at[1:] != at[:-1], True)
        if not last.all():
            tally.removed[f"{quantity}: {LAST_STAYS}"] += int((~last).sum())
        at, values = at[last], values[last]
    return Points(at, values)


def newer(points: Points, newest: int, tally: Tally) -> tuple[Points, int]:
    """Leave out points that are not newer than those of the blocks before; also give the newest now."""
    first = int(np.searchsorted(points.at, newest, "right"))
    if first:
        tally.refuse("out of order", iso(int(points.at[0])), first)
    points = Points(points.at[first:], points.values[first:])
    return points, int(points.at[-1]) if len(points.at) else newest


class Newest:
    """Time of the newest point read of several series. [ms since 1970, UTC]"""

    at = -1


def repeated(series: Series, hold_ms: int, is_counter: bool, newest: Newest) -> Series:
    """Give points again while their value is held, until the next one, at most `hold_ms`.

    is_counter : between two points at most `hold_ms` apart, it rises evenly.
    newest     : is told of each point read.
    """
    last: Points | None = None
    for block in series:
        if not len(block.at):
            continue
        newest.at = max(newest.at, int(block.at[-1]))
        if last is not None:
            block = Points(np.append(last.at, block.at), np.append(last.values, block.values))
        done = _filled(block, hold_ms, is_counter)
        first = 0 if last is None else 1
        last = Points(block.at[-1:], block.values[-1:])
        yield Points(done.at[first:], done.values[first:])
    if last is not None and not is_counter:
        times = np.arange(last.at[0] + REPEAT_MS, last.at[0] + hold_ms, REPEAT_MS)
        if len(times) and not np.isnan(last.values[0]):
            yield Points(times, np.full(len(times), last.values[0]))


def _filled(points: Points, hold_ms: int, is_counter: bool) -> Points:
    at, values = points
    span = np.diff(at)
    if is_counter:
        more = np.where(span <= hold_ms, (span - 1) // REPEAT_MS, 0)
        more[np.isnan(np.diff(values))] = 0
    else:
        more = (np.minimum(span, hold_ms) - 1) // REPEAT_MS
        more[np.isnan(values[:-1])] = 0
    of = np.repeat(np.arange(len(at)), np.append(more, 0) + 1)
    nth = np.arange(len(of)) - np.repeat(np.cumsum(np.append(0, more + 1)), np.append(more, 0) + 1)
    times, filled = at[of] + nth * REPEAT_MS, values[of]
    if is_counter:
        slope = np.append(np.diff(values) / span, 0.0)
        filled = np.where(nth > 0, filled + slope[of] * nth * REPEAT_MS, filled)
    return Points(times, filled)


def ended(tables: Iterator[Table], newest: Newest) -> Iterator[Table]:
    """Leave out what is only held behind the newest point of all series: there the history ends."""
    for table in tables:
        end = int(np.searchsorted(table.at, newest.at, "right"))
        yield Table(table.at[:end], table.names, table.values[:end])


def merged(series: dict[str, Series]) -> Iterator[Table]:
    """Merge series by time to tables whose columns are the series, in this order."""
    names = tuple(series)
    blocks: dict[str, Points] = {}
    for name in names:
        _refill(name, series, blocks)
    while blocks:
        until = min(int(points.at[-1]) for points in blocks.values())
        taken = {name: int(np.searchsorted(points.at, until, "right")) for name, points in blocks.items()}
        at = np.unique(np.concatenate([blocks[name].at[:count] for name, count in taken.items()]))
        values = np.full((len(at), len(names)), np.nan)
        for name, count in taken.items():
            points = blocks[name]
            values[np.searchsorted(at, points.at[:count]), names.index(name)] = points.values[:count]
            blocks[name] = Points(points.at[count:], points.values[count:])
            if count == len(points.at):
                _refill(name, series, blocks)
        yield Table(at, names, values)


def _refill(name: str, series: dict[str, Series], blocks: dict[str, Points]) -> None:
    """Take the next block of a series that has points; drop the series where there is none."""
    blocks.pop(name, None)
    for points in series[name]:
        if len(points.at):
            blocks[name] = points
            return
