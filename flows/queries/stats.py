"""stats: totals of the whole store."""

import msgspec

from flows.model.times import iso
from flows.queries.devices import is_online
from flows.store.protocol import StoreReader


class Stats(msgspec.Struct, frozen=True):
    """Totals; oldest_reading, newest_reading: event times, None of an empty store."""

    total_readings: int
    total_alerts: int
    devices_online: int
    oldest_reading: str | None
    newest_reading: str | None


def stats(reader: StoreReader, now: int, timeout_ms: int) -> Stats:
    """Count what is there. now: [ms since 1970, UTC]."""
    totals = reader.stats()
    return Stats(
        total_readings=totals.total_readings,
        total_alerts=totals.total_alerts,
        devices_online=sum(is_online(device, now, timeout_ms) for device in reader.devices()),
        oldest_reading=None if totals.oldest is None else iso(totals.oldest),
        newest_reading=None if totals.newest is None else iso(totals.newest),
    )
