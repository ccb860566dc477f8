"""What the writer knows by heart of what is stored: so that a row costs a question only where it may be there."""

from flows.store.influx import devices, leaving, raw, rollups
from flows.store.influx.outgoing import Outgoing
from flows.store.influx.server import InfluxServer


class Catalog:
    """Good while every write succeeds; read anew after one that failed.

    server, outgoing : to ask, and to write through.
    leaving : what was forgotten or let go.
    devices : the parts of every device, with their orders, and its metadata history.
    raw     : how far each device's readings reach, and how many there are.
    rollups : how far each device's rows of a resolution reach.
    """

    def __init__(self, server: InfluxServer) -> None:
        self.server, self.outgoing = server, Outgoing(server)
        self.leaving = leaving.load(server)
        self.devices = devices.load(server)
        self.raw = raw.load(server)
        self.rollups = rollups.load(server)
