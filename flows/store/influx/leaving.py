"""What leaves the store: forgotten devices, and rows that retention no longer covers."""

from typing import TYPE_CHECKING

import msgspec

from flows.model.rows import Forget, Retain
from flows.store.influx import documents
from flows.store.influx.server import InfluxServer

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
