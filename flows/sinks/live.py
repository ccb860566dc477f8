"""live: what is fresh, to `heatpump-live/…` (contract §2). At least once, never from replay, never waited for."""

import logging
import time
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from flows.build import Piece
from flows.model.alert import Transition
from flows.model.reading import Reading

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


def transition_message(change: Transition) -> bytes:
    """Encode a transition: its fields, and `time`."""
    return msgspec.json.encode({"time": iso(change.at), **msgspec.to_builtins(change)})


def iso(ms: int) -> str:
    """Format an instant, ISO 8601 UTC with milliseconds."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
    """Knows when it last published each device: an edge of the system, so it may read the clock."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._last: dict[str, tuple[int, int]] = {}

    def write_batch(self, values: list[Piece]) -> None:
        """Publish what is fresh."""
        now = time.time_ns() // 1_000_000
        newest: dict[str, Reading] = {}
        for item in (item for piece in values for item in piece.items):
            if now - item.arrived > FRESH_MS:
                continue
            if isinstance(item, Reading):
                known = newest.get(item.device_id)
                if known is None or item.at >= known.at:
                    newest[item.device_id] = item
            else:
                self._publisher.publish(f"heatpump-live/{item.device_id}/alert", transition_message(item), 1)
        for device_id, reading in newest.items():
            self._reading(device_id, reading, now)

    def _reading(self, device_id: str, reading: Reading, now: int) -> None:
        published, at = self._last.get(device_id, (0, -1))
        if now - published < BETWEEN_MS or reading.at <= at:
            return
        if self._publisher.publish(f"heatpump-live/{device_id}/reading", reading_message(reading), 0):
            self._last[device_id] = (now, reading.at)

    def snapshot(self) -> Any:
        """Nothing to recover: an edge."""
        return None
