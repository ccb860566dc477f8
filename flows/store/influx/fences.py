"""The fence: how far the journal is stored."""

import msgspec

from flows.store.influx import documents
from flows.store.influx.server import InfluxServer
from flows.store.protocol import Fence


def write(server: InfluxServer, fence: Fence) -> None:
    """Write the fence, durably, in place of the last one. Raises RetryableStoreError."""
    body = msgspec.json.encode(fence).decode()
    server.write(server.address.meta, documents.line("fence", "", body))


def read(server: InfluxServer) -> Fence | None:
    """Read it, None of a new store."""
    bodies = [body for _, body in documents.read(server, "fence")]
    return msgspec.json.decode(bodies[0], type=Fence) if bodies else None
