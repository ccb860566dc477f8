"""Play a recording: over MQTT as its device would have sent it, or into a journal as if that had arrived."""

import hashlib
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from flows.errors import ConfigError, HeatPumpError
from flows.journal.segments import Header, path_of
from flows.journal.writer import Journal
from flows.model.frame import FrameKind, Start, start_payload, tick_payload
from flows.model.times import DAY_MS
from flows.settings import Settings
from flows.sources.recording import Sent, Survey, readings

UNACKNOWLEDGED = 100
"""Most messages on the way to the broker at once."""

ACK_S = 30.0
FOREVER_MS = 36_500 * DAY_MS


def shift_to_now(last: int) -> int:
    """Whole days by which to move a recording so that its last reading is the newest possible past. [ms]

    last : its event time. [ms since 1970, UTC]
    """
    return (round(time.time() * 1000) - last) // DAY_MS * DAY_MS


def send(
    file: Path,
    device_id: str,
    found: Survey,
    shift_ms: int,
    speed: float,
    settings: Settings,
    sent: Callable[[], None],
) -> None:
    """Play a recording over MQTT: QoS 1, `speed` times its pace, until the broker has acknowledged all.

    shift_ms : added to every time. [ms]
    sent     : called after each reading.
    Raises ConfigError where the broker is away or refuses, HeatPumpError where it stops acknowledging.
    """
    device = _Device(settings, device_id)
    try:
        device.publish("status/online", b"true", retain=True)
        began = time.monotonic()
        for reading in readings(file):
            due = began + (reading.at - found.first) / 1000.0 / speed
            time.sleep(max(0.0, due - time.monotonic()))
            device.publish("data", _payload(device_id, reading, shift_ms))
            sent()
        device.wait_for_acknowledgements()
    finally:
        device.close()


def write_journal(file: Path, device_id: str, folder: Path) -> None:
    """Write the journal that a flow would have had: every reading arrives at its event time, seconds tick between.

    The same recording, device and build give the same journal, its id included: what a store has of it already is
    recognised. Nothing in it is older than the retention it starts with.
    """
    start = Start(
        seq=0,
        arrived=0,
        version=version("heat-pump-monitor"),
        raw_retention_ms=FOREVER_MS,
        minute_retention_ms=FOREVER_MS,
        dead_letter_retention_ms=FOREVER_MS,
    )
    content = hashlib.sha256(start_payload(start) + device_id.encode() + file.read_bytes())
    folder.mkdir(parents=True)
    path_of(folder, 1).write_bytes(Header(content.digest()[:16], 1, 0).encode())
    journal = Journal.open(folder)
    try:
        topic, ticks, before = f"heatpump/{device_id}/data", 0, 0
        for reading in readings(file):
            if not before:
                journal.append(FrameKind.START, reading.at, payload=start_payload(start))
            elif reading.at - before >= 1000:
                ticks += (reading.at - before) // 1000
                journal.append(FrameKind.TICK, reading.at, payload=tick_payload(ticks))
            journal.append(FrameKind.MESSAGE, reading.at, topic, _payload(device_id, reading), qos=1)
            before = reading.at
        journal.append(FrameKind.TICK, before + 1000, payload=tick_payload(ticks + 1))
        journal.commit()
    finally:
        journal.close()


def _payload(device_id: str, reading: Sent, shift_ms: int = 0) -> bytes:
    return msgspec.json.encode({"device": device_id, "timestamp": reading.at + shift_ms, **reading.payload})


class _Device:
    """A device's connection to the broker, open. Raises ConfigError where the broker is away or refuses."""

    def __init__(self, settings: Settings, device_id: str) -> None:
        self._root = f"heatpump/{device_id}"
        self._where = f"{settings.mqtt_host}:{settings.mqtt_port}"
        self._free = threading.Semaphore(UNACKNOWLEDGED)
        self._answered = threading.Event()
        self._refusal = "no answer as an MQTT broker gives it"
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=f"replay-{device_id}")
        password = settings.mqtt_password.get_secret_value()
        if password:
            self._client.username_pw_set(settings.mqtt_user, password)
        self._client.will_set(f"{self._root}/status/online", b"false", qos=1, retain=True)
        self._client.max_inflight_messages_set(UNACKNOWLEDGED)
        self._client.on_connect = self._connected
        self._client.on_publish = lambda *_: self._free.release()
        self._open(settings)

    def _open(self, settings: Settings) -> None:
        try:
            self._client.connect(settings.mqtt_host, settings.mqtt_port, keepalive=30)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise ConfigError("broker", self._where, f"cannot be reached ({why}): is it running?") from None
        self._client.loop_start()
        self._answered.wait(ACK_S)
        if self._refusal:
            self._disconnect()
            raise ConfigError("broker", self._where, f"refuses: {self._refusal}; see --user and MQTT_PASSWORD")

    def _connected(self, _client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._refusal = str(reason) if reason.is_failure else ""
        self._answered.set()

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        """Send at QoS 1; wait while too much is not acknowledged yet. Raises HeatPumpError."""
        self._acquire()
        self._client.publish(f"{self._root}/{topic}", payload, qos=1, retain=retain)

    def wait_for_acknowledgements(self) -> None:
        """Wait until the broker has everything. Raises HeatPumpError."""
        for _ in range(UNACKNOWLEDGED):
            self._acquire()

    def close(self) -> None:
        """Go offline."""
        self._client.publish(f"{self._root}/status/online", b"false", qos=1, retain=True)
        self._disconnect()

    def _disconnect(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _acquire(self) -> None:
        if not self._free.acquire(timeout=ACK_S):
            raise HeatPumpError(
                f"the broker at {self._where} has acknowledged nothing for {ACK_S:.0f} s; replay again when it is "
                "back: what it has already changes nothing"
            )
