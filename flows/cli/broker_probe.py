"""What a broker tells of itself over MQTT, and what it does with messages for a session that is away.

Only what is tried is known: how a broker is configured, no client can see.
"""

import secrets
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from flows.mqtt import Login, enter, leave

LIVE_TOPIC = "heatpump-live/heatpump-doctor/rights"
"""Of those who hear it, nobody takes it for anything."""
NOT_AUTHORIZED = 135
VERSION_TOPIC = "$SYS/broker/version"
TOPIC = "heatpump-doctor"
TRIED = 1_100
"""Messages sent to a session that is away: more than Mosquitto's default queue of 1 000."""
ANSWER_S = 4.0
SILENCE_S = 0.7
LOGIN_REFUSED = "refuses the login"


class Tried(NamedTuple):
    """What came of it.

    version : as the broker tells it, "" if it tells none.
    kept    : of TRIED messages, how many came after the session was away; None: this login may not try it.
    retains : whether a retained message was kept; None as above.
    """

    version: str
    kept: int | None = None
    retains: bool | None = None


def probe(login: Login) -> Tried:
    """Try it, on topics that nobody else hears, and leave nothing behind. Raises OSError."""
    name = f"heatpump-doctor-{secrets.token_hex(4)}"
    with _Session(login, f"{name}-a", clean=True) as sender:
        sender.subscribe(VERSION_TOPIC, 0)
        _until(lambda: sender.heard, SILENCE_S)
        version = sender.heard[0].decode(errors="replace") if sender.heard else ""
        try:
            kept = _keeps(login, f"{name}-b", sender, f"{TOPIC}/{name}/queue")
        finally:
            with _Session(login, f"{name}-b", clean=True):
                pass  # the broker forgets the session
        if kept is None:
            return Tried(version)
        return Tried(version, kept, _retains(sender, f"{TOPIC}/{name}/retained"))


def _keeps(login: Login, client_id: str, sender: "_Session", topic: str) -> int | None:
    """Count what a session gets that was away; None where even one that is there gets nothing, or all is slow."""
    with _Session(login, client_id, clean=False) as away:
        if not away.subscribe(topic, 1):
            return None
        sender.publish(topic, 1)
        if not _until(lambda: away.heard, ANSWER_S):
            return None
    if not sender.publish(topic, TRIED):
        return None
    with _Session(login, client_id, clean=False) as back:
        return min(_reached(lambda: len(back.heard), TRIED), TRIED)


def _retains(sender: "_Session", topic: str) -> bool:
    sender.heard.clear()
    try:
        sender.publish(topic, 1, retain=True)
        sender.subscribe(topic, 1)
        return _until(lambda: sender.heard, ANSWER_S)
    finally:
        sender.publish(topic, 1, retain=True, payload=b"")


def may_write(login: Login, topic: str) -> bool | None:
    """Tell whether the broker lets this login write a topic; None where it cannot be known, as without MQTT 5."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5, reconnect_on_failure=False)
    enter(client, login)
    client.connect_timeout = ANSWER_S
    reasons: list[int] = []
    client.on_publish = lambda _client, _data, _id, reason, _properties: reasons.append(reason.value)
    try:
        client.connect(login.host, login.port, keepalive=30)
        client.loop_start()
        if not _until(client.is_connected, ANSWER_S):
            return None
        client.publish(topic, b"", qos=1)
        return reasons[0] != NOT_AUTHORIZED if _until(lambda: reasons, ANSWER_S) else None
    except OSError:
        return None
    finally:
        leave(client)


class _Session:
    """One connection. heard: payloads in order."""

    def __init__(self, login: Login, client_id: str, clean: bool) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean)
        enter(self._client, login)
        self._client.connect_timeout = ANSWER_S
        self._client.max_inflight_messages_set(TRIED)
        self._client.on_connect, self._client.on_subscribe = self._on_connect, self._on_subscribe
        self._client.on_message, self._client.on_publish = self._on_message, self._on_publish
        self._login = login
        self._connected: bool | None = None
        self._granted: bool | None = None
        self._acknowledged = 0
        self.heard: list[bytes] = []

    def __enter__(self) -> "_Session":
        self._client.connect(self._login.host, self._login.port, keepalive=30)
        self._client.loop_start()
        if not _until(lambda: self._connected is not None, ANSWER_S) or not self._connected:
            self.__exit__()
            raise ConnectionRefusedError(LOGIN_REFUSED)
        return self

    def __exit__(self, *_: object) -> None:
        leave(self._client)

    def subscribe(self, topic: str, qos: int) -> bool:
        """Subscribe; tell whether the broker grants it."""
        self._granted = None
        self._client.subscribe(topic, qos)
        _until(lambda: self._granted is not None, ANSWER_S)
        return bool(self._granted)

    def publish(self, topic: str, count: int, retain: bool = False, payload: bytes = b"heatpump doctor") -> bool:
        """Publish so many messages and wait for the broker, while it goes on; tell whether it has them all."""
        wanted = self._acknowledged + count
        for _ in range(count):
            self._client.publish(topic, payload, qos=1, retain=retain)
        return _reached(lambda: self._acknowledged, wanted) >= wanted

    def _on_connect(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._connected = not reason.is_failure

    def _on_subscribe(self, client: Any, userdata: Any, mid: int, reasons: Any, properties: Any) -> None:
        self._granted = not any(reason.is_failure for reason in reasons)

    def _on_message(self, client: Any, userdata: Any, message: mqtt.MQTTMessage) -> None:
        if message.payload:
            self.heard.append(bytes(message.payload))

    def _on_publish(self, *_: Any) -> None:
        self._acknowledged += 1


def _reached(count: Callable[[], int], wanted: int) -> int:
    """Wait while a count grows, until it is what is wanted; tell what it came to."""
    while (now := count()) < wanted:
        if not _until(partial(_is_above, count, now), ANSWER_S):
            break
    return now


def _is_above(count: Callable[[], int], bound: int) -> bool:
    return count() > bound


def _until(holds: Callable[[], object], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
