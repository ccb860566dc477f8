"""SqliteWriter: one transaction a batch, one fully synced transaction a fence."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flows.model.alert import Transition
from flows.model.command import CommandOutcome
from flows.model.dead_letter import DeadLetter, LetterChange
from flows.model.episode import EpisodeRow, Retrace
from flows.model.rollup import ClosedMinutes, Refold, RollupBlock
from flows.model.rows import DeviceRow, Forget, LatestRow, RawRow, Retain, StoreItem
from flows.store import batches
from flows.store.export import Restored
from flows.store.protocol import Fence
from flows.store.sqlite.catalog import Catalog
from flows.store.sqlite.connection import LONGEST_LOG_BYTES, connect_writer, speaking, transaction
from flows.store.sqlite.episodes import retrace, write_episodes
from flows.store.sqlite.events import (
    write_dead_letters,
    write_letter_changes,
    write_outcomes,
    write_transitions,
)
from flows.store.sqlite.healing import heal
from flows.store.sqlite.leaving import forget, retain
from flows.store.sqlite.migrations import migrate
from flows.store.sqlite.raw import write_raw
from flows.store.sqlite.restore import restore
from flows.store.sqlite.rows import (
    write_blocks,
    write_closed,
    write_devices,
    write_latest,
)

BUSY_MS = 500
"""How long a lock of another process is waited for before the caller is told. [ms]"""


STEPS: batches.Steps[Catalog] = {
    Forget: forget,
    DeviceRow: write_devices,
    RawRow: write_raw,
    LatestRow: write_latest,
    ClosedMinutes: write_closed,
    RollupBlock: write_blocks,
    Refold: heal,
    EpisodeRow: write_episodes,
    Retrace: retrace,
    Transition: write_transitions,
    DeadLetter: write_dead_letters,
    LetterChange: write_letter_changes,
    CommandOutcome: write_outcomes,
    Retain: retain,
}


class SqliteWriter:
    """The flow's side of the embedded store; see StoreWriter."""

    def __init__(self, path: Path, busy_ms: int = BUSY_MS) -> None:
        self._path = path
        self._catalog: Catalog | None = None
        with speaking(path):
            self._db = connect_writer(path, busy_ms)
            try:
                migrate(self._db, path)
            except BaseException:
                self._db.close()
                raise

    def apply(self, items: list[StoreItem]) -> int:
        """Write one batch whole or not at all; returns how many raw rows said nothing new."""
        with self._transaction():
            if self._catalog is None:
                self._catalog = Catalog(self._db)
            return batches.write(items, STEPS, self._catalog, self._catalog.forgotten)

    def restore(self, rows: list[Restored]) -> None:
        """Put rows of another store down as they are, whole or not at all."""
        with self._transaction():
            if self._catalog is None:
                self._catalog = Catalog(self._db)
            restore(self._catalog, rows)

    def commit_fence(self, fence: Fence) -> None:
        """Make all that was applied, and the fence, durable."""
        with speaking(self._path):
            self._db.execute("PRAGMA synchronous=FULL")
        try:
            with self._transaction():
                # A changed row, always: a commit that changes no page is not synced.
                self._db.execute(
                    "INSERT INTO fence VALUES (1, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET journal_id ="
                    " excluded.journal_id, seq = excluded.seq, base = excluded.base, commits = commits + 1",
                    (fence.journal_id, fence.seq, fence.base),
                )
        finally:
            with speaking(self._path):
                self._db.execute("PRAGMA synchronous=NORMAL")
        self._shorten_log()

    def fence(self) -> Fence | None:
        """Return the last durable fence, None of a new store."""
        with speaking(self._path):
            row = self._db.execute("SELECT journal_id, seq, base FROM fence").fetchone()
        return Fence(*row) if row else None

    def close(self) -> None:
        """Release files; safe to call twice."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with speaking(self._path):
            try:
                with transaction(self._db):
                    yield
            except BaseException:
                self._catalog = None
                raise

    def _shorten_log(self) -> None:
        """Where overlapping readers keep the log from starting over, wait (briefly) for a moment without them."""
        if Path(f"{self._path}-wal").stat().st_size > LONGEST_LOG_BYTES:
            # Whatever hinders it, the fence is durable and the next one tries again.
            with suppress(sqlite3.OperationalError):
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
