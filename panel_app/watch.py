"""Watch: what the API says of a device, asked once for all who look at it."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from flows.model.times import iso, now_ms
from panel_app.api_client import ApiClient, ApiProblem
from panel_app.components.device import REPORTED_FOR_MS
from panel_app.feed import Feed
from panel_app.words import instant

log = logging.getLogger("heatpump.panel")

ASK_EVERY_S = 5.0
"""How often it is asked where nothing is heard; after a reading or an alert it is asked at once. [s]"""

AT_MOST_EVERY_S = 0.5
BEHIND_S = (0.05, 0.1, 0.2, 0.4)
"""After what was heard the store may lack it still: then it is asked again after these pauses. [s]"""

EVER = iso(0)
MOST_ALERTS = 500


class Seen(msgspec.Struct, frozen=True):
    """A device as last seen; None: not known yet.

    status, health, pipeline : as the API answers.
    alerts   : its open ones, and those that changed within the last day.
    problems : by part, why its newest answer is missing; the part then holds the one before.
    untrusted : fields that its newest message calls not valid.
    fed      : whether anything new can come.
    known_at : when status was asked last with success; at: when it was asked last. [ms since 1970, UTC]
    """

    status: dict[str, Any] | None = None
    alerts: list[Mapping[str, Any]] | None = None
    health: dict[str, Any] | None = None
    pipeline: dict[str, Any] | None = None
    problems: dict[str, ApiProblem] = {}
    untrusted: frozenset[str] = frozenset()
    fed: bool = True
    known_at: int = 0
    at: int = 0


Listener = Callable[[Seen], None]


class Watch:
    """Follows the devices that a visitor looks at. For the event loop's thread only.

    has_all : tells whether the visitor may see all devices, and so the pipeline.
    """

    def __init__(self, api: ApiClient, feed: Feed, has_all: Callable[[], bool] = lambda: True) -> None:
        self._api, self._has_all = api, has_all
        self._followed: dict[str, _Followed] = {}
        self._plant = _Shared(
            lambda: [api.get("/api/health"), api.get("/api/pipeline") if has_all() else _nothing()]
        )
        self._fleet = _Shared(
            lambda: [
                api.get("/api/devices"),
                api.get("/api/alerts", open_only=True, start=EVER, limit=MOST_ALERTS),
            ]
        )
        feed.listen(self._heard)

    def follow(self, device_id: str, listener: Listener) -> Callable[[], None]:
        """Tell `listener` of a device whenever it is seen anew; the answer ends that."""
        followed = self._followed.get(device_id)
        if followed is None:
            followed = self._followed[device_id] = _Followed(device_id, self._api, self._plant, self._feeds)
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

    async def fleet(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Give all devices and all open alerts, at most some seconds old. Raises ApiProblem."""
        devices, alerts = await self._fleet.answers()
        for answer in (devices, alerts):
            if isinstance(answer, ApiProblem):
                raise answer
        return devices, alerts

    async def health(self) -> dict[str, Any] | None:
        """Say how the whole is, as /api/health says it; None where that is not answered."""
        health = _said((await self._plant.answers())[0])
        return None if isinstance(health, ApiProblem) else health

    async def is_fed(self) -> bool:
        """Tell whether anything new can come: the flow answers, as far as the API tells the visitor."""
        return self._feeds(*await self._plant.answers())

    def _feeds(self, health: Any, pipeline: Any) -> bool:
        if not self._has_all():
            return isinstance(health, dict) and bool(health.get("flow_running"))
        return not isinstance(pipeline, ApiProblem)

    def end(self) -> None:
        """Ask no more."""
        for followed in self._followed.values():
            followed.task.cancel()
        for shared in (self._plant, self._fleet):
            shared.end()

    @property
    def followed(self) -> int:
        """How many devices somebody looks at."""
        return len(self._followed)

    def refresh(self, device_id: str) -> None:
        """Ask at once: something was done."""
        if device_id in self._followed:
            self._followed[device_id].news.set()

    def _heard(self, message: dict[str, Any]) -> None:
        if message["type"] == "alert":
            self._fleet.forget()
        followed = self._followed.get(str(message.get("device_id")))
        if followed is not None:
            if message["type"] == "sensor_data":
                followed.heard = max(followed.heard, instant(message["timestamp"]))
                followed.heard_at = time.monotonic()
                followed.untrusted = _untrusted(message["data"])
            followed.news.set()


class _Shared:
    """Answers that are the same for all who look, so asked at most every few seconds. ask: gives the questions."""

    def __init__(self, ask: Callable[[], list[Any]]) -> None:
        self._ask = ask
        self._asked = -ASK_EVERY_S
        self._answers: asyncio.Future[list[Any]] | None = None

    async def answers(self) -> list[Any]:
        """Give the newest answers; in place of one there may be its ApiProblem."""
        if self._answers is None or time.monotonic() - self._asked >= ASK_EVERY_S:
            self._asked = time.monotonic()
            self._answers = asyncio.ensure_future(_asked(*self._ask()))
        return await asyncio.shield(self._answers)

    def forget(self) -> None:
        """Ask anew next time: something happened."""
        self._answers = None

    def end(self) -> None:
        """Break off what is asked."""
        if self._answers is not None:
            self._answers.cancel()


class _Followed:
    """One device: asks, and tells."""

    def __init__(self, device_id: str, api: ApiClient, plant: _Shared, feeds: Callable[[Any, Any], bool]) -> None:
        self.listeners: list[Listener] = []
        self.seen = Seen()
        self.heard, self.heard_at = 0, 0.0
        self.untrusted: frozenset[str] = frozenset()
        self.news = asyncio.Event()
        self._device_id, self._api, self._plant, self._feeds = device_id, api, plant, feeds
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        while True:
            began = time.monotonic()
            self.news.clear()
            try:
                await self._catch_up()
            except (
                Exception
            ) as error:  # by an answer nobody thought of; whoever looks is told, and it is asked again
                log.exception("%s cannot be followed", self._device_id)
                problem = ApiProblem("status", 0, f"the answer was not understood ({error!r})")
                self.seen = msgspec.structs.replace(self.seen, problems={"status": problem}, at=now_ms())
            for listener in list(self.listeners):
                listener(self.seen)
            await asyncio.sleep(max(0.0, AT_MOST_EVERY_S - (time.monotonic() - began)))
            with suppress(TimeoutError):
                await asyncio.wait_for(self.news.wait(), ASK_EVERY_S)

    async def _catch_up(self) -> None:
        await self._ask()
        for pause_s in BEHIND_S:
            if not self._is_behind():
                return
            await asyncio.sleep(pause_s)
            await self._ask()
        if self._is_behind() and time.monotonic() - self.heard_at < ASK_EVERY_S:
            self.news.set()

    def _is_behind(self) -> bool:
        """Tell whether a reading was heard that the store did not have yet."""
        measured = (self.seen.status or {}).get("measured_at", {}).values()
        return bool(self.heard) and max(map(instant, measured), default=0) < self.heard

    async def _ask(self) -> None:
        get, device, at = self._api.get, self._device_id, now_ms()
        status, still_open, changed = await _asked(
            get(f"/api/devices/{device}/status"),
            get("/api/alerts", device_id=device, open_only=True, start=EVER, limit=100),
            get("/api/alerts", device_id=device, start=iso(at - REPORTED_FOR_MS), limit=MOST_ALERTS),
        )
        health, pipeline = await self._plant.answers()
        answers = {
            "status": status,
            "alerts": _merged(still_open, changed),
            "health": _said(health),
            "pipeline": pipeline,
        }
        problems = {part: answer for part, answer in answers.items() if isinstance(answer, ApiProblem)}
        fresh = {part: answer for part, answer in answers.items() if part not in problems}
        known_at = self.seen.known_at if "status" in problems else at
        self.seen = msgspec.structs.replace(
            self.seen,
            **fresh,
            problems=problems,
            untrusted=self.untrusted,
            fed=self._feeds(health, pipeline),
            known_at=known_at,
            at=at,
        )


async def _nothing() -> None:
    """Stand for a question that is not asked."""


async def _asked(*questions: Any) -> list[Any]:
    """Ask side by side; in place of an answer there may be its ApiProblem."""
    answers = await asyncio.gather(*questions, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, ApiProblem):
            raise answer
    return list(answers)


def _said(health: Any) -> Any:
    """Take what /api/health says where it is unhealthy, too: that is said with 503."""
    told = health.body if isinstance(health, ApiProblem) else health
    return told if isinstance(told, dict) and "status" in told else health


def _untrusted(data: Any) -> frozenset[str]:
    valid = data.get("valid") if isinstance(data, dict) else None
    return (
        frozenset(name for name, good in valid.items() if good is False)
        if isinstance(valid, dict)
        else frozenset()
    )


def _merged(still_open: Any, changed: Any) -> Any:
    for answer in (still_open, changed):
        if isinstance(answer, ApiProblem):
            return answer
    return list({alert["id"]: alert for alert in (*still_open, *changed)}.values())
