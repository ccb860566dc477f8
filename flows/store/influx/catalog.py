"""What the writer knows by heart of what is stored: so that a row costs a question only where it may be there."""

from flows.model.rows import RawRow
from flows.store.influx import alerts, devices, leaving, letters, reach
from flows.store.influx.outgoing import Outgoing
from flows.store.influx.recent import Recent
from flows.store.influx.samples import Samples
from flows.store.influx.server import InfluxServer
from flows.store.influx.shelf import Shelf


class Catalog:
    """Good while every write succeeds; read anew after one that failed.

    server, outgoing : to ask, and to write through.
    leaving : what was forgotten or let go.
    devices : the parts of every device, with their orders, and its metadata history.
    alerts  : the open ones, and how many there are.
    letters : counts of hours of which dead letters came.
    raw     : how far each device's readings reach, and how many there are.
    rollups : by resolution and device, the newest row's start. [ms since 1970, UTC]
    recent  : rollup rows of buckets that are open.
    samples : the newest readings of each device, as far as episodes are made of them.
    shelf   : the newest episodes of each device.
    attempted : raw rows of this batch that say something new.
    failed  : device, event time and order of those of batches that broke off: stored or not, they are new.
    """

    def __init__(self, server: InfluxServer, outgoing: Outgoing, failed: set[tuple[str, int, int]]) -> None:
        self.server, self.outgoing = server, outgoing
        self.leaving = leaving.load(server)
        self.devices = devices.load(server)
        self.alerts = alerts.load(server)
        self.letters = letters.Letters()
        self.raw = reach.load(server)
        self.rollups = reach.load_rollups(server)
        self.recent = Recent(self.rollups)
        self.samples = Samples(self.raw.newest)
        self.shelf = Shelf(server, self.outgoing)
        self.attempted: list[list[RawRow]] = []
        self.failed = failed
