"""What the embedded store has that is older than it is to be."""

import sqlite3
from contextlib import closing
from pathlib import Path

from flows.store.passing import Cutoffs, Passing
from flows.store.sqlite.connection import connect_reader, speaking
from flows.store.sqlite.schema import at_of, span_keys

BUSY_MS = 5_000
ROW_BYTES = 20
"""A row's key, order and length, beside its body."""


def passing(path: Path, cutoffs: Cutoffs) -> list[Passing]:
    """Count what is to go. Raises RetryableStoreError, StoreError."""
    with speaking(path), closing(connect_reader(path, BUSY_MS)) as db:
        count, oldest, newest, size = db.execute(
            "SELECT count(*), min(arrived), max(arrived), sum(length(body)) FROM dead_letter WHERE arrived < ?",
            (cutoffs.dead_letter_before,),
        ).fetchone()
        return [
            _keyed(db, "readings", "raw", cutoffs.raw_before),
            _keyed(db, "minutes", "rollup_1m", cutoffs.minute_before),
            Passing("dead letters", count, oldest, newest, size or 0),
        ]


def _keyed(db: sqlite3.Connection, what: str, table: str, before: int) -> Passing:
    rows, size, times = 0, 0, []
    for (device,) in db.execute("SELECT device FROM device").fetchall():
        count, first, last, length = db.execute(
            f"SELECT count(*), min(key), max(key), sum(length(body)) FROM {table} WHERE key >= ? AND key < ?",
            span_keys(device, 0, before),
        ).fetchone()
        if count:
            rows, size = rows + count, size + length + count * ROW_BYTES
            times += [at_of(first), at_of(last)]
    return Passing(what, rows, min(times, default=None), max(times, default=None), size)
