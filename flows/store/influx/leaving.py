"""What leaves the store: forgotten devices, and rows that retention no longer covers."""

from typing import TYPE_CHECKING

import msgspec

from flows.model.rollup import RESOLUTIONS
from flows.model.rows import Forget, Retain
from flows.model.times import HOUR_MS
from flows.store.influx import alerts, devices, documents, letters
from flows.store.influx.checking import END_OF_TIME
from flows.store.influx.letter_points import COUNTED, LETTER
from flows.store.influx.names import tag_of
from flows.store.influx.server import InfluxServer
from flows.store.influx.survivors import newer_points

if TYPE_CHECKING:
    from flows.store.influx.catalog import Catalog

FORGOTTEN, RETAINED = "forgotten", "retained"


class Cutoffs(msgspec.Struct, frozen=True):
    """Times below which rows of a device, or dead letters, were let go. [ms since 1970, UTC]"""

    raw_before: int = 0
    minute_before: int = 0
    dead_letter_before: int = 0


class Leaving(msgspec.Struct):
    """What never comes back.

    forgotten     : by device, the order of its last Forget: older rows never come back.
    raw_before    : by device, event time below which its raw rows were let go. [ms since 1970, UTC]
    minute_before : likewise of minute rows.
    dead_letter_before : arrival below which dead letters were let go. [ms since 1970, UTC]
    """

    forgotten: dict[str, int]
    raw_before: dict[str, int]
    minute_before: dict[str, int]
    dead_letter_before: int

    def cutoffs(self, device_id: str) -> Cutoffs:
        """Give the times of a device, or ("") of dead letters."""
        if not device_id:
            return Cutoffs(dead_letter_before=self.dead_letter_before)
        return Cutoffs(self.raw_before.get(device_id, 0), self.minute_before.get(device_id, 0))

    def let_go(self, request: Retain) -> None:
        """Move the times that a request is about; never back."""
        device_id = request.device_id
        if not device_id:
            self.dead_letter_before = max(request.dead_letter_before, self.dead_letter_before)
            return
        self.raw_before[device_id] = max(request.raw_before, self.raw_before.get(device_id, 0))
        self.minute_before[device_id] = max(request.minute_before, self.minute_before.get(device_id, 0))


def load(server: InfluxServer) -> Leaving:
    """Read what was forgotten or let go."""
    found = Leaving({}, {}, {}, 0)
    for device_id, body in documents.read(server, FORGOTTEN):
        found.forgotten[device_id] = int(body)
    for device_id, body in documents.read(server, RETAINED):
        cutoffs = msgspec.json.decode(body, type=Cutoffs)
        found.dead_letter_before = max(found.dead_letter_before, cutoffs.dead_letter_before)
        if device_id:
            found.raw_before[device_id], found.minute_before[device_id] = cutoffs.raw_before, cutoffs.minute_before
    return found


def forget(catalog: "Catalog", requests: list[Forget]) -> None:
    """Delete everything of devices up to an order, and remember it: a replay brings nothing back.

    What is newer (nothing, but in a replay) is read before and written again after; should that come to nothing,
    the journal still has it.
    """
    catalog.outgoing.flush()
    letters.forget(catalog)
    for request in requests:
        if catalog.leaving.forgotten.get(request.device_id, -1) < request.order:
            _forget(catalog, request.device_id, request.order)


def _forget(catalog: "Catalog", device_id: str, order: int) -> None:
    server, leaving = catalog.server, catalog.leaving
    newer = {bucket: newer_points(server, bucket, device_id, order) for bucket in server.address.retentions}
    transitions = alerts.forget(catalog, device_id, order)
    for bucket in newer:
        server.delete(bucket, f'device_id="{tag_of(device_id)}"', 0, END_OF_TIME)
    documents.forget(server, RETAINED, device_id)
    # Behind the deletions, which an end in between has made again; before anything newer, which it lets stand.
    server.write(server.address.meta, documents.line(FORGOTTEN, device_id, str(order)))
    leaving.forgotten[device_id] = order
    leaving.raw_before.pop(device_id, None)
    leaving.minute_before.pop(device_id, None)
    for bucket, points in newer.items():
        catalog.outgoing.add(bucket, [line for _, line in points], "ns")
    letter = LETTER.encode()  # a device is none for what of it was refused
    rows_left = any(not line.startswith(letter) for points in newer.values() for _, line in points)
    devices.forget(catalog, device_id, order, rows_left or bool(transitions))
    if transitions:
        alerts.write_transitions(catalog, transitions)
    catalog.outgoing.flush()
    catalog.raw.recount(server, device_id)
    catalog.samples.drop(device_id)
    catalog.shelf.forget(device_id)
    for resolution in RESOLUTIONS:
        newest = catalog.rollups[resolution]
        newest.pop(device_id, None)
        if points := newer[server.address.rollups(resolution)]:
            newest[device_id] = max(at for at, _ in points)


def retain(catalog: "Catalog", requests: list[Retain]) -> None:
    """Remember times, and delete the raw and minute rows of devices, or dead letters, that lie before them.

    Of a bucket that the server keeps short the rows are left to it.
    """
    leaving = catalog.leaving
    for request in requests:
        leaving.let_go(request)
    lines = [
        documents.line(RETAINED, device_id, msgspec.json.encode(leaving.cutoffs(device_id)).decode())
        for device_id in {request.device_id for request in requests}
    ]
    catalog.outgoing.add(catalog.server.address.meta, lines)
    # Before the deletions: after an end in between nothing is folded again of which some is gone.
    catalog.outgoing.flush()
    for request in requests:
        if request.device_id:
            _retain_device(catalog, request)
        else:
            _retain_dead_letters(catalog, request.dead_letter_before)


def _retain_device(catalog: "Catalog", request: Retain) -> None:
    device_id = request.device_id
    if not catalog.devices.known(device_id):
        return
    server, address = catalog.server, catalog.server.address
    before = {address.bucket: request.raw_before, address.rollups("1m"): request.minute_before}
    for bucket, end in before.items():
        if address.retentions[bucket] is None and end > 0:
            server.delete(bucket, f'device_id="{tag_of(device_id)}"', 0, end)
    catalog.raw.recount(server, device_id)


def _retain_dead_letters(catalog: "Catalog", before: int) -> None:
    server = catalog.server
    letters.forget(catalog)
    for measurement, end in ((LETTER, before), (COUNTED, before - HOUR_MS + 1)):
        if end > 0:
            server.delete(server.address.meta, f'_measurement="{measurement}"', 0, end)
