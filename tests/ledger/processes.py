"""Mosquitto around a ledger run as it is by default, and as we advise; the site itself is flows/proof/site.py."""

from flows.proof.site import Child, Publisher, Site, wait_until
from tests.brokers import Mosquitto

__all__ = ["Child", "OrdinaryMosquitto", "ProductionMosquitto", "Publisher", "Site", "wait_until"]


class OrdinaryMosquitto(Mosquitto):
    """With Mosquitto's own default of messages in flight."""

    max_inflight_messages = 20


class ProductionMosquitto(Mosquitto):
    """As docs/how-to/run.md advises where speed counts: what it holds is saved once a minute, not at every change."""

    autosave = "autosave_interval 60"
