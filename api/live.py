"""Live messages: one MQTT subscriber for the process, fanned out to every WebSocket, bounded for each."""

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Collection
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from api.health import Counters, decode, problems
from api.messages import PIPELINE_TOPIC, device_of, translate
from flows.mqtt import enter, login_of
from flows.settings import Settings

log = logging.getLogger("heatpump.api.live")

MOST_MESSAGES = 1_000
MOST_BYTES = 4_000_000
TOPICS = "heatpump-live/#"
FLOW_SILENT_S = 5.0
CONNECT_S = 2.0
"""A connection under way cannot be broken off, and the process must end within 5 s. [s]"""


class Client:
    """What one WebSocket has not been sent yet. `overflowed` is set, for good, when it reads too slowly.

    own : the devices whose messages it may be sent, None for all.
    """

    def __init__(self, own: Collection[str] | None = None) -> None:
        self.own = own
        self._waiting: deque[str] = deque()
        self._bytes = 0
        self._some = asyncio.Event()
        self.overflowed = asyncio.Event()

    def put(self, text: str) -> int:
        """Queue a message; past the bound, drop the client and all it has not read. Returns how many."""
        if len(self._waiting) >= MOST_MESSAGES or self._bytes + len(text) > MOST_BYTES:
            dropped = len(self._waiting) + 1
            self._waiting.clear()
            self.overflowed.set()
            return dropped
        if self.overflowed.is_set():
            return 1
        self._waiting.append(text)
        self._bytes += len(text)
        self._some.set()
        return 0

    async def get(self) -> str:
        """Take the oldest message; wait for one."""
        while not self._waiting:
            self._some.clear()
            await self._some.wait()
        text = self._waiting.popleft()
        self._bytes -= len(text)
        return text


class Hub:
    """All WebSockets of this process. For the event loop's thread only. dropped: messages that were not sent."""

    def __init__(self) -> None:
        self.clients: set[Client] = set()
        self.dropped = 0

    def publish(self, device_id: str, text: str) -> None:
        """Queue a message about a device for everyone who may see it."""
        for client in self.clients:
            if client.own is None or device_id in client.own:
                self.dropped += client.put(text)


class LiveFeed:
    """The subscriber: a thread of paho's that hands what it hears to the event loop.

    subscriptions : how often the broker took ours.
    """

    def __init__(self, settings: Settings, hub: Hub) -> None:
        self._settings, self._hub = settings, hub
        self._loop: asyncio.AbstractEventLoop | None = None
        self._subscribed = False
        self.subscriptions = 0
        self._flow_heard = -FLOW_SILENT_S
        self._counters = Counters()
        # A name of its own for each process: two with the same one would throw each other out for ever.
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"heatpump-api-{secrets.token_hex(8)}")
        enter(self._client, login_of(settings))
        self._client.reconnect_delay_set(1, 10)
        self._client.connect_timeout = CONNECT_S
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message

    @property
    def connected(self) -> bool:
        """Whether the broker has us subscribed."""
        return self._subscribed

    @property
    def flow_running(self) -> bool:
        """Whether the flow published its counters within the last seconds."""
        return self._subscribed and time.monotonic() - self._flow_heard < FLOW_SILENT_S

    @property
    def problems(self) -> list[str]:
        """What is wrong with broker or flow, as far as it was heard."""
        if not self._subscribed:
            return ["the API is not subscribed at the broker; what the flow does is not known"]
        if not self.flow_running:
            return [f"the flow has not been heard for {FLOW_SILENT_S:.0f} s; see `heatpump status`"]
        return problems(self._counters)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Connect in the background, and again after every loss."""
        self._loop = loop
        self._client.connect_async(self._settings.mqtt_host, self._settings.mqtt_port, keepalive=20)
        self._client.loop_start()

    def stop(self) -> None:
        """Leave the broker; safe to call twice."""
        self._loop = None
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: mqtt.Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            log.warning("the broker refuses us: %s", reason)
        else:
            client.subscribe(TOPICS, qos=1)

    def _on_subscribe(self, client: mqtt.Client, userdata: Any, mid: int, reasons: Any, properties: Any) -> None:
        self._subscribed = not any(reason.is_failure for reason in reasons)
        self.subscriptions += self._subscribed

    def _on_disconnect(self, client: mqtt.Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._subscribed = False

    def _on_message(self, client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        """Pass it on. An error that left here would end paho's thread without a word."""
        try:
            if message.topic == PIPELINE_TOPIC:
                self._counters = decode(message.payload)
                self._flow_heard = time.monotonic()
                return
            loop = self._loop
            if loop is None or not self._hub.clients:
                return
            text = translate(message.topic, bytes(message.payload))
            if text is not None:
                loop.call_soon_threadsafe(self._hub.publish, device_of(message.topic), text)
        except Exception:
            log.exception("a live message on %.200s was passed over", message.topic)
