"""How a store file came to its present form: named steps, applied once, in order.

Each is one transaction, but for those that move rows: they have many small ones, and go on where they were killed.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path

from flows.errors import RetryableStoreError, StoreError
from flows.store.sqlite.connection import transaction
from flows.store.sqlite.repacking import moved_rows, packed_tables

APPLICATION_ID = 0x48504D31


def first_tables(db: sqlite3.Connection) -> None:
    """Create everything but the columns of quantities, which come when they are first needed."""
    for statement in _FIRST_TABLES.split(";"):
        db.execute(statement)


def attempts_at_dead_letters(db: sqlite3.Connection) -> None:
    """Remember how often a dead letter was tried again, and who closed it."""
    columns = {
        "state": "TEXT NOT NULL DEFAULT 'open'",
        "attempts": "INTEGER NOT NULL DEFAULT 0",
        "tried_at": "INTEGER",
        "last_reason": "TEXT NOT NULL DEFAULT ''",
        "last_detail": "TEXT NOT NULL DEFAULT ''",
        "resolved_by": "TEXT NOT NULL DEFAULT ''",
        "resolved_at": "INTEGER",
    }
    for name, type_ in columns.items():
        db.execute(f"ALTER TABLE dead_letter ADD COLUMN {name} {type_}")
    db.execute("CREATE INDEX dead_letter_by_state ON dead_letter (state, ord)")


def episodes(db: sqlite3.Connection) -> None:
    """Keep episodes. body: the Episode as JSON, but for its kind and times; empty of one that is no more."""
    db.execute(
        "CREATE TABLE episode (device INTEGER NOT NULL, kind TEXT NOT NULL, start INTEGER NOT NULL,"
        " end INTEGER NOT NULL, ord INTEGER NOT NULL, body TEXT NOT NULL,"
        " PRIMARY KEY (device, kind, start)) WITHOUT ROWID"
    )


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    first_tables,
    attempts_at_dead_letters,
    packed_tables,
    moved_rows,
    episodes,
)
IN_PIECES = frozenset([moved_rows])


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Bring the file up to date. Raises StoreError where it is newer than this build, or no store at all."""
    _check_ours(db, path)
    db.execute("CREATE TABLE IF NOT EXISTS migration (position INTEGER PRIMARY KEY, name TEXT NOT NULL)")
    done = len(_applied(db, path))
    for position, step in enumerate(MIGRATIONS[done:], start=done):
        if step in IN_PIECES:
            step(db)
        with transaction(db):
            if step not in IN_PIECES:
                step(db)
            db.execute("INSERT INTO migration VALUES (?, ?)", (position, step.__name__))
            db.execute(f"PRAGMA application_id={APPLICATION_ID}")


def check_current(db: sqlite3.Connection, path: Path) -> None:
    """Raise StoreError where a reader of this build cannot read the file (yet)."""
    _check_ours(db, path)
    missing = "SELECT 1 FROM sqlite_schema WHERE name = 'migration'"
    if db.execute(missing).fetchone() is None or len(_applied(db, path)) < len(MIGRATIONS):
        raise RetryableStoreError(f"store {path} is older than this build: start the flow, which updates it")


def _applied(db: sqlite3.Connection, path: Path) -> list[str]:
    """Name the steps the file has been through, after checking that they are ours."""
    names = [name for (name,) in db.execute("SELECT name FROM migration ORDER BY position")]
    if names != [step.__name__ for step in MIGRATIONS[: len(names)]]:
        raise StoreError(f"store {path} was written by a newer build (it has {names[-1]!r}): update this one")
    return names


def _check_ours(db: sqlite3.Connection, path: Path) -> None:
    # In this order: a flow that makes the store meanwhile commits the tables together with the id.
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE name != 'migration' LIMIT 1")]
    (found,) = db.execute("PRAGMA application_id").fetchone()
    if found != APPLICATION_ID and tables:
        raise StoreError(f"{path} is another program's file (it has {tables[0]!r}): choose another for the store")


# In each table `ord` is the order (see ORDER_STEP) of what last changed the row: newer replaces, older is ignored.
_FIRST_TABLES = """
CREATE TABLE device (
    device INTEGER PRIMARY KEY, device_id TEXT NOT NULL UNIQUE,
    online INTEGER, online_ord INTEGER,
    last_seen INTEGER, last_seen_ord INTEGER,
    metadata TEXT, metadata_ord INTEGER);
CREATE TABLE attribute (
    device INTEGER NOT NULL, name TEXT NOT NULL, ord INTEGER NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (device, name)) WITHOUT ROWID;
CREATE TABLE latest (device INTEGER PRIMARY KEY, ord INTEGER NOT NULL, readings BLOB NOT NULL);
CREATE TABLE raw (
    key INTEGER PRIMARY KEY, ord INTEGER NOT NULL, arrived INTEGER NOT NULL, clock INTEGER NOT NULL);
CREATE TABLE rollup_1m (
    key INTEGER PRIMARY KEY, ord INTEGER NOT NULL, count INTEGER NOT NULL, heat_source INTEGER);
CREATE TABLE rollup_1h (
    key INTEGER PRIMARY KEY, ord INTEGER NOT NULL, count INTEGER NOT NULL, heat_source INTEGER);
CREATE TABLE rollup_1d (
    key INTEGER PRIMARY KEY, ord INTEGER NOT NULL, count INTEGER NOT NULL, heat_source INTEGER);
CREATE TABLE alert_transition (
    id TEXT NOT NULL, ord INTEGER NOT NULL, device INTEGER NOT NULL, alert_type TEXT NOT NULL,
    at INTEGER NOT NULL, arrived INTEGER NOT NULL, level TEXT NOT NULL, state TEXT NOT NULL,
    value REAL, message TEXT NOT NULL, since INTEGER NOT NULL, by TEXT NOT NULL,
    PRIMARY KEY (id, ord)) WITHOUT ROWID;
CREATE INDEX alert_transition_of_device ON alert_transition (device);
CREATE TABLE alert (
    id TEXT PRIMARY KEY, device INTEGER NOT NULL, ord INTEGER NOT NULL, at INTEGER NOT NULL,
    open INTEGER NOT NULL, cleared_at INTEGER, acknowledged_by TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX alert_newest ON alert (at, ord);
CREATE INDEX alert_newest_of_device ON alert (device, at, ord);
CREATE INDEX alert_open ON alert (at, ord) WHERE open = 1;
CREATE TABLE dead_letter (
    ord INTEGER PRIMARY KEY, device_id TEXT NOT NULL, topic TEXT NOT NULL, arrived INTEGER NOT NULL,
    reason TEXT NOT NULL, detail TEXT NOT NULL, body BLOB NOT NULL, size INTEGER NOT NULL);
CREATE INDEX dead_letter_of_device ON dead_letter (device_id, ord);
CREATE INDEX dead_letter_by_reason ON dead_letter (reason, ord);
CREATE INDEX dead_letter_by_arrival ON dead_letter (arrived);
CREATE TABLE dead_letter_count (
    device_id TEXT NOT NULL, reason TEXT NOT NULL, hour INTEGER NOT NULL, ord INTEGER NOT NULL,
    count INTEGER NOT NULL, PRIMARY KEY (device_id, reason, hour)) WITHOUT ROWID;
CREATE INDEX dead_letter_count_by_hour ON dead_letter_count (hour);
CREATE TABLE command (
    id TEXT PRIMARY KEY, seq INTEGER NOT NULL, by TEXT NOT NULL, at INTEGER NOT NULL, name TEXT NOT NULL,
    body TEXT NOT NULL, outcome TEXT NOT NULL, detail TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE forgotten (device_id TEXT PRIMARY KEY, ord INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE retained (
    device_id TEXT PRIMARY KEY, raw_before INTEGER NOT NULL, minute_before INTEGER NOT NULL,
    dead_letter_before INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE tally (one INTEGER PRIMARY KEY CHECK (one = 1), readings INTEGER NOT NULL);
INSERT INTO tally VALUES (1, 0);
CREATE TABLE fence (
    one INTEGER PRIMARY KEY CHECK (one = 1), journal_id TEXT NOT NULL, seq INTEGER NOT NULL, base INTEGER NOT NULL,
    commits INTEGER NOT NULL)
"""
