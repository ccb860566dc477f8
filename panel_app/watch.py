"""Watch: what the API says of a device, asked once for all who look at it."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

import msgspec

from panel_app.api_client import ApiClient, ApiProblem
from panel_app.feed import Feed

ASK_EVERY_S = 5.0
"""How often it is asked where nothing is heard; readings heard are asked for at once, alerts too. [s]"""

AT_MOST_EVERY_S = 0.5
BEHIND_S = 0.15
"""The store may be this far behind what is heard. [s]"""


class Seen(msgspec.Struct, frozen=True):
    """A device as last seen; None: not known yet.

    status, alerts, health, pipeline : as the API answers; alerts: the open ones of the device.
    problems : by part, why its newest answer is missing; the part then holds the one before.
    at       : when it was asked. [ms since 1970, UTC]
    """

    status: dict[str, Any] | None = None
    alerts: list[dict[str, Any]] | None = None
    health: dict[str, Any] | None = None
    pipeline: dict[str, Any] | None = None
    problems: dict[str, ApiProblem] = {}
    at: int = 0


Listener = Callable[[Seen], None]


class Watch:
    """Follows the devices that somebody looks at. For the event loop's thread only."""

    def __init__(self, api: ApiClient, feed: Feed) -> None:
        self._api, self._feed = api, feed
        self._followed: dict[str, _Followed] = {}
        feed.listen(self._heard)

    def follow(self, device_id: str, listener: Listener) -> Callable[[], None]:
        """Tell `listener` of a device whenever it is seen anew; the answer ends that."""
        followed = self._followed.get(device_id)
        if followed is None:
            followed = self._followed[device_id] = _Followed(device_id, self._api)
        followed.listeners.append(listener)
        if followed.seen.at:
            listener(followed.seen)

        def stop() -> None:
            with suppress(ValueError):
                followed.listeners.remove(listener)
            if not followed.listeners and self._followed.get(device_id) is followed:
                del self._followed[device_id]
                followed.task.cancel()

        return stop

    def refresh(self, device_id: str) -> None:
        """Ask at once: something was done."""
        if device_id in self._followed:
            self._followed[device_id].news.set()

    def _heard(self, message: dict[str, Any]) -> None:
        followed = self._followed.get(str(message.get("device_id")))
        if followed is not None:
            if message["type"] == "sensor_data":
                followed.heard = max(followed.heard, _ms(message["timestamp"]))
            followed.news.set()


class _Followed:
    """One device: asks, and tells."""

    def __init__(self, device_id: str, api: ApiClient) -> None:
        self.listeners: list[Listener] = []
        self.seen = Seen()
        self.heard = 0
        self.news = asyncio.Event()
        self._device_id, self._api = device_id, api
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        while True:
            began = time.monotonic()
            self.news.clear()
            await self._ask()
            if self._is_behind():
                await asyncio.sleep(BEHIND_S)
                await self._ask()
            for listener in list(self.listeners):
                listener(self.seen)
            await asyncio.sleep(max(0.0, AT_MOST_EVERY_S - (time.monotonic() - began)))
            with suppress(TimeoutError):
                await asyncio.wait_for(self.news.wait(), ASK_EVERY_S)

    def _is_behind(self) -> bool:
        """Tell whether a reading was heard that the store did not have yet."""
        newest = (self.seen.status or {}).get("last_seen")
        return bool(self.heard) and newest is not None and _ms(newest) < self.heard

    async def _ask(self) -> None:
        device = self._device_id
        parts = {
            "status": self._api.get(f"/api/devices/{device}/status"),
            "alerts": self._api.get("/api/alerts", device_id=device, open_only=True, hours=168, limit=100),
            "health": self._api.get("/api/health"),
            "pipeline": self._api.get("/api/pipeline"),
        }
        answers = dict(zip(parts, await asyncio.gather(*parts.values(), return_exceptions=True), strict=True))
        problems = {part: answer for part, answer in answers.items() if isinstance(answer, ApiProblem)}
        for answer in answers.values():
            if isinstance(answer, BaseException) and not isinstance(answer, ApiProblem):
                raise answer
        fresh = {part: answer for part, answer in answers.items() if part not in problems}
        self.seen = msgspec.structs.replace(self.seen, **fresh, problems=problems, at=time.time_ns() // 1_000_000)


def _ms(instant: str) -> int:
    return int(datetime.fromisoformat(instant).timestamp() * 1000)
