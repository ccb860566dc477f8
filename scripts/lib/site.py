"""The whole system as scripts/up ships it, with a broker and a publisher: what benches and the soak measure."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from scripts.lib.watching import check_shipped
from tests.brokers import Mosquitto, Rumqttd
from tests.ledger.processes import Publisher, Site


class Broker(StrEnum):
    """Brokers that a script may be asked to run with."""

    mosquitto = "mosquitto"
    rumqttd = "rumqttd"


@contextmanager
def shipped_site(broker: Mosquitto | Rumqttd, where: Path) -> Iterator[tuple[Site, Publisher]]:
    """Run a broker, flow and api. Raises SystemExit where their settings are not those that are shipped."""
    broker.start()
    site = Site(where, broker.port)
    try:
        site.start()
        check_shipped(site.children["flow"].pid)
        publisher = Publisher(broker.port)
        try:
            yield site, publisher
        finally:
            publisher.close()
    finally:
        site.stop()
        broker.stop()
