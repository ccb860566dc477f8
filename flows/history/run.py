"""One import: which it is, sent to the flow or tried here, and what it came to."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from flows.errors import ConfigError
from flows.graph import load_graph
from flows.history.client import Client, chunk_from, chunked
from flows.history.mapping import Mapping
from flows.model.device import DeviceMetadata, MetadataChanged
from flows.model.frame import Start
from flows.model.history import Chunk, History, Standing, payload_of
from flows.model.table import Table
from flows.model.times import now_ms
from flows.nodes.history import NODE, Importer, Params
from flows.settings import Settings
from flows.store import open_reader

Sent = Callable[[int, int], None]
"""Called with the number of readings and the newest event time [ms since 1970, UTC] of each chunk."""


_TRIED = "0" * 32


def import_id_of(kind: str, source: str, device_id: str, mapping: Mapping, again: int = 0) -> str:
    """Derive the id of an import: the same device, source and mapping are the same import, to be gone on with.

    again : another number makes it another import.
    """
    where = source if "://" in source else str(Path(source).resolve())
    parts = (kind, where, device_id, mapping.text, str(again))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def send(
    settings: Settings,
    device_id: str,
    import_id: str,
    source: str,
    tables: Iterator[Table],
    sent: Sent,
    waiting: Callable[[str], None],
    earlier: Callable[[int], None],
) -> Standing:
    """Send what is new of a source to the flow.

    waiting : called with what is wrong while the flow is waited for.
    earlier : called with how many readings are new, but not later than what the import had: they are not sent.
    Raises FlowDown.
    """
    client = Client(settings, device_id, import_id, waiting)
    begin, had = client.standing(), 0

    def noted() -> Iterator[Table]:
        nonlocal had
        for table in tables:
            had += int(np.searchsorted(table.at, begin.at, "right"))
            yield table

    standing = client.send(noted(), source, begin, sent)
    if had > begin.read:
        earlier(had - begin.read)
    return standing


def try_out(settings: Settings, device_id: str, tables: Iterator[Table], sent: Sent) -> Standing:
    """Run the flow's own node over a source, without the flow: what an import would come to.

    Raises ConfigError where the graph cannot be used.
    """
    logic = Importer(_params(settings.graph), None)

    def take(chunk: Chunk) -> None:
        logic.on_items([History(number, now_ms(), device_id, payload_of(chunk))], {"items": [], "rows": []})

    start = Start(seq=0, arrived=0, raw_retention_ms=0, minute_retention_ms=0)
    metadata = MetadataChanged(device_id, 0, _metadata(settings, device_id), None)
    logic.on_items([start, metadata], {"items": [], "rows": []})
    number = 0
    for table in chunked(tables):
        take(chunk_from(_TRIED, device_id, number, "", table))
        sent(len(table.at), int(table.at[-1]))
        number += 1
    take(chunk_from(_TRIED, device_id, number, ""))
    return logic.standing(device_id, _TRIED)


def _params(graph: Path) -> Params:
    """What the flow's graph gives the node."""
    for step in load_graph(graph).steps:
        if step.node is NODE:
            params: Params = step.params
            return params
    raise ConfigError("HEATPUMP_GRAPH", str(graph), f"has no step with the node {NODE.name}: it imports nothing")


def _metadata(settings: Settings, device_id: str) -> list[DeviceMetadata]:
    """The metadata that the flow would compute with."""
    if not settings.has_store:
        return []
    with closing(open_reader(settings.store)) as reader:
        device = reader.device(device_id)
    return device.metadata if device else []
