"""SqliteReader: every method is one short read transaction, so that readers hold no checkpoint up."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from flows.errors import RetryableStoreError
from flows.model.command import CommandOutcome
from flows.model.dead_letter import LetterState
from flows.model.rollup import Resolution, RollupRow
from flows.store.protocol import (
    Columns,
    DeadLetterCount,
    Fence,
    StoredAlert,
    StoredDeadLetter,
    StoredDevice,
    StoredReading,
    StoreStats,
)
from flows.store.sqlite import alerts, devices
from flows.store.sqlite.catalog import columns_of
from flows.store.sqlite.connection import connect_reader, speaking
from flows.store.sqlite.migrations import check_current
from flows.store.sqlite.rowreading import select_rollups, select_span, values_of
from flows.store.sqlite.schema import CLOCKS, FLAG_COLUMNS, ROLLUP_TABLES, at_of

BUSY_MS = 2_000
"""How long a reader waits; only a restore or a repair locks readers out. [ms]"""

END_OF_TIME = (1 << 62) - 1


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

    def devices(self) -> list[StoredDevice]:
        """All devices by id."""
        with self._reading() as db:
            return devices.select(db)

    def device(self, device_id: str) -> StoredDevice | None:
        """One device, or None."""
        with self._reading() as db:
            return next(iter(devices.select(db, device_id)), None)

    def readings(
        self, device_id: str, start: int, end: int, limit: int, newest_first: bool = True
    ) -> list[StoredReading]:
        """At most `limit` raw rows of a span."""
        with self._reading() as db:
            device = devices.key(db, device_id)
            if device is None:
                return []
            columns = columns_of(db, "raw")
            rest = f"ORDER BY key {'DESC' if newest_first else 'ASC'} LIMIT {limit:d}"
            rows = select_span(
                db, "raw", ("key", "arrived", "clock", *columns), device, start, end, rest
            ).fetchall()
        return [
            StoredReading(device_id, at_of(key), arrived, CLOCKS[clock], values_of(columns, tuple(values)))
            for key, arrived, clock, *values in rows
        ]

    def raw_columns(self, device_id: str, start: int, end: int, fields: list[str], limit: int) -> Columns:
        """Raw values by column, oldest first, at most `limit` rows."""
        return self._columns("raw", device_id, start, end, fields, limit)

    def rollups(self, device_id: str, resolution: Resolution, start: int, end: int, limit: int) -> list[RollupRow]:
        """Rollup rows whose bucket starts in the span, oldest first."""
        with self._reading() as db:
            device = devices.key(db, device_id)
            if device is None:
                return []
            columns = columns_of(db, ROLLUP_TABLES[resolution])
            return select_rollups(db, columns, (device, device_id), resolution, start, end, limit)

    def rollup_columns(
        self, device_id: str, resolution: Resolution, start: int, end: int, columns: list[str], limit: int
    ) -> Columns:
        """Named rollup columns (a column no row has is all None), oldest first."""
        return self._columns(ROLLUP_TABLES[resolution], device_id, start, end, columns, limit)

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
        bounds: list[int | str] = [END_OF_TIME if before is None else before]
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

    def _columns(self, table: str, device_id: str, start: int, end: int, wanted: list[str], limit: int) -> Columns:
        with self._reading() as db:
            device = devices.key(db, device_id)
            there = frozenset((*columns_of(db, table), *(["count", "heat_source"] if table != "raw" else [])))
            present = [name for name in wanted if name in there]
            rows = []
            if device is not None:
                rest = f"ORDER BY key LIMIT {limit:d}"
                rows = select_span(db, table, ("key", *present), device, start, end, rest).fetchall()
        by_column = dict(zip(("key", *present), zip(*rows, strict=True), strict=True)) if rows else {}
        flags = FLAG_COLUMNS if table == "raw" else frozenset()
        values: dict[str, list[float | None]] = {}
        for name in wanted:
            found = by_column.get(name, (None,) * len(rows))
            values[name] = [None if v is None else bool(v) for v in found] if name in flags else list(found)
        return Columns([at_of(key) for key in by_column.get("key", ())], values)

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
            raise RetryableStoreError(f"there is no store at {self._path} yet: the flow creates it") from None
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
