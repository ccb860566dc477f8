"""short_cycling: whether the compressor starts too often, from the cycles of the last hour."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

import msgspec

from flows.model.times import HOUR_MS
from panel_app.components.device import Answer
from panel_app.words import instant

STARTS, PERIOD_MS = 6, 900_000
"""So many starts in 60 min, and at the median no further apart than this [ms], are too many."""


class ShortCycling(msgspec.Struct, frozen=True):
    """Starts of the last hour; run_ms: median of the runs seen whole, None where there is none. [ms]"""

    starts: int
    run_ms: float | None


def short_cycling(cycles: Sequence[Answer], now_ms: int, running_since: int | None = None) -> ShortCycling | None:
    """Judge the last hour; None where starts are neither many nor close.

    cycles : answer of /episodes, kind cycle, that reaches an hour back; the running one is none of them yet.
    now_ms : [ms since 1970, UTC].
    running_since : when the run that goes on began, None where that is not known. [ms since 1970, UTC]
    """
    lately = [cycle for cycle in cycles if instant(cycle["start"]) >= now_ms - HOUR_MS]
    starts = {instant(cycle["start"]) for cycle in lately if cycle.get("begun_by") == "edge"}
    if running_since is not None and running_since >= now_ms - HOUR_MS:
        # A minute's rollup knows a start less finely than the episode of the same run, once that has ended.
        if all(abs(running_since - start) >= 60_000 for start in starts):
            starts.add(running_since)
    ordered = sorted(starts)
    if len(ordered) < STARTS or median(after - before for before, after in pairwise(ordered)) > PERIOD_MS:
        return None
    runs = [
        cycle["seconds"] * 1_000 for cycle in lately if cycle.get("begun_by") == cycle.get("ended_by") == "edge"
    ]
    return ShortCycling(len(ordered), median(runs) if runs else None)
