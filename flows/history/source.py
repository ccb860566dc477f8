"""Any source as tables of quantities in our units, oldest first."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from flows.errors import ConfigError
from flows.history import csv_source, emoncms, homeassistant, influx, influx_server
from flows.history.mapping import Influx, Mapping
from flows.history.points import Newest, Series, ended, merged, repeated
from flows.history.spool import Spool
from flows.history.tally import Tally
from flows.model.table import Table

_URLS = ("http://", "https://")


@contextmanager
def opened(kind: str, source: str, mapping: Mapping, tally: Tally) -> Iterator[Iterator[Table]]:
    """Open a source; its tables are read as they are taken, in bounded memory. Raises ConfigError, OSError."""
    if kind == "csv" and csv_source.is_direct(mapping):
        yield csv_source.tables(Path(source), mapping, tally)
        return
    with TemporaryDirectory(prefix="heatpump-import-") as folder:
        spool = Spool(Path(folder), tally)
        try:
            series = _series(kind, source, mapping, tally, spool)
            yield _held(series, mapping) if mapping.hold_ms else merged(series)
        finally:
            spool.close()


def is_url(kind: str, source: str) -> bool:
    """Tell a server from files."""
    return kind == "influx" and source.startswith(_URLS)


def _series(kind: str, source: str, mapping: Mapping, tally: Tally, spool: Spool) -> dict[str, Series]:
    path = Path(source)
    if kind == "emoncms":
        return emoncms.series(path, mapping, tally)
    if kind == "homeassistant":
        if homeassistant.is_database(path):
            return homeassistant.series(path, mapping, tally)
        if mapping.source.table == "statistics":
            allowed = f"is of the database, but {path.name} is none: a CSV of the history page holds states"
            raise ConfigError(f"{mapping.name} [source] table", "statistics", allowed)
        mapping = msgspec.structs.replace(mapping, source=csv_source.HistoryExport())
    if isinstance(mapping.source, Influx):
        if is_url(kind, source):
            influx_server.fill(source, mapping, tally, spool)
        else:
            influx.fill(path, mapping, tally, spool)
    else:
        csv_source.fill(path, mapping, tally, spool)
    return csv_source.spooled(spool, mapping)


def _held(series: dict[str, Series], mapping: Mapping) -> Iterator[Table]:
    """Repeat what the source holds longer than we do."""
    counters, newest = {rule.quantity for rule in mapping.rules if rule.is_counter}, Newest()
    filled = {name: repeated(points, mapping.hold_ms, name in counters, newest) for name, points in series.items()}
    return ended(merged(filled), newest)
