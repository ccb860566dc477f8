"""stats: totals of the whole store, or of some devices."""

from collections.abc import Collection
from functools import partial

import msgspec

from flows.model.times import HOUR_MS, iso
from flows.queries.devices import is_online
from flows.queries.times import LATEST_MS
from flows.store.protocol import StoreReader, StoreStats

MOST_ROWS = 100_000
"""Of hours, of readings of two of them, and of alerts of one device."""


class Stats(msgspec.Struct, frozen=True):
    """Totals; oldest_reading, newest_reading: event times, None of an empty store."""

    total_readings: int
    total_alerts: int
    devices_online: int
    oldest_reading: str | None
    newest_reading: str | None


def stats(reader: StoreReader, now: int, timeout_ms: int, own: Collection[str] | None = None) -> Stats:
    """Count what is there. now: [ms since 1970, UTC]. own: only of these devices, None for all."""
    asked = reader.beside(reader.stats) if own is None else partial(_of_some, reader, own)
    devices = reader.devices(with_latest=False)
    totals = asked()
    return Stats(
        total_readings=totals.total_readings,
        total_alerts=totals.total_alerts,
        devices_online=sum(
            is_online(device, now, timeout_ms) for device in devices if own is None or device.device_id in own
        ),
        oldest_reading=None if totals.oldest is None else iso(totals.oldest),
        newest_reading=None if totals.newest is None else iso(totals.newest),
    )


def _of_some(reader: StoreReader, own: Collection[str]) -> StoreStats:
    readings = alerts = 0
    times: list[int] = []
    for device_id in own:
        alerts += len(reader.alerts(device_id, 0, LATEST_MS, MOST_ROWS))
        first = reader.readings(device_id, 0, LATEST_MS, 1, newest_first=False)
        last = reader.readings(device_id, 0, LATEST_MS, 1)
        if first and last:
            times += [first[0].at, last[0].at]
            readings += _count(reader, device_id, first[0].at, last[0].at)
    return StoreStats(readings, alerts, min(times, default=None), max(times, default=None))


def _count(reader: StoreReader, device_id: str, oldest: int, newest: int) -> int:
    """Count a device's readings: its hours tell how many each has; of the last two, one by one."""
    rest = max(newest // HOUR_MS - 1, oldest // HOUR_MS) * HOUR_MS
    hours = reader.rollup_columns(device_id, "1h", oldest // HOUR_MS * HOUR_MS, rest, ["count"], MOST_ROWS)
    rolled = sum(count or 0.0 for count in hours.values["count"])
    return int(rolled) + len(reader.raw_columns(device_id, rest, LATEST_MS, [], MOST_ROWS).time)
