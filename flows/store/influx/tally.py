"""The tally: how many readings there are and how far they reach, as of the last batch that changed it."""

import msgspec

from flows.store.influx import documents
from flows.store.influx.catalog import Catalog
from flows.store.influx.server import InfluxServer


class Tally(msgspec.Struct, frozen=True):
    """What is stored. oldest, newest: event times [ms since 1970, UTC], None without readings."""

    readings: int = 0
    oldest: int | None = None
    newest: int | None = None


def write(catalog: Catalog) -> None:
    """Write the tally if it is not what was told last."""
    reach = catalog.raw
    tally = Tally(
        reach.counts.total(), min(reach.oldest.values(), default=None), max(reach.newest.values(), default=None)
    )
    body = msgspec.json.encode(tally).decode()
    if body != reach.told:
        catalog.outgoing.add(catalog.server.address.meta, [documents.line("tally", "", body)])
        reach.told = body


def read(server: InfluxServer) -> Tally:
    """Read it; all zero of a new store."""
    bodies = [body for _, body in documents.read(server, "tally")]
    return msgspec.json.decode(bodies[0], type=Tally) if bodies else Tally()
