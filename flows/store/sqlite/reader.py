"""SqliteReader: every method is one short read transaction, so that readers hold no checkpoint up."""

import os
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import numpy as np

from flows.errors import NoStoreYet
from flows.model.command import CommandOutcome
from flows.model.dead_letter import MOST_ID, LetterState
from flows.model.episode import Episode, EpisodeKind
from flows.model.quantities import FLAG_NAMES
from flows.model.rollup import Resolution, RollupRow
from flows.model.table import Numbers, Table
from flows.physics.compose import rows_of
from flows.physics.derive import DERIVED
from flows.store.protocol import (
    Columns,
    DeadLetterCount,
    Fence,
    History,
    StoredAlert,
    StoredDeadLetter,
    StoredDevice,
    StoredReading,
    StoreStats,
    T,
)
from flows.store.sqlite import alerts, devices, episodes
from flows.store.sqlite.catalog import layout_of
from flows.store.sqlite.connection import connect_reader, speaking
from flows.store.sqlite.migrations import check_current
from flows.store.sqlite.packing import unpack
from flows.store.sqlite.rowreading import ROLLUP, history_of, raw_table, rollup_table, select_span, times_of
from flows.store.sqlite.schema import CLOCKS, ROLLUP_TABLES

BUSY_MS = 2_000
"""How long a reader waits; only a restore or a repair locks readers out. [ms]"""


class SqliteReader:
    """Everyone's side of the embedded store; see StoreReader. Threads may share it.

    The file may appear later, or be put in another's place: each read looks at what is there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._idle: list[tuple[int, sqlite3.Connection]] = []

    def ping(self) -> None:
        """Raise StoreError if the store cannot be read."""
        with self._reading() as db:
            db.execute("SELECT 1 FROM device LIMIT 1").fetchone()

    def beside(self, question: Callable[[], T]) -> Callable[[], T]:
        """Ask when the answer is called for: there is nothing to wait for meanwhile."""
        return question

    def fence(self) -> Fence | None:
        """Return the last durable fence, None of a new store."""
        with self._reading() as db:
            row = db.execute("SELECT journal_id, seq, base FROM fence").fetchone()
        return Fence(*row) if row else None

    def stats(self) -> StoreStats:
        """Count what is there: readings and alerts exactly, as of the last batch."""
        with self._reading() as db:
            (readings,) = db.execute("SELECT readings FROM tally").fetchone()
            (alert_count,) = db.execute("SELECT count(*) FROM alert").fetchone()
            oldest, newest = devices.event_times(db)
        return StoreStats(readings, alert_count, oldest, newest)

    def devices(self, with_latest: bool = True) -> list[StoredDevice]:
        """All devices by id."""
        with self._reading() as db:
            return devices.select(db, with_latest=with_latest)

    def device(self, device_id: str) -> StoredDevice | None:
        """One device, or None."""
        with self._reading() as db:
            return next(iter(devices.select(db, device_id)), None)

    def readings(
        self,
        device_id: str,
        start: int,
        end: int,
        limit: int,
        newest_first: bool = True,
        history: History | None = None,
    ) -> list[StoredReading]:
        """At most `limit` raw rows of a span."""
        with self._reading() as db:
            device = devices.key(db, device_id)
            if device is None:
                return []
            rest = f"ORDER BY key {'DESC' if newest_first else 'ASC'} LIMIT {limit:d}"
            rows = select_span(db, "raw", "key, late, clock, body", device, start, end, rest).fetchall()
            layout = layout_of(db, "raw")
            history = history_of(db, device) if history is None else history
        rows.sort()
        table = raw_table(layout, [row[0] for row in rows], [row[3] for row in rows], history)
        flags = [name in FLAG_NAMES for name in table.names]
        found = [
            StoredReading(
                device_id,
                at,
                at + late,
                CLOCKS[clock],
                {
                    name: bool(value) if flag else value
                    for name, flag, value in zip(table.names, flags, values, strict=True)
                    if value == value
                },
            )
            for at, (_, late, clock, _), values in zip(table.at.tolist(), rows, table.values.tolist(), strict=True)
        ]
        return found[::-1] if newest_first else found

    def raw_columns(
        self,
        device_id: str,
        start: int,
        end: int,
        fields: list[str],
        limit: int,
        history: History | None = None,
    ) -> Columns:
        """Raw values by column, oldest first, at most `limit` rows."""
        with self._reading() as db:
            device = devices.key(db, device_id)
            rows = []
            if device is not None:
                chosen = "key, body" if fields else "key"
                rest = f"ORDER BY key LIMIT {limit:d}"
                rows = select_span(db, "raw", chosen, device, start, end, rest).fetchall()
                history = history_of(db, device) if history is None else history
            layout = layout_of(db, "raw")
        keys = [row[0] for row in rows]
        if not fields:
            return Columns(times_of(keys).tolist(), {})
        bodies = [row[1] for row in rows]
        if DERIVED.isdisjoint(fields):
            names = [name for name in layout.names if name in fields]
            table = Table(times_of(keys), tuple(names), unpack(layout, bodies, [*map(layout.names.index, names)]))
        else:
            table = raw_table(layout, keys, bodies, history or [])
        found = {name: listed(table.values[:, n], name in FLAG_NAMES) for n, name in enumerate(table.names)}
        return Columns(table.at.tolist(), {name: found.get(name) or [None] * len(rows) for name in fields})

    def rollups(self, device_id: str, resolution: Resolution, start: int, end: int, limit: int) -> list[RollupRow]:
        """Rollup rows whose bucket starts in the span, oldest first."""
        with self._reading() as db:
            device = devices.key(db, device_id)
            if device is None:
                return []
            rest = f"ORDER BY key LIMIT {limit:d}"
            rows = select_span(db, ROLLUP_TABLES[resolution], ROLLUP, device, start, end, rest).fetchall()
            table = rollup_table(layout_of(db, ROLLUP_TABLES[resolution]), rows)
        table.start[:] = times_of(table.start)
        return rows_of(table, device_id, resolution)

    def rollup_columns(
        self, device_id: str, resolution: Resolution, start: int, end: int, columns: list[str], limit: int
    ) -> Columns:
        """Named rollup columns (a column no row has is all None), oldest first."""
        table = ROLLUP_TABLES[resolution]
        with self._reading() as db:
            device = devices.key(db, device_id)
            rows = []
            if device is not None:
                chosen = "key, count, heat_source, body" if columns else "key"
                rows = select_span(
                    db, table, chosen, device, start, end, f"ORDER BY key LIMIT {limit:d}"
                ).fetchall()
            layout = layout_of(db, table)
        names = [name for name in layout.names if name in columns]
        found: dict[str, list[float | None]] = {}
        if names:
            values = unpack(layout, [row[3] for row in rows], [*map(layout.names.index, names)])
            found = {name: listed(values[:, n]) for n, name in enumerate(names)}
        if columns:
            found["count"], found["heat_source"] = [row[1] for row in rows], [row[2] for row in rows]
        times = times_of([row[0] for row in rows]).tolist()
        return Columns(times, {name: found.get(name) or [None] * len(rows) for name in columns})

    def episodes(
        self, device_id: str, kinds: Collection[EpisodeKind], start: int, end: int, limit: int
    ) -> list[Episode]:
        """Episodes of these kinds that reach into the span, newest start first."""
        with self._reading() as db:
            return episodes.select(db, device_id, kinds, start, end, limit)

    def alerts(
        self, device_id: str | None, start: int, end: int, limit: int, open_only: bool = False
    ) -> list[StoredAlert]:
        """Alerts with a transition in the span, newest first."""
        with self._reading() as db:
            return alerts.select(db, device_id, start, end, limit, open_only)

    def alert(self, alert_id: str) -> StoredAlert | None:
        """One alert, or None."""
        with self._reading() as db:
            return alerts.select_one(db, alert_id)

    def dead_letters(
        self,
        device_id: str | None,
        reason: str | None,
        before: int | None,
        limit: int,
        state: LetterState | None = "open",
    ) -> list[StoredDeadLetter]:
        """Dead letters with id < before, newest first; state: None for any."""
        bounds: list[int | str] = [MOST_ID if before is None else before]
        where = "ord < ?"
        chosen = {"device_id": device_id, "reason": reason, "state": state}
        for column, value in chosen.items():
            if value is not None:
                where, bounds = f"{where} AND {column} = ?", [*bounds, value]
        with self._reading() as db:
            rows = db.execute(f"SELECT * FROM dead_letter WHERE {where} ORDER BY ord DESC LIMIT {limit:d}", bounds)
            return [StoredDeadLetter(*row) for row in rows]

    def dead_letter(self, letter_id: int) -> StoredDeadLetter | None:
        """One dead letter, or None."""
        with self._reading() as db:
            row = db.execute("SELECT * FROM dead_letter WHERE ord = ?", (letter_id,)).fetchone()
        return StoredDeadLetter(*row) if row else None

    def dead_letter_counts(self, device_id: str | None, start: int, end: int) -> list[DeadLetterCount]:
        """Refusals by device, reason and hour, kept bodies or not."""
        where = "hour >= ? AND hour < ?"
        bounds: list[int | str] = [start, end]
        if device_id is not None:
            where, bounds = f"{where} AND device_id = ?", [*bounds, device_id]
        with self._reading() as db:
            rows = db.execute(
                f"SELECT device_id, reason, hour, count FROM dead_letter_count WHERE {where}"
                " ORDER BY hour, device_id, reason",
                bounds,
            )
            return [DeadLetterCount(*row) for row in rows]

    def command(self, command_id: str) -> CommandOutcome | None:
        """What became of a command, None while its effect is not stored."""
        with self._reading() as db:
            row = db.execute(
                "SELECT seq, id, by, at, name, body, outcome, detail FROM command WHERE id = ?", (command_id,)
            ).fetchone()
        return CommandOutcome(*row) if row else None

    def close(self) -> None:
        """Release files; safe to call twice."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, db in idle:
            db.close()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection inside one read transaction."""
        with speaking(self._path):
            inode, db = self._take()
            try:
                db.execute("BEGIN")
                try:
                    yield db
                finally:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
            except BaseException:
                db.close()
                raise
            with self._lock:
                self._idle.append((inode, db))

    def _take(self) -> tuple[int, sqlite3.Connection]:
        try:
            inode = os.stat(self._path).st_ino
        except FileNotFoundError:
            raise NoStoreYet(f"there is no store at {self._path} yet: the flow creates it") from None
        while True:
            with self._lock:
                known = self._idle.pop() if self._idle else None
            if known is None:
                break
            if known[0] == inode:
                return known
            known[1].close()
        db = connect_reader(self._path, BUSY_MS)
        try:
            check_current(db, self._path)
        except BaseException:
            db.close()
            raise
        return inode, db


def listed(values: Numbers, flag: bool = False) -> list[float | None]:
    """Make a list of a column: None where it is missing, flags as bools."""
    cells: list[float | None] = (values != 0.0 if flag else values).tolist()
    for place in np.flatnonzero(np.isnan(values)).tolist():
        cells[place] = None
    return cells
