"""Where rows are kept: one protocol, SQLite beside the flow or InfluxDB. Knows nothing of the pipeline."""

from pathlib import Path

from flows.model.influx_address import InfluxAddress
from flows.store.protocol import StoreReader, StoreWriter

StoreAddress = str | Path | InfluxAddress
"""The embedded store's file, or a server's."""


def open_writer(address: StoreAddress) -> StoreWriter:
    """Open the store for the flow, creating or migrating it. Raises RetryableStoreError, StoreError."""
    # Each brings its own packages, which take their time to load.
    if isinstance(address, InfluxAddress):
        from flows.store.influx.writer import InfluxWriter

        return InfluxWriter(address)
    from flows.store.sqlite.writer import SqliteWriter

    return SqliteWriter(Path(address))


def open_reader(address: StoreAddress) -> StoreReader:
    """Open the store for reading. It may not exist yet: then every read raises RetryableStoreError."""
    if isinstance(address, InfluxAddress):
        from flows.store.influx.reader import InfluxReader

        return InfluxReader(address)
    from flows.store.sqlite.reader import SqliteReader

    return SqliteReader(Path(address))


def check_store(path: str | Path) -> None:
    """Read all of an embedded store that exists. Raises StoreDamaged, RetryableStoreError."""
    from flows.store.sqlite.checking import check

    check(Path(path))
