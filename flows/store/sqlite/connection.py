"""Connections, and what SQLite's errors mean to us."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.durable import sync_folder
from flows.errors import RetryableStoreError, RowRefused, StoreDamaged, StoreError

CHECKPOINT_PAGES = 8_000
"""Size of the write-ahead log at which it is carried into the database. [pages of 4 KiB]"""

LONGEST_LOG_BYTES = 4 * CHECKPOINT_PAGES * 4096
"""Beyond this a fence waits for a moment without readers to start the log over. [bytes]"""

CACHE_KIB = 65_536
"""The writer's page cache. Each device's newest rows are a page of their own: 1 000 devices need 8 MB. [KiB]"""

_RETRYABLE = {
    sqlite3.SQLITE_BUSY: "is locked by another process",
    sqlite3.SQLITE_LOCKED: "is locked by another connection",
    sqlite3.SQLITE_PROTOCOL: "is being locked and unlocked too fast",
    sqlite3.SQLITE_FULL: "has no room left: free disk space",
    sqlite3.SQLITE_IOERR: "cannot be read or written: check the disk",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: check its folder, permissions and free disk space",
    sqlite3.SQLITE_NOMEM: "needs more memory than there is",
}
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_FAILED_SYNCS = (sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC)


def connect_writer(path: Path, busy_ms: int) -> sqlite3.Connection:
    """Open for writing; the file is created readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        sync_folder(path.parent)
    db = _connect(f"{path.absolute().as_uri()}?mode=rw", busy_ms)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        db.execute(f"PRAGMA journal_size_limit={LONGEST_LOG_BYTES}")
        db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        # After a failed sync Linux calls pages clean that are not on the disk. The flow then stops; here, at the
        # next start, the log's pages are written anew, into the database.
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except BaseException:
        db.close()
        raise
    return db


def connect_reader(path: Path, busy_ms: int) -> sqlite3.Connection:
    """Open for reading; several threads may use the connection one after the other."""
    return _connect(f"{path.absolute().as_uri()}?mode=ro", busy_ms)


def _connect(uri: str, busy_ms: int) -> sqlite3.Connection:
    return sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, timeout=busy_ms / 1000, cached_statements=256
    )


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Write whole or not at all."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


@contextmanager
def speaking(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours.

    Raises RetryableStoreError, RowRefused, StoreError.
    """
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.DataError, OverflowError, UnicodeEncodeError) as error:
        raise RowRefused(f"store {path} cannot hold this row: {error}") from error
    except sqlite3.Error as error:
        raise _ours(path, error) from error
    except OSError as error:
        raise RetryableStoreError(f"store {path} cannot be opened: {error.strerror}") from error


def _ours(path: Path, error: sqlite3.Error) -> StoreError:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return StoreError(f"store {path}: {error}")
    if code in _FAILED_SYNCS:
        return StoreError(f"store {path}: the disk failed to keep what was written; check it, then start the flow")
    if code & 0xFF in _RETRYABLE:
        return RetryableStoreError(f"store {path} {_RETRYABLE[code & 0xFF]} ({error})")
    if code & 0xFF in _DAMAGED:
        return StoreDamaged(f"store {path} is damaged ({error}): put a copy in its place, or begin a new one")
    return StoreError(f"store {path}: {error}")
