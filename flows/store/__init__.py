"""Where rows are kept: one protocol, SQLite beside the flow. Knows nothing of the pipeline."""

from pathlib import Path

from flows.store.protocol import StoreReader, StoreWriter
from flows.store.sqlite.checking import check
from flows.store.sqlite.reader import SqliteReader
from flows.store.sqlite.writer import SqliteWriter


def open_writer(path: str | Path) -> StoreWriter:
    """Open the store for the flow, creating or migrating it. Raises RetryableStoreError, StoreError."""
    return SqliteWriter(Path(path))


def open_reader(path: str | Path) -> StoreReader:
    """Open the store for reading. It may not exist yet: then every read raises RetryableStoreError."""
    return SqliteReader(Path(path))


def check_store(path: str | Path) -> None:
    """Read all of a store that exists. Raises StoreDamaged, RetryableStoreError."""
    check(Path(path))
