"""live: what is fresh, to `heatpump-live/…` (docs/reference/mqtt.md). At least once, never from replay."""

import logging
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, Protocol

import msgspec
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from flows.build import Piece
from flows.model.alert import Transition
from flows.model.reading import Reading
from flows.model.times import iso, now_ms
from flows.telemetry.meter import Meter

log = logging.getLogger("heatpump.live")

FRESH_MS = 10_000
BETWEEN_MS = 1_000
LOOK_MS = 100
"""How often all that waits is looked through, at most."""

_at = attrgetter("at")


class Publisher(Protocol):
    """Sends a message if it can; False if it could not."""

    def publish(self, topic: str, payload: bytes, qos: int) -> bool:
        """Send without waiting."""


def reading_message(reading: Reading) -> bytes:
    """Encode a reading: flat fields, `time`, `device_id`, and `data` as the device sent it."""
    body = {
        "time": iso(reading.at),
        "device_id": reading.device_id,
        **reading.values,
        "data": msgspec.Raw(reading.text),
    }
    return msgspec.json.encode(body)


def acknowledgement(reading: Reading) -> bytes:
    """Tell a device that numbers its readings which one the journal has; what came here is synced."""
    return msgspec.json.encode({"boot_id": reading.boot_id, "seq": reading.number})


def transition_message(change: Transition) -> bytes:
    """Encode a transition: its fields, and `time`."""
    return msgspec.json.encode({"time": iso(change.at), **msgspec.to_builtins(change)})


class LiveSink(FixedPartitionedSink[Piece, None]):
    """Publishes fresh readings and transitions."""

    def __init__(self, publisher: Publisher, meter: Meter) -> None:
        self._publisher, self._meter = publisher, meter

    def list_parts(self) -> list[str]:
        """There is one feed."""
        return ["live"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "LivePartition":
        """Start with nothing published."""
        return LivePartition(self._publisher, self._meter)


class Feed:
    """Readings on their way to one topic of each device: at most one a second, the newest of those that wait.

    What must wait for its second goes out with a later batch: there is one at least every second, the tick's.
    """

    def __init__(
        self,
        publisher: Publisher,
        name: str,
        message: Callable[[Reading], bytes],
        sent: Callable[[Reading], None] = lambda reading: None,
    ) -> None:
        self._publisher, self._name, self._message, self._sent = publisher, name, message, sent
        self.waiting: dict[str, Reading] = {}
        self._new: dict[str, None] = {}
        self._sent_at: dict[str, int] = {}
        self._looked_at = 0

    def offer(self, reading: Reading) -> None:
        """Let a reading take the place of the one that waits."""
        self.waiting[reading.device_id] = reading
        self._new[reading.device_id] = None

    def send(self, now: int) -> None:
        """Send what is due: of those just offered, and now and then of all that wait. now: [ms since 1970, UTC]"""
        look = list(self._new)
        if now - self._looked_at >= LOOK_MS:
            look, self._looked_at = list(self.waiting), now
        self._new.clear()
        for device_id in look:
            if now - self._sent_at.get(device_id, 0) < BETWEEN_MS:
                continue
            reading = self.waiting[device_id]
            if now - reading.arrived > FRESH_MS:
                del self.waiting[device_id]
            elif self._publisher.publish(f"heatpump-live/{device_id}/{self._name}", self._message(reading), 0):
                self._sent_at[device_id] = now
                del self.waiting[device_id]
                self._sent(reading)


class LivePartition(StatefulSinkPartition[Piece, None]):
    """Publishes as it gets: an edge of the system, so it may read the clock."""

    def __init__(self, publisher: Publisher, meter: Meter | None = None) -> None:
        self._publisher, self._meter = publisher, meter or Meter()
        self._readings = Feed(publisher, "reading", reading_message, self._sent)
        self._numbered = Feed(publisher, "ack", acknowledgement)

    def write_batch(self, values: list[Piece]) -> None:
        """Publish what is fresh."""
        now = now_ms()
        for piece in values:
            fresh = [item for item in piece.items if now - item.arrived <= FRESH_MS]
            for change in fresh:
                if type(change) is Transition:
                    topic = f"heatpump-live/{change.device_id}/alert"
                    self._publisher.publish(topic, transition_message(change), 1)
            self._offer([item for item in fresh if type(item) is Reading])
        self._readings.send(now)
        self._numbered.send(now)

    def _offer(self, readings: list[Reading]) -> None:
        """Let the newest of each device wait to be shown, and its last with a number to be acknowledged."""
        for numbered in _last_of_each([reading for reading in readings if reading.number is not None]):
            self._numbered.offer(numbered)
        dated = [reading for reading in readings if reading.at > 0]  # 0: sent before, not dated
        dated.sort(key=_at)
        for newest in _last_of_each(dated):
            if newest.at >= self._readings.waiting.get(newest.device_id, newest).at:
                self._readings.offer(newest)

    def _sent(self, reading: Reading) -> None:
        self._meter.live.done += 1
        if self._meter.taps.following:
            self._meter.taps.sent(reading)

    def snapshot(self) -> Any:
        """Nothing to recover: an edge."""
        return None


def _last_of_each(readings: list[Reading]) -> Iterable[Reading]:
    return {reading.device_id: reading for reading in readings}.values()
