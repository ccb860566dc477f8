"""The tally: how many readings and alerts there are, and how far readings reach, as of the last batch."""

import msgspec

from flows.store.influx import documents
from flows.store.influx.catalog import Catalog
from flows.store.influx.reach import TALLY, Reach, load
from flows.store.influx.server import InfluxServer


class Tally(msgspec.Struct, frozen=True):
    """What is stored.

    oldest, newest : event times [ms since 1970, UTC], None without readings.
    others         : devices with points of another program (see Reach).
    """

    readings: int = 0
    alerts: int = 0
    oldest: int | None = None
    newest: int | None = None
    others: list[str] = []


_NOTHING = msgspec.json.encode(Tally()).decode()


def write(catalog: Catalog) -> None:
    """Write the tally if it is not what is told."""
    reach = catalog.raw
    body = msgspec.json.encode(_of(reach, catalog.alerts.total)).decode()
    if body != (reach.told or _NOTHING):
        catalog.outgoing.add(catalog.server.address.meta, [documents.line(TALLY, "", body)])
        reach.told = body


def read(server: InfluxServer) -> Tally:
    """Read it; what no flow has counted yet, as another program's bucket, is counted now."""
    for _, body in documents.read(server, TALLY):
        return msgspec.json.decode(body, type=Tally)
    return _of(load(server), 0)


def _of(reach: Reach, alerts: int) -> Tally:
    oldest, newest = min(reach.oldest.values(), default=None), max(reach.newest.values(), default=None)
    return Tally(reach.counts.total(), alerts, oldest, newest, sorted(reach.others))
