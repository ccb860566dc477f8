"""Whether the file still is what was written."""

from contextlib import closing
from pathlib import Path

from flows.errors import StoreDamaged
from flows.store.sqlite.connection import connect_reader, speaking

BUSY_MS = 5_000


def check(path: Path) -> None:
    """Read the whole file, its indexes unchecked. Raises StoreDamaged, RetryableStoreError."""
    with speaking(path), closing(connect_reader(path, BUSY_MS)) as db:
        (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise StoreDamaged(f"store {path} is damaged ({found}): put a copy in its place, or begin a new one")
