"""Episodes found anew from raw rows where something changed: the same in every store."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

import msgspec
import numpy as np

from flows.model.device import DeviceMetadata
from flows.model.episode import FLAGGED, Edge, Episode, EpisodeKind, EpisodeRow, Retrace
from flows.model.rollup import HOLD_MS
from flows.model.table import Table, Times
from flows.model.times import DAY_MS
from flows.physics.episodes import Found, Kinds, Watch, first_cut, traced
from flows.physics.segments import MINUTE_MS

SETTLING_MS = HOLD_MS + MINUTE_MS
"""How long after the first of the rows that are read what is held, and in the piece before, is not known."""

FARTHEST_MS = 3 * DAY_MS
"""How far around a request rows are read: what lasts longer is cut at midnights, the first within two days."""

END_OF_TIME = 1 << 43
"""No row is at or after it. [ms since 1970, UTC]"""

WIDER = 4

TOGETHER_MS = 20_000_000
"""Spans are read together until they are as long: 2 000 rows 10 s apart."""


class Past(Protocol):
    """What retracing reads of one device and writes. Times are [ms since 1970, UTC], spans [start, end).

    An episode that is no more keeps its order: where frames are taken again, and the raw rows that spoke against
    it are gone by then, an older row does not bring it back.

    history    : metadata, oldest first.
    raw_before : event time below which retention let raw rows go.
    """

    history: list[DeviceMetadata]
    raw_before: int

    def times(self, start: int, end: int) -> Times:
        """Read event times of raw rows."""

    def time_before(self, at: int) -> int | None:
        """Give the time of the last raw row before a time."""

    def time_after(self, at: int) -> int | None:
        """Give the time of the first raw row after a time."""

    def across(self, kind: EpisodeKind, at: int) -> int | None:
        """Give the start of a stored episode that began before a time and reaches to it."""

    def orders(self, kind: EpisodeKind, start: int, end: int) -> dict[int, int]:
        """Read the orders, by start, of episodes of a kind that begin in a span, those that are no more too."""

    def bury(self, kind: EpisodeKind, orders: dict[int, int]) -> None:
        """Let episodes be no more. orders: theirs from now on, by start."""

    def put(self, rows: Collection[EpisodeRow]) -> None:
        """Write episodes; a newer one replaces an older one of its kind and start."""


P = TypeVar("P", bound=Past)

Sent = Callable[[Sequence[tuple[P, int, int]]], list[tuple[Table, bool]]]
"""Reads what was sent in spans of devices, and next after each; tells whether there was a next."""


class _Rows(msgspec.Struct, frozen=True):
    """The rows of [low, high) and the next one. first, last: whether there are none before, and no next one."""

    low: int
    high: int
    first: bool
    last: bool
    table: Table


class _Window(msgspec.Struct, frozen=True):
    """What such rows say. oldest: time of the first of them. [ms since 1970, UTC]"""

    low: int
    high: int
    first: bool
    last: bool
    oldest: int
    found: list[Found]
    watch: Watch


class EpisodeBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a store keeps of an episode besides device, kind, start and end; see Episode."""

    begun_by: Edge = "edge"
    ended_by: Edge = "edge"
    values: dict[str, float] = {}
    heat_source: str = ""
    detail: str = ""


GONE = ""
"""What stands in the place of its body when an episode is no more."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(EpisodeBody).decode


def body_of(episode: Episode) -> str:
    """Write what a store keeps of an episode as JSON."""
    rest = episode.begun_by, episode.ended_by, episode.values, episode.heat_source, episode.detail
    return _encode(EpisodeBody(*rest)).decode()


def episode_of(kind: str, start: int, end: int, body: str) -> Episode:
    """Read an episode as it is stored."""
    rest = msgspec.structs.asdict(_decode(body))
    return msgspec.convert({"kind": kind, "start": start, "end": end, **rest}, Episode)


def retrace(asked: Iterable[tuple[P, Retrace]], sent: Sent[P]) -> None:
    """Find episodes anew, request by request, and put them in the place of those that were stored.

    The rows that a request takes at least are read and looked through together with those of others.
    """
    some: list[tuple[P, Retrace]] = []
    length = 0
    for past, request in asked:
        some.append((past, request))
        length += request.end - _first(request)
        if length >= TOGETHER_MS:
            _retrace(some, sent)
            some, length = [], 0
    _retrace(some, sent)


def _retrace(some: list[tuple[P, Retrace]], sent: Sent[P]) -> None:
    flagged = [(past, request) for past, request in some if _flagged(request)]
    read = _read([(past, _first(request), request.end + 1) for past, request in flagged], sent)
    there = [(past, request, rows) for (past, request), rows in zip(flagged, read, strict=True) if rows]
    windows = _windows([(past, _flagged(request), rows) for past, request, rows in there])
    for (past, request, _), narrow in zip(there, windows, strict=True):
        window = _widened(past, request, narrow, sent)
        for kind in _flagged(request):
            _replace_runs(past, request, kind, window)
    for past, request in some:
        if "gap" in request.kinds:
            _replace_gaps(past, request)


def _flagged(request: Retrace) -> Kinds:
    return tuple([kind for kind in FLAGGED if kind in request.kinds])


def _widened(past: P, request: Retrace, window: _Window, sent: Sent[P]) -> _Window:
    """Read as many rows as what touches the request needs, at most FARTHEST_MS around it."""
    least, most = request.start - FARTHEST_MS, request.end + FARTHEST_MS
    kinds, low, high = _flagged(request), window.low, window.high
    step = HOLD_MS
    while True:
        back = ahead = False
        for kind in kinds:
            touching = _touching(window, request, kind)
            back |= not window.first and any(run < window.low + SETTLING_MS for run in touching)
            ahead |= not window.last and END_OF_TIME in touching.values()
        back, ahead = back and low > least, ahead and high < most
        if not back and not ahead:
            return window
        step *= WIDER
        low = max(low - step, least) if back else low
        high = min(high + step, most) if ahead else high
        (rows,) = _read([(past, low, high)], sent)
        if rows is None:
            return window  # it had some
        window = next(_windows([(past, kinds, rows)]))


def _first(request: Retrace) -> int:
    return min(request.begun, request.start) - SETTLING_MS


def _read(spans: Sequence[tuple[P, int, int]], sent: Sent[P]) -> list[_Rows | None]:
    """Read the rows of spans, None of one without any."""
    # Something may begin and end between the last of these and the next, as holds run out.
    return [
        _Rows(low, high, past.time_before(int(table.at[0])) is None, not beyond, table) if len(table.at) else None
        for (past, low, high), (table, beyond) in zip(spans, sent(spans), strict=True)
    ]


def _windows(read: list[tuple[Past, Kinds, _Rows]]) -> Iterator[_Window]:
    if not read:
        return
    parts = [(rows.table, past.history, kinds) for past, kinds, rows in read]
    for (_, _, rows), (watch, found) in zip(read, traced(parts), strict=True):
        oldest = int(rows.table.at[0])
        yield _Window(rows.low, rows.high, rows.first, rows.last, oldest, found, watch)


def _touching(window: _Window, request: Retrace, kind: EpisodeKind) -> dict[int, int]:
    """Give the runs that touch the request: by start, where they end, END_OF_TIME if that is not in the rows."""
    ends: dict[int, int] = {}
    for each in window.found:
        if each.episode.kind == kind:
            ends[each.run] = max(each.episode.end, ends.get(each.run, 0))
    running = window.watch.running.get(kind)
    if running is not None:
        ends[running.run] = END_OF_TIME
    return {run: end for run, end in ends.items() if run <= request.end and end >= request.start}


def _replace_runs(past: Past, request: Retrace, kind: EpisodeKind, window: _Window) -> None:
    touching = _touching(window, request, kind)
    floor = window.oldest if window.first else 0
    for run, end in touching.items():
        unknown = past.across(kind, run) is not None if window.first else run < window.low + SETTLING_MS
        if unknown and (not window.first or run == window.oldest):
            # It began before the rows that are there: only the days that they hold whole are found anew.
            floor = max(floor, min(first_cut(run), end))
    found = [
        each.episode
        for each in window.found
        if each.episode.kind == kind and each.run in touching and each.episode.start >= floor
    ]
    low, high = request.start, request.end
    for episode in found:
        low, high = min(low, episode.start), max(high, episode.end - 1)
    running = window.watch.running.get(kind)
    if running is not None and running.run in touching:
        low, high = min(low, running.start), END_OF_TIME if window.last else high
    _put(past, request, kind, (max(low, floor), high + 1), found)


def _replace_gaps(past: Past, request: Retrace) -> None:
    start = max(request.start, past.raw_before)
    if start > request.end:
        return  # retention has let the rows go, but not the gaps between them
    times = past.times(start, request.end + 1).tolist()
    before = past.time_before(start)
    if before is None:  # it is gone, but not the gap that it began
        before = past.across("gap", start)
    after = past.time_after(request.end)
    at = np.array([*([before] if before is not None else []), *times, *([after] if after is not None else [])])
    silent = np.flatnonzero(np.diff(at) > HOLD_MS)
    gaps = [Episode("gap", int(at[place]), int(at[place + 1])) for place in silent]
    low = start if before is None else before
    _put(past, request, "gap", (low, END_OF_TIME if after is None else after), gaps)


def _put(past: Past, request: Retrace, kind: EpisodeKind, begun: tuple[int, int], episodes: list[Episode]) -> None:
    """Let these be all episodes of a kind that begin in a span. Orders never go back, whatever is in the batch."""
    orders = past.orders(kind, *begun)
    order_of = {start: max(request.order, order) for start, order in orders.items()}
    gone = order_of.keys() - {episode.start for episode in episodes}
    if gone:
        past.bury(kind, {start: order_of[start] for start in gone})
    past.put(
        [
            EpisodeRow(request.device_id, order_of.get(episode.start, request.order), episode)
            for episode in episodes
        ]
    )
