"""Minutes folded again from raw rows, hours and days composed again of finer rows: the same in every store."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Literal, Protocol

import numpy as np

from flows.model.device import DeviceMetadata
from flows.model.rollup import BUCKET_MS, HOLD_MS, Compose, Refold, Resolution
from flows.model.table import RollupTable, Table, Times, rows_at
from flows.physics.compose import compose
from flows.physics.fold import fold_range
from flows.physics.segments import MINUTE_MS

Coarser = Literal["1h", "1d"]
COARSER: tuple[Coarser, ...] = ("1h", "1d")
FINER: dict[Resolution, Resolution] = {"1h": "1m", "1d": "1h"}

COMPOSED_AT_ONCE = 100
"""Buckets whose finer rows are in memory together."""


class Past(Protocol):
    """What healing reads of a store and writes into it; what is asked for last sees what was written before.

    raw_before, minute_before : by device, event time below which retention let its rows go. [ms since 1970, UTC]
    """

    raw_before: dict[str, int]
    minute_before: dict[str, int]

    def knows(self, device_id: str) -> bool:
        """Tell whether anything of a device is stored."""

    def history(self, device_id: str) -> list[DeviceMetadata]:
        """Read the metadata history of a device, oldest first."""

    def samples(self, request: Refold, start: int, history: list[DeviceMetadata]) -> Table:
        """Read raw rows from `start` to the first at or after the request's end, with what derives from each."""

    def parts(self, resolution: Resolution, buckets: Sequence[tuple[str, int]]) -> tuple[RollupTable, Times]:
        """Read the rows of which a resolution's buckets (device, start) are composed, a bucket after the other.

        Gives them, oldest first in each, and for every row which bucket it is of.
        """

    def write(self, resolution: Resolution, device_ids: Sequence[str], rows: RollupTable) -> None:
        """Write rows computed from what is stored; those not older replace others. device_ids: one a row."""


def heal(past: Past, requests: list[Refold | Compose]) -> None:
    """Compute minutes anew, then every hour that holds one or has just closed, then every such day.

    All hours come before any day, and each once, with the newest order: a day composed before one of its hours
    would keep the older sum, since its order is then too new for the later request.
    """
    healed = list(_refold(past, [request for request in requests if isinstance(request, Refold)]))
    closed = [request for request in requests if isinstance(request, Compose)]
    for resolution in COARSER:
        wanted = [*_touched(healed, resolution), *(each for each in closed if each.resolution == resolution)]
        newest: dict[tuple[str, int], Compose] = {}
        for request in sorted(wanted, key=lambda each: each.order):
            newest[request.device_id, request.start] = request
        _recompose(past, resolution, newest.values())


def _refold(past: Past, requests: list[Refold]) -> Iterator[Refold]:
    """Compute minutes anew; yields what was computed."""
    for request in requests:
        device_id = request.device_id
        # What retention has let go is not folded again: a good rollup never gives way to crumbs.
        first = past.raw_before.get(device_id, -HOLD_MS) + HOLD_MS + MINUTE_MS - 1
        start = max(request.start, first - first % MINUTE_MS)
        if start >= request.end or not past.knows(device_id):
            continue
        history = past.history(device_id)
        samples = past.samples(request, start - HOLD_MS, history)
        if len(samples.at):
            minutes = fold_range(samples, start, request.end, history)
            first = max(start, past.minute_before.get(device_id, 0))
            closed = np.flatnonzero((minutes.start >= first) & (minutes.start + MINUTE_MS <= request.frontier))
            order = np.full(len(minutes.start), request.order)
            rows = RollupTable(minutes.start, order, minutes.count, minutes.heat, minutes.names, minutes.values)
            past.write("1m", [device_id] * len(closed), rows_at(rows, closed))
        yield Refold(device_id, request.order, start, request.end, request.frontier)


def _recompose(past: Past, resolution: Coarser, requests: Iterable[Compose]) -> None:
    """Compose hours of minutes, days of hours; hours whose minutes retention has let go stay as they are."""
    finer = FINER[resolution]
    known = []
    for request in requests:
        gone = finer == "1m" and request.start < past.minute_before.get(request.device_id, 0)
        if not gone and past.knows(request.device_id):
            known.append((request.device_id, request.start, request.order))
    waiting = iter(sorted(known))
    while some := list(islice(waiting, COMPOSED_AT_ONCE)):
        rows, of = past.parts(resolution, [(device_id, start) for device_id, start, _ in some])
        if not len(of):
            continue
        composed = compose(rows, of, BUCKET_MS[finer] / BUCKET_MS[resolution])
        there = [some[place] for place in composed.start.tolist()]
        device_ids, starts, orders = zip(*there, strict=True)
        composed.start[:], composed.order[:] = starts, orders
        past.write(resolution, device_ids, composed)


def _touched(requests: list[Refold], resolution: Coarser) -> Iterator[Compose]:
    """Name the closed buckets in which minutes changed."""
    length = BUCKET_MS[resolution]
    for request in requests:
        for start in range(request.start - request.start % length, request.end, length):
            if start + length <= request.frontier:
                yield Compose(request.device_id, request.order, resolution, start)
