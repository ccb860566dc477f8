"""The fence: how far the journal is stored."""

from collections.abc import Collection

import msgspec

from flows.errors import StoreError
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


def refuse_another(server: InfluxServer, ours: Collection[Fence | None]) -> None:
    """Raise StoreError where the store has another fence than those that this flow may have written last."""
    found = read(server)
    if found in ours:
        return
    where = f"bucket {server.address.meta} of InfluxDB at {server.address.url}"
    told = f"frame {found.seq} of journal {found.journal_id}" if found else "nothing"
    raise StoreError(
        f"{where} says that {told} is stored, which this flow has not written: another flow writes into it, and "
        "two must not; or its data were put back, then the next start goes on from there"
    )
