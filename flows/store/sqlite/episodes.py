"""Episodes in the embedded store: written as they end, found anew (see flows/store/retracing.py), and read."""

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from itertools import compress

import numpy as np

from flows.model.episode import Episode, EpisodeKind, EpisodeRow, Retrace
from flows.model.table import Table, Times
from flows.physics.episodes import NEEDED
from flows.store import retracing
from flows.store.retracing import GONE, body_of, episode_of
from flows.store.sqlite import devices
from flows.store.sqlite.catalog import Catalog
from flows.store.sqlite.packing import unpack
from flows.store.sqlite.rowreading import history_of, select_span, times_of
from flows.store.sqlite.schema import END_OF_TIME, at_of


def write_episodes(catalog: Catalog, rows: Iterable[EpisodeRow]) -> None:
    """Write episodes; a newer one replaces an older one of its device, kind and start."""
    catalog.db.executemany(
        "INSERT INTO episode VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET end = excluded.end,"
        " ord = excluded.ord, body = excluded.body WHERE excluded.ord >= ord",
        [_columns(catalog.device(row.device_id), row.order, row.episode) for row in rows],
    )


def retrace(catalog: Catalog, requests: list[Retrace]) -> None:
    """Find episodes anew and put them in the place of those that were stored."""
    devices_of = [(request, catalog.known_device(request.device_id)) for request in requests]
    asked = [
        (Past(catalog, request.device_id, device), request)
        for request, device in sorted(devices_of, key=lambda each: each[0].order)
        if device is not None
    ]
    retracing.retrace(asked, lambda spans: _sent(catalog, spans))


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
    return [episode_of(*row) for row in rows[:limit]]


class Past:
    """The rows of one device in the file; see flows.store.retracing.Past."""

    def __init__(self, catalog: Catalog, device_id: str, device: int) -> None:
        self._catalog, self._db, self._device = catalog, catalog.db, device
        self.history = history_of(catalog.db, device)
        self.raw_before = catalog.raw_before.get(device_id, 0)

    def sent(self, start: int, end: int) -> tuple[list[tuple[int, bytes]], bool]:
        """Read key and body of the rows of a span, and of the next after it; tells whether there was a next."""
        rows = select_span(self._db, "raw", "key, body", self._device, start, end).fetchall()
        beyond = self._row("key, body", end, END_OF_TIME, "ORDER BY key LIMIT 1")
        return rows if beyond is None else [*rows, beyond], beyond is not None

    def times(self, start: int, end: int) -> Times:
        """Read event times of raw rows."""
        keys = [key for (key,) in select_span(self._db, "raw", "key", self._device, start, end)]
        return times_of(np.array(keys, dtype=np.int64))

    def time_before(self, at: int) -> int | None:
        """Give the time of the last raw row before a time."""
        row = self._row("key", 0, at, "ORDER BY key DESC LIMIT 1")
        return at_of(row[0]) if row else None

    def time_after(self, at: int) -> int | None:
        """Give the time of the first raw row after a time."""
        row = self._row("key", at + 1, END_OF_TIME, "ORDER BY key LIMIT 1")
        return at_of(row[0]) if row else None

    def across(self, kind: EpisodeKind, at: int) -> int | None:
        """Give the start of a stored episode that began before a time and reaches to it."""
        row = self._db.execute(
            "SELECT start, end FROM episode WHERE device = ? AND kind = ? AND start < ? AND body != ?"
            " ORDER BY start DESC LIMIT 1",
            (self._device, kind, at, GONE),
        ).fetchone()
        return row[0] if row is not None and row[1] >= at else None

    def orders(self, kind: EpisodeKind, start: int, end: int) -> dict[int, int]:
        """Read the orders, by start, of episodes of a kind that begin in a span, those that are no more too."""
        query = "SELECT start, ord FROM episode WHERE device = ? AND kind = ? AND start >= ? AND start < ?"
        return dict(self._db.execute(query, (self._device, kind, start, end)))

    def bury(self, kind: EpisodeKind, orders: dict[int, int]) -> None:
        """Let episodes be no more. orders: theirs from now on, by start."""
        self._db.executemany(
            "UPDATE episode SET body = ?, ord = ? WHERE device = ? AND kind = ? AND start = ?",
            [(GONE, order, self._device, kind, start) for start, order in orders.items()],
        )

    def put(self, rows: Collection[EpisodeRow]) -> None:
        """Write episodes; a newer one replaces an older one of its kind and start."""
        write_episodes(self._catalog, rows)

    def _row(self, columns: str, start: int, end: int, rest: str) -> tuple[int, bytes] | None:
        row: tuple[int, bytes] | None = select_span(
            self._db, "raw", columns, self._device, start, end, rest
        ).fetchone()
        return row


def _sent(catalog: Catalog, spans: Sequence[tuple[Past, int, int]]) -> list[tuple[Table, bool]]:
    """Read what was sent in spans of devices; see flows.store.retracing.Sent. All rows are unpacked at once."""
    read = [past.sent(start, end) for past, start, end in spans]
    keys, bodies = zip(*found, strict=True) if (found := [row for rows, _ in read for row in rows]) else ((), ())
    layout = catalog.layout("raw")
    there = [name in layout.names for name in NEEDED]
    values = np.full((len(keys), len(NEEDED)), np.nan)
    values[:, there] = unpack(layout, bodies, [layout.names.index(name) for name in compress(NEEDED, there)])
    at, ends = times_of(keys), np.cumsum([len(rows) for rows, _ in read]).tolist()
    return [
        (Table(at[end - len(rows) : end], NEEDED, values[end - len(rows) : end]), beyond)
        for end, (rows, beyond) in zip(ends, read, strict=True)
    ]


def _columns(device: int, order: int, episode: Episode) -> tuple[object, ...]:
    return device, episode.kind, episode.start, episode.end, order, body_of(episode)
