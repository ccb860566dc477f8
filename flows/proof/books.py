"""What was published, and whether a store holds it: each reading once, with its value."""

import json
import time
from collections.abc import Iterator
from typing import NamedTuple
from zoneinfo import ZoneInfo

from flows.queries.pages import pages
from flows.queries.times import LATEST_MS
from flows.store.protocol import StoredDevice, StoreReader

MINUTE_MS = 60_000
TWICE_EVERY = 20
"""Every so many readings one is sent again, as by a device that heard no answer."""

_UTC = ZoneInfo("UTC")


class Message(NamedTuple):
    """One MQTT message with a reading."""

    topic: str
    payload: bytes
    retain: bool = False


class Found(NamedTuple):
    """What a comparison came to, in readings. lost: not stored, or with another value; doubled: stored or counted

    more than once, or never published.
    """

    stored: int
    lost: int
    doubled: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing is lost or doubled."""
        return self.lost == self.doubled == 0


class Books:
    """All that was published. One thread publishes, another compares.

    distinct : readings of different device and time.
    """

    def __init__(self, devices: int) -> None:
        self.distinct = self.twice = 0
        self.published: dict[str, dict[int, float]] = {f"proof{n}": {} for n in range(1, devices + 1)}
        self._seen: dict[str, int] = dict.fromkeys(self.published, 0)
        self._lost = self._strange = 0

    def messages(self, count: int) -> Iterator[Message]:
        """Make so many messages, device by device, each dated when it is taken; of some the same twice."""
        devices = list(self.published.items())
        sent: Message | None = None
        for number in range(count):
            if sent is not None and number % TWICE_EVERY == TWICE_EVERY - 1:
                self.twice += 1
                yield sent
                continue
            name, published = devices[number % len(devices)]
            at = max(time.time_ns() // 1_000_000, next(reversed(published), 0) + 1)
            outlet = round(30 + number % 150 / 10, 1)
            published[at] = outlet
            self.distinct += 1
            sent = Message(f"heatpump/{name}/data", _payload(at, outlet))
            yield sent

    def newest_is_stored(self, reader: StoreReader) -> bool:
        """Tell whether of every device the last reading is there: then, in order, all before it should be."""
        newest = {name: next(reversed(published), 0) for name, published in self.published.items()}
        return all(_newest(reader, name) >= at for name, at in newest.items() if at)

    def look(self, reader: StoreReader) -> Found:
        """Compare what is new since the last look, up to each device's newest stored reading.

        Order is promised per device, so what is missing before it is lost.
        """
        for name, published in self.published.items():
            device, since = reader.device(name), self._seen[name]
            newest = _newest(reader, name)
            if device is None or newest < since:
                continue
            rows = _rows(reader, device, since, newest + 1)
            wanted = {at: value for at, value in list(published.items()) if since <= at <= newest}
            self._lost += sum(rows.get(at) != value for at, value in wanted.items())
            self._strange += len(rows.keys() - wanted.keys())
            self._seen[name] = newest + 1
        return Found(reader.stats().total_readings, self._lost, self._strange)

    def audit(self, reader: StoreReader) -> Found:
        """Compare everything, and how often the minutes counted each reading, with what was published."""
        stored = lost = doubled = 0
        for name, published in self.published.items():
            device = reader.device(name)
            if device is None:
                lost += len(published)
                continue
            rows = _rows(reader, device, 0, LATEST_MS)
            stored += len(rows)
            lost += sum(rows.get(at) != value for at, value in published.items())
            counted = _counted(reader, device, min(published, default=0), max(published, default=0))
            doubled += len(rows.keys() - published.keys()) + max(0, counted - max(len(rows), len(published)))
        return Found(stored, lost, doubled)


def _payload(at: int, outlet: float) -> bytes:
    reading = {
        "timestamp": at,
        "temperature": {"inlet": round(outlet - 5, 1), "outlet": outlet, "ambient": 4.5},
        "electrical": {"voltage": 230.5, "power": 1500.0},
        "status": {"compressor": True},
    }
    return json.dumps(reading, separators=(",", ":")).encode()


def _newest(reader: StoreReader, name: str) -> int:
    """Event time of a device's newest stored reading, 0 without any. [ms since 1970, UTC]"""
    found = reader.readings(name, 0, LATEST_MS, 1)
    return found[0].at if found else 0


def _rows(reader: StoreReader, device: StoredDevice, start: int, end: int) -> dict[int, float | None]:
    rows: dict[int, float | None] = {}
    for page in pages(reader, device, "raw", start, end, ["temp_outlet"], _UTC):
        rows.update(zip(page.time, page.values["temp_outlet"], strict=True))
    return rows


def _counted(reader: StoreReader, device: StoredDevice, first: int, last: int) -> int:
    """How many readings the minutes have counted."""
    start, end = first - first % MINUTE_MS, last + 1
    found = pages(reader, device, "1m", start, end, ["count"], _UTC)
    return round(sum(count or 0 for page in found for count in page.values["count"]))
