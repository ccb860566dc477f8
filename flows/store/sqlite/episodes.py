"""Episodes: written as they end, found anew from raw rows where something changed, and read."""

import sqlite3
from collections.abc import Collection, Iterable

import msgspec
import numpy as np

from flows.model.device import DeviceMetadata
from flows.model.episode import FLAGGED, Edge, Episode, EpisodeKind, EpisodeRow, Retrace
from flows.model.rollup import HOLD_MS
from flows.model.table import Table
from flows.model.times import DAY_MS
from flows.physics.episodes import Found, Watch, advance, first_cut
from flows.physics.segments import MINUTE_MS
from flows.store.sqlite import devices
from flows.store.sqlite.catalog import Catalog
from flows.store.sqlite.packing import unpack
from flows.store.sqlite.rowreading import history_of, select_span, times_of
from flows.store.sqlite.schema import END_OF_TIME, at_of

SETTLING_MS = HOLD_MS + MINUTE_MS
"""How long after the first of the rows that are read what is held, and in the piece before, is not known."""

FARTHEST_MS = 3 * DAY_MS
"""How far around a request rows are read: what lasts longer is cut at midnights, the first within two days."""

WIDER = 4

GONE = ""
"""What `body` holds of an episode that is no more.

Its order stays: where frames are taken again, and the raw rows that spoke against it are gone by then, an older
row does not bring it back.
"""


class _Window(msgspec.Struct):
    """What the rows of [low, high) and the next one say.

    first, last : whether there are no rows before, and no next one.
    """

    low: int
    first: bool
    last: bool
    oldest: int
    found: list[Found]
    watch: Watch


class _Body(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the column `body` holds; see Episode."""

    begun_by: Edge = "edge"
    ended_by: Edge = "edge"
    values: dict[str, float] = {}
    heat_source: str = ""
    detail: str = ""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Body).decode


def write_episodes(catalog: Catalog, rows: Iterable[EpisodeRow]) -> None:
    """Write episodes; a newer one replaces an older one of its device, kind and start."""
    catalog.db.executemany(
        "INSERT INTO episode VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET end = excluded.end,"
        " ord = excluded.ord, body = excluded.body WHERE excluded.ord >= ord",
        [_columns(catalog.device(row.device_id), row.order, row.episode) for row in rows],
    )


def retrace(catalog: Catalog, requests: list[Retrace]) -> None:
    """Find episodes anew and put them in the place of those that were stored."""
    for request in sorted(requests, key=lambda each: each.order):
        device = catalog.known_device(request.device_id)
        if device is None:
            continue
        flagged = tuple(kind for kind in FLAGGED if kind in request.kinds)
        window = _widened(catalog, device, request, flagged) if flagged else None
        if window is not None:
            for kind in flagged:
                _replace_runs(catalog, device, request, kind, window)
        if "gap" in request.kinds:
            _replace_gaps(catalog, device, request)


def select(
    db: sqlite3.Connection, device_id: str, kinds: Collection[EpisodeKind], start: int, end: int, limit: int
) -> list[Episode]:
    """Read episodes that reach into [start, end), newest start first."""
    device = devices.key(db, device_id)
    rows: list[tuple[str, int, int, str]] = []
    for each in kinds if device is not None else ():
        rows += db.execute(
            "SELECT kind, start, end, body FROM episode WHERE device = ? AND kind = ? AND start < ?"
            f" AND (end > ? OR start >= ?) AND body != ? ORDER BY start DESC LIMIT {limit:d}",
            (device, each, end, start, start, GONE),
        )
    rows.sort(key=lambda row: (-row[1], row[0]))
    return [_episode(*row) for row in rows[:limit]]


def _widened(catalog: Catalog, device: int, request: Retrace, kinds: tuple[EpisodeKind, ...]) -> _Window | None:
    """Read as many rows as what touches the request needs, at most FARTHEST_MS around it."""
    history = history_of(catalog.db, device)
    least, most = request.start - FARTHEST_MS, request.end + FARTHEST_MS
    low, high = min(request.begun, request.start) - SETTLING_MS, request.end + 1
    step = HOLD_MS
    while True:
        window = _read(catalog, device, low, high, history, kinds)
        if window is None:
            return None
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


def _read(
    catalog: Catalog,
    device: int,
    low: int,
    high: int,
    history: list[DeviceMetadata],
    kinds: tuple[EpisodeKind, ...],
) -> _Window | None:
    db = catalog.db
    rows = select_span(db, "raw", "key, body", device, low, high).fetchall()
    # Something may begin and end between the last of these and the next, as holds run out.
    beyond = select_span(db, "raw", "key, body", device, high, END_OF_TIME, "ORDER BY key LIMIT 1").fetchall()
    rows += beyond
    if not rows:
        return None
    keys, bodies = zip(*rows, strict=True)
    layout = catalog.layout("raw")
    samples = Table(times_of(keys), layout.names, unpack(layout, bodies))
    watch = Watch()
    found = advance(watch, samples, history, kinds)
    first = _row_beside(db, device, int(samples.at[0]), before=True) is None
    return _Window(low, first, not beyond, int(samples.at[0]), found, watch)


def _row_beside(db: sqlite3.Connection, device: int, at: int, before: bool) -> int | None:
    """Give the time of the row before, or after, a time. [ms since 1970, UTC]"""
    span = (0, at, "ORDER BY key DESC LIMIT 1") if before else (at + 1, END_OF_TIME, "ORDER BY key LIMIT 1")
    row = select_span(db, "raw", "key", device, *span).fetchone()
    return at_of(row[0]) if row else None


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


def _replace_runs(catalog: Catalog, device: int, request: Retrace, kind: EpisodeKind, window: _Window) -> None:
    touching = _touching(window, request, kind)
    floor = window.oldest if window.first else 0
    for run, end in touching.items():
        unknown = _reaches(catalog.db, device, kind, run) if window.first else run < window.low + SETTLING_MS
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
    _put(catalog, device, request, kind, (max(low, floor), high + 1), found)


def _reaches(db: sqlite3.Connection, device: int, kind: EpisodeKind, at: int) -> bool:
    """Tell whether a stored episode that began before a time reaches to it."""
    return _stored_across(db, device, kind, at) is not None


def _stored_across(db: sqlite3.Connection, device: int, kind: EpisodeKind, at: int) -> int | None:
    row = db.execute(
        "SELECT start, end FROM episode WHERE device = ? AND kind = ? AND start < ? AND body != ?"
        " ORDER BY start DESC LIMIT 1",
        (device, kind, at, GONE),
    ).fetchone()
    return row[0] if row is not None and row[1] >= at else None


def _replace_gaps(catalog: Catalog, device: int, request: Retrace) -> None:
    db = catalog.db
    start = max(request.start, catalog.raw_before.get(request.device_id, 0))
    if start > request.end:
        return  # retention has let the rows go, but not the gaps between them
    times = [at_of(key) for (key,) in select_span(db, "raw", "key", device, start, request.end + 1)]
    before = _row_beside(db, device, start, before=True)
    if before is None:  # it is gone, but not the gap that it began
        before = _stored_across(db, device, "gap", start)
    after = _row_beside(db, device, request.end, before=False)
    at = np.array([*([before] if before is not None else []), *times, *([after] if after is not None else [])])
    silent = np.flatnonzero(np.diff(at) > HOLD_MS)
    gaps = [Episode("gap", int(at[place]), int(at[place + 1])) for place in silent]
    low = start if before is None else before
    _put(catalog, device, request, "gap", (low, END_OF_TIME if after is None else after), gaps)


def _put(
    catalog: Catalog,
    device: int,
    request: Retrace,
    kind: EpisodeKind,
    begun: tuple[int, int],
    episodes: list[Episode],
) -> None:
    """Let these be all episodes of a kind that begin in a span. Orders never go back, whatever is in the batch."""
    where = "WHERE device = ? AND kind = ? AND start >= ? AND start < ?"
    orders = dict(catalog.db.execute(f"SELECT start, ord FROM episode {where}", (device, kind, *begun)))
    if orders:
        gone = f"UPDATE episode SET body = ?, ord = max(ord, ?) {where}"
        catalog.db.execute(gone, (GONE, request.order, device, kind, *begun))
    write_episodes(
        catalog,
        [
            EpisodeRow(request.device_id, max(request.order, orders.get(episode.start, 0)), episode)
            for episode in episodes
        ],
    )


def _columns(device: int, order: int, episode: Episode) -> tuple[object, ...]:
    body = _Body(episode.begun_by, episode.ended_by, episode.values, episode.heat_source, episode.detail)
    return device, episode.kind, episode.start, episode.end, order, _encode(body).decode()


def _episode(kind: str, start: int, end: int, body: str) -> Episode:
    rest = _decode(body)
    return msgspec.convert({"kind": kind, "start": start, "end": end, **msgspec.structs.asdict(rest)}, Episode)
