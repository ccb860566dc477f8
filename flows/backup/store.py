"""The store as one SQLite file, whatever it is: what a backup holds, and what can be opened anywhere.

Of a file: a copy of one moment (SQLite's own), while it is written. Of a server: its rows, read one after the
other; what is written meanwhile carries a newer order, and the journal, copied later, has it too.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from flows.errors import BackupError
from flows.migration.run import Migration
from flows.model.influx_address import InfluxAddress
from flows.model.times import DAY_MS
from flows.store import StoreAddress, open_writer
from flows.store.export import MARK
from flows.store.protocol import Fence
from flows.store.sqlite.connection import connect_reader, speaking
from flows.store.sqlite.schema import ROLLUP_TABLES, TIME_BITS

BUSY_MS = 5_000

Tell = Callable[[str, int, int], None]

KEYED = ("raw", *ROLLUP_TABLES.values())
TIMED = {"episode": "start", "alert_transition": "at", "dead_letter": "arrived", "dead_letter_count": "hour"}
OTHERS = ("device", "attribute", "latest", "alert", "command", "forgotten", "retained")


def snapshot(address: StoreAddress, target: Path, tell: Tell) -> None:
    """Copy a store that is in use into a new file. Raises BackupError, ConfigError, StoreError, OSError."""
    if isinstance(address, InfluxAddress):
        way = Migration(address, target, target.with_name(f"{target.name}.migration"))
        progress = way.begin()
        way.copy(progress, tell)
        way.end(progress)
        _settle(target)
        return
    path = Path(address)
    if not path.exists():
        raise BackupError(f"there is no store {path} yet: start the flow first, there is nothing to back up")
    with speaking(path), closing(connect_reader(path, BUSY_MS)) as source:
        with closing(sqlite3.connect(target)) as copy:
            copy.execute("PRAGMA synchronous=OFF")  # it is packed from here, and that is made durable
            try:
                source.backup(copy)
            except sqlite3.Error as error:
                raise BackupError(f"no backup was made: {path} cannot be copied to {target}: {error}") from error


def _settle(path: Path) -> None:
    """Carry the log into the file, which then is all there is."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def fence_of(path: Path) -> Fence | None:
    """Read the fence of a store file, updating it to this build's form. Raises BackupError, StoreError."""
    with closing(open_writer(path)) as writer:
        fence = writer.fence()
    if fence is not None and fence.journal_id.startswith(MARK):
        raise BackupError("the store is not whole: `heatpump migrate` or `heatpump restore` into it has not ended")
    return fence


def counts_of(path: Path) -> dict[str, dict[str, int]]:
    """Count the rows of a store file by table and UTC month, "" where a table has no time. Raises StoreError."""
    counts: dict[str, dict[str, int]] = {}
    with speaking(path), closing(connect_reader(path, BUSY_MS)) as db:
        for table in (*KEYED, *TIMED):
            at = f"(key & {(1 << TIME_BITS) - 1})" if table in KEYED else TIMED[table]
            months = counts[table] = {}
            for day, rows in db.execute(f"SELECT {at} / {DAY_MS}, count(*) FROM {table} GROUP BY 1 ORDER BY 1"):
                month = f"{datetime.fromtimestamp(day * DAY_MS / 1000, UTC):%Y-%m}"
                months[month] = months.get(month, 0) + rows
        for table in OTHERS:
            ((rows,),) = db.execute(f"SELECT count(*) FROM {table}").fetchall()
            counts[table] = {"": rows} if rows else {}
    return counts
