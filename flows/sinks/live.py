"""live: what is fresh, to `heatpump-live/…` (docs/reference/mqtt.md). At least once, never from replay."""

import logging
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from flows.build import Piece
from flows.model.alert import Transition
from flows.model.reading import Reading
from flows.model.times import iso, now_ms

log = logging.getLogger("heatpump.live")

FRESH_MS = 10_000
BETWEEN_MS = 1_000


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
        "data": msgspec.Raw(reading.raw),
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

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def list_parts(self) -> list[str]:
        """There is one feed."""
        return ["live"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "LivePartition":
        """Start with nothing published."""
        return LivePartition(self._publisher)


class LivePartition(StatefulSinkPartition[Piece, None]):
    """Knows when it last published each device: an edge of the system, so it may read the clock.

    What must wait for its second is kept, the newest of each device, and goes out with a later batch: there is one
    at least every second, the tick's.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._readings: dict[str, Reading] = {}
        self._numbered: dict[str, Reading] = {}
        self._sent_at: dict[str, int] = {}

    def write_batch(self, values: list[Piece]) -> None:
        """Publish what is fresh."""
        now = now_ms()
        for item in (item for piece in values for item in piece.items):
            if now - item.arrived > FRESH_MS:
                continue
            if isinstance(item, Transition):
                self._publisher.publish(f"heatpump-live/{item.device_id}/alert", transition_message(item), 1)
                continue
            if item.number is not None:
                self._numbered[item.device_id] = item
            dated = item.at > 0  # a repeated one is not
            if dated and item.at >= self._readings.get(item.device_id, item).at:
                self._readings[item.device_id] = item
        self._send(self._readings, "reading", reading_message, now)
        self._send(self._numbered, "ack", acknowledgement, now)

    def _send(self, waiting: dict[str, Reading], name: str, message: Callable[[Reading], bytes], now: int) -> None:
        for device_id, reading in list(waiting.items()):
            topic = f"heatpump-live/{device_id}/{name}"
            if now - reading.arrived > FRESH_MS:
                del waiting[device_id]
            elif now - self._sent_at.get(topic, 0) >= BETWEEN_MS and self._publisher.publish(
                topic, message(reading), 0
            ):
                self._sent_at[topic] = now
                del waiting[device_id]

    def snapshot(self) -> Any:
        """Nothing to recover: an edge."""
        return None
