"""Play what was recorded: messages over MQTT as devices sent them, frames at the pace at which they arrived."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple
from uuid import uuid4

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from flows.errors import ConfigError, HeatPumpError
from flows.model.frame import Frame
from flows.model.times import DAY_MS, now_ms
from flows.mqtt import enter, in_words, leave, login_of
from flows.settings import Settings

UNACKNOWLEDGED = 100
"""Most messages on the way to the broker at once."""

ACK_S = 30.0


class Message(NamedTuple):
    """A recorded message. at: when it arrived; only the time between two matters. [ms]"""

    at: int
    topic: str
    payload: bytes
    qos: int


def shift_to_now(last: int) -> int:
    """Whole days by which to move a recording so that its last reading is the newest possible past. [ms]

    last : its time. [ms since 1970, UTC]
    """
    return (now_ms() - last) // DAY_MS * DAY_MS


def send(
    messages: Iterable[Message],
    device_id: str,
    speed: float,
    settings: Settings,
    stop: threading.Event,
    sent: Callable[[], None],
) -> int:
    """Play messages over MQTT, `speed` times their pace, until the broker has acknowledged all; return how many.

    device_id : whose online and last will are kept up meanwhile; "": the messages have their own.
    stop      : ends it early; what is on its way is still acknowledged.
    sent      : called after each message.
    Raises ConfigError where the broker is away or refuses, HeatPumpError where it stops acknowledging.
    """
    broker = _Broker(settings, device_id)
    try:
        began, first, count = time.monotonic(), None, 0
        for message in messages:
            first = message.at if first is None else first
            due = began + (message.at - first) / 1000.0 / speed
            if stop.wait(max(0.0, due - time.monotonic())):
                break
            broker.publish(message.topic, message.payload, message.qos)
            sent()
            count += 1
        broker.wait_for_acknowledgements()
        return count
    finally:
        broker.close()


class Recorded:
    """Recorded frames as the pipeline reads a journal, as fast as it takes them."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames

    def read(self, max_frames: int) -> list[Frame]:
        """Read the next frames; none at the end."""
        return list(islice(self._frames, max_frames))

    def more(self) -> bool:
        """Tell whether frames may come after there were none."""
        return False

    def close(self) -> None:
        """There is nothing to release."""


class Paced(Recorded):
    """The same, `speed` times the pace at which they arrived. start: what arrived before it is due at once."""

    def __init__(self, frames: Iterator[Frame], start: int, speed: float) -> None:
        super().__init__(frames)
        self._start, self._speed = start, speed
        self._next = next(frames, None)
        self._began: tuple[float, int] | None = None

    def read(self, max_frames: int) -> list[Frame]:
        """Read the frames that are due."""
        frames: list[Frame] = []
        while self._next is not None and len(frames) < max_frames and self._is_due(self._next):
            frames.append(self._next)
            self._next = next(self._frames, None)
        return frames

    def more(self) -> bool:
        """Tell whether frames are still to become due."""
        return self._next is not None

    def _is_due(self, frame: Frame) -> bool:
        if frame.arrived < self._start:
            return True
        if self._began is None:
            self._began = time.monotonic(), frame.arrived
        began, first = self._began
        return (frame.arrived - first) / 1000.0 / self._speed <= time.monotonic() - began


class _Broker:
    """A connection to the broker, open. Raises ConfigError where the broker is away or refuses."""

    def __init__(self, settings: Settings, device_id: str) -> None:
        self._online = f"heatpump/{device_id}/status/online" if device_id else ""
        self._where = f"{settings.mqtt_host}:{settings.mqtt_port}"
        self._free = threading.Semaphore(UNACKNOWLEDGED)
        self._answered = threading.Event()
        self._refusal = "no answer as an MQTT broker gives it"
        client_id = f"replay-{device_id or uuid4().hex[:12]}"
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=client_id)
        self._login = login_of(settings)
        enter(self._client, self._login)
        if self._online:
            self._client.will_set(self._online, b"false", qos=1, retain=True)
        self._client.max_inflight_messages_set(UNACKNOWLEDGED)
        self._client.on_connect = self._connected
        self._client.on_publish = lambda *_: self._free.release()
        self._open(settings)
        if self._online:
            self.publish(self._online, b"true", retain=True)

    def _open(self, settings: Settings) -> None:
        try:
            self._client.connect(settings.mqtt_host, settings.mqtt_port, keepalive=30)
        except (OSError, ValueError) as error:
            why = in_words(error, self._login) if isinstance(error, OSError) else error
            raise ConfigError("broker", self._where, f"cannot be reached ({why}): is it running?") from None
        self._client.loop_start()
        self._answered.wait(ACK_S)
        if self._refusal:
            self._disconnect()
            raise ConfigError("broker", self._where, f"refuses: {self._refusal}; see --user and MQTT_PASSWORD")

    def _connected(self, _client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._refusal = str(reason) if reason.is_failure else ""
        self._answered.set()

    def publish(self, topic: str, payload: bytes, qos: int = 1, retain: bool = False) -> None:
        """Send; wait while too much is not acknowledged yet. Raises HeatPumpError."""
        self._acquire()
        self._client.publish(topic, payload, qos=qos, retain=retain)

    def wait_for_acknowledgements(self) -> None:
        """Wait until the broker has everything. Raises HeatPumpError."""
        for _ in range(UNACKNOWLEDGED):
            self._acquire()

    def close(self) -> None:
        """Go offline."""
        if self._online:
            self._client.publish(self._online, b"false", qos=1, retain=True)
        self._disconnect()

    def _disconnect(self) -> None:
        leave(self._client)

    def _acquire(self) -> None:
        if not self._free.acquire(timeout=ACK_S):
            raise HeatPumpError(
                f"the broker at {self._where} has acknowledged nothing for {ACK_S:.0f} s; replay again when it is "
                "back: what it has already changes nothing"
            )
