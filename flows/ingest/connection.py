"""The MQTT session of ingest: one subscription, acknowledged by hand, driven by whoever owns it.

MQTT 3.1.1 with a persistent session (clean_session false): measured on Mosquitto 2.0 and rumqttd 0.20 it does
all we need: queue while away, redelivery of what is unacknowledged, in order. MQTT 5 would need a listener of
its own on rumqttd, and its Receive Maximum is fixed at 100 there anyway. How many messages are under way
unacknowledged is the broker's setting: `max_inflight_messages` of Mosquitto (20), 100 in rumqttd.
"""

import logging
import select
import socket
import ssl
import time
from contextlib import suppress
from typing import Any, Protocol

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from flows.ingest.bulk import CHUNK, WRITTEN_FOR, BulkClient, is_fitting
from flows.model.dead_letter import KEPT_BYTES
from flows.model.message import Message
from flows.model.times import now_ms
from flows.mqtt import enter, in_words, login_of
from flows.settings import Settings

log = logging.getLogger("heatpump.ingest")

FILTER = "heatpump/#"
KEEPALIVE_S = 15
CONNECT_TIMEOUT_S = 2.0
BACKOFF_S = (0.1, 5.0)
STABLE_S = 10.0
LEAVE_S = 2.0
"""How long a broker may take to close what we have left. [s]"""

MOST_BYTES = CHUNK
"""A larger payload is cut to its head; it is longer than a chunk, so it comes by `_on_message`."""


class Owner(Protocol):
    """Who is told what happens, in order, while it calls the connection."""

    def on_connected(self, session_present: bool) -> None:
        """A connection began; the broker knows us from before or not."""

    def on_subscribed(self) -> None:
        """The subscription stands."""

    def on_lost(self) -> None:
        """The connection is gone; nothing of it can be acknowledged any more."""

    def on_messages(self, messages: list[Message]) -> None:
        """Messages came, in this order; those of QoS 1 are to be acknowledged."""


class Connection:
    """Connects, subscribes, reconnects; its owner calls `keep_up` often, and everything from one thread.

    subscribed_since : monotonic, None while it is not. [s]
    last_message     : when one last came, monotonic. [s]
    problem          : why there is no subscription, in words.
    """

    def __init__(self, settings: Settings, owner: Owner) -> None:
        self._owner = owner
        self._where = f"{settings.mqtt_host}:{settings.mqtt_port}"
        self._client = client = self._make_client(settings)
        self._login = login_of(settings)
        enter(client, self._login)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.connect_async(settings.mqtt_host, settings.mqtt_port, KEEPALIVE_S)
        client.on_connect, client.on_subscribe = self._on_connect, self._on_subscribe
        client.on_disconnect, client.on_message = self._on_disconnect, self._on_message
        self.subscribed_since: float | None = None
        self.last_message: float | None = None
        self.problem = "not connected yet"
        self._messages = self._bytes = 0
        self._refused, self._unwelcome = False, ""
        self._retry_at, self._backoff = 0.0, BACKOFF_S[0]

    def _make_client(self, settings: Settings) -> mqtt.Client:
        given: dict[str, Any] = {
            "callback_api_version": CallbackAPIVersion.VERSION2,
            "client_id": settings.mqtt_client_id,
            "clean_session": False,
            "protocol": mqtt.MQTTv311,
            "reconnect_on_failure": False,
            "manual_ack": True,
        }
        if settings.mqtt_reader == "stock":
            return mqtt.Client(**given)
        if not is_fitting():
            log.warning(
                "paho-mqtt is not %s, for which the bulk reader is written; reading with the stock one, at "
                "several times the CPU: install the pinned version, or set HEATPUMP_MQTT_READER=stock",
                WRITTEN_FOR,
            )
            return mqtt.Client(**given)
        return BulkClient(on_messages=self._on_messages, topic_text=topic_text, **given)

    def fileno(self) -> int | None:
        """The socket, None without one."""
        sock = self._client.socket()
        return sock.fileno() if sock else None

    @property
    def has_unread(self) -> bool:
        """Tell whether TLS holds what is decrypted already, of which the socket knows nothing."""
        sock = self._client.socket()
        return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0

    @property
    def wants_write(self) -> bool:
        """Tell whether something waits to be sent."""
        return self._client.want_write()

    def keep_up(self) -> None:
        """Connect when it is time to; notice a broker that no longer answers."""
        now = time.monotonic()
        if self._client.socket() is not None:
            # A busy broker answers pings late; left while it sends, it would have all that to send again.
            if self.last_message is None or now - self.last_message > KEEPALIVE_S:
                self._client.loop_misc()
            return
        if now < self._retry_at:
            return
        self._later(now)
        self._refused, self._unwelcome = False, ""
        try:
            self._client.reconnect()
        except OSError as error:
            self._explain(f"no connection to {self._where}: {in_words(error, self._login)}")

    def _later(self, now: float) -> None:
        self._retry_at = now + self._backoff
        self._backoff = min(2 * self._backoff, BACKOFF_S[1])

    def _explain(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("%s; trying again", problem)
        self.problem = problem

    def receive(self, most: int, most_bytes: int) -> None:
        """Give the owner what has arrived, until it is enough; the bulk reader's last chunk comes whole."""
        self._messages = self._bytes = 0
        while self._messages < most and self._bytes < most_bytes and self._readable():
            self._client.loop_read()
        if self._unwelcome:  # not within paho's callback, in which a disconnect waits for itself
            self.disconnect(self._unwelcome)

    def _readable(self) -> bool:
        number = self.fileno()
        return number is not None and (self.has_unread or bool(select.select([number], [], [], 0)[0]))

    def acknowledge(self, packet_ids: list[int]) -> None:
        """Tell the broker that messages of the current connection are safe."""
        if isinstance(self._client, BulkClient):
            self._client.acknowledge(packet_ids)
            return
        for packet_id in packet_ids:
            self._client.ack(packet_id, 1)

    def write(self) -> None:
        """Send what waits."""
        self._client.loop_write()

    def ping(self) -> None:
        """Ask the broker whether it is there; paho does so by itself only when nothing else was sent."""
        self._client._send_pingreq()

    @property
    def ping_answered(self) -> bool:
        """Tell whether no ping is open."""
        return self._client._ping_t == 0

    def disconnect(self, problem: str) -> None:
        """Leave, and say why; the broker keeps what comes. Connects again after the usual wait, if kept up."""
        sock = self._client.socket()
        if sock is not None:
            with socket.fromfd(sock.fileno(), socket.AF_INET, socket.SOCK_STREAM) as left:
                self._client.disconnect()
                self._client.loop_write()
                if self._client.socket() is None:
                    _hear_out(left)
            log.info("left %s: %s", self._where, problem)
        self.problem, self._unwelcome = problem, ""
        self._later(time.monotonic())

    def _on_connect(self, _client: Any, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        self._refused = reason.is_failure
        if self._refused:
            self._explain(f"{self._where} refuses {self._client.username or 'us'}: {reason}")
            return
        self._owner.on_connected(flags.session_present)
        self._client.subscribe(FILTER, qos=1)

    def _on_subscribe(self, _client: Any, _data: Any, _id: int, reasons: list[Any], _properties: Any) -> None:
        if not reasons or reasons[0].is_failure:
            self._unwelcome = f"{self._where} refuses the subscription to {FILTER}: {(reasons or ['unsaid'])[0]}"
            self._explain(self._unwelcome)
            return
        self.subscribed_since = time.monotonic()
        self.problem = ""
        self._owner.on_subscribed()
        log.info("subscribed to %s at %s", FILTER, self._where)

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        since, now = self.subscribed_since, time.monotonic()
        if since is not None and now - since > STABLE_S:
            self._backoff, self._retry_at = BACKOFF_S[0], now
        if reason.is_failure and since is not None:
            self._explain(f"the connection to {self._where} is lost: {reason}")
        elif reason.is_failure and not self._refused:
            self._explain(f"{self._where} ends the connection unasked; are MQTT_USER and MQTT_PASSWORD right?")
        self.subscribed_since = None
        self._owner.on_lost()

    def _on_message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        payload, size = bytes(message.payload), len(message.payload)
        cut = size > MOST_BYTES
        self._on_messages(
            [
                Message(
                    topic_text(message._topic),
                    payload[:KEPT_BYTES] if cut else payload,
                    message.qos,
                    message.retain,
                    message.dup,
                    message.mid,
                    now_ms(),
                    size if cut else 0,
                )
            ]
        )

    def _on_messages(self, messages: list[Message]) -> None:
        self.last_message = time.monotonic()
        self._messages += len(messages)
        self._bytes += sum([one.original_bytes or len(one.payload) for one in messages])
        self._owner.on_messages(messages)


def _hear_out(left: socket.socket) -> None:
    """Read on until the broker closes. Closed under what it sends, it would not read our last acknowledgements."""
    until = time.monotonic() + LEAVE_S
    with suppress(OSError):
        while (rest := until - time.monotonic()) > 0:
            left.settimeout(rest)
            if not left.recv(CHUNK):
                return


def topic_text(topic: bytes) -> str:
    """Decode a topic; where it is no UTF-8 each such byte becomes a ?, which no device id may have."""
    try:
        return topic.decode()
    except UnicodeDecodeError:
        return topic.decode("ascii", errors="replace").replace("\ufffd", "?")
