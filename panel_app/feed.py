"""Feed: one WebSocket to the API for all pages of a visitor, fanned out to whoever listens."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidURI, WebSocketException

log = logging.getLogger("heatpump.panel.feed")

Listener = Callable[[dict[str, Any]], None]
LONGEST_WAIT_S = 10.0

PING_S, PONG_S = 3.0, 7.0
"""How often the API is asked whether it is there, and how long it may take to say so: one that hangs keeps its
connection open, and a page would go on calling itself live."""


class Feed:
    """What happens, as it happens. connected: whether it is heard at all; heard_at: when last. [s since 1970]"""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.replace("http", "ws", 1) + "/ws"
        self._protocols: Any = ["bearer", token] if token else None
        self._listeners: list[Listener] = []
        self.connected = False
        self.heard_at = 0.0

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every message; the answer ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def run(self) -> None:
        """Hear for ever; connect again after every loss, ever more slowly."""
        wait_s = 0.5
        while True:
            try:
                async with connect(
                    self._url,
                    subprotocols=self._protocols,
                    open_timeout=5,
                    ping_interval=PING_S,
                    ping_timeout=PONG_S,
                    proxy=None,
                ) as socket:
                    self.connected, wait_s = True, 0.5
                    async for text in socket:
                        self._tell(text)
            except (OSError, ConnectionClosed, WebSocketException, InvalidURI, TimeoutError) as error:
                log.info("not heard: %s", error)
            self.connected = False
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _tell(self, text: str | bytes) -> None:
        # Nothing that is said may end the hearing of what is said next.
        try:
            message = msgspec.json.decode(text)
            self.heard_at = time.time()
            for listener in list(self._listeners):
                listener(message)
        except Exception:
            log.exception("a message was not understood: %.200r", text)
