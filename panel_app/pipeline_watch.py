"""PipelineWatch: what the API says of the pipeline, asked once a second for all who look, else not at all."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from typing import Any, Generic, TypeVar

import msgspec

from flows.model.times import now_ms
from panel_app.api_client import ApiClient, ApiProblem
from panel_app.components.pipeline.letters import letters_of, shown_letters
from panel_app.components.pipeline.samples import MOST_SAMPLES, Sample, sample_of
from panel_app.components.pipeline.stall import is_old

log = logging.getLogger("heatpump.panel")

EVERY_S = 1.0
LETTERS_EVERY_S = 2.0
"""How often dead letters are asked for while somebody looks at them. [s]"""

NEWEST_LETTERS = 200


class PipelineSeen(msgspec.Struct, frozen=True):
    """The pipeline as last told.

    answer      : of GET /api/pipeline, the newest there was; None before the first.
    answered_at : when it came, 0 for never. [ms since 1970, UTC]
    problem     : why there is no newer one.
    samples     : counters of the last minute, oldest first; from one process of the flow.
    number      : another one for every change.
    """

    answer: dict[str, Any] | None = None
    answered_at: int = 0
    problem: ApiProblem | None = None
    samples: tuple[Sample, ...] = ()
    number: int = 0

    def is_late(self) -> bool:
        """Whether a newer one should be there by now."""
        return is_old(self.answered_at, now_ms())


class NodeSeen(msgspec.Struct, frozen=True):
    """A step, or the dead letters of all steps, as last told.

    detail  : of GET /api/pipeline/nodes/{step}.
    letters : the newest open dead letters of it, of GET /api/dead-letters; None before the first answer.
    bodies  : heads of the messages, by letter id, as far as they were asked for.
    """

    detail: dict[str, Any] | None = None
    letters: list[dict[str, Any]] | None = None
    bodies: dict[int, str] = {}
    problem: ApiProblem | None = None
    number: int = 0


T = TypeVar("T", bound=PipelineSeen | NodeSeen)


class PipelineWatch:
    """One for all pages of a visitor. For the event loop's thread only."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api
        self._pipeline: _Round[PipelineSeen] | None = None
        self._nodes: dict[str, _Round[NodeSeen]] = {}
        self._letters_asked: dict[str, float] = {}
        self._bodies: dict[int, str] = {}
        self._drawn: dict[Hashable, str] = {}
        self._drawn_of = (-1, -1)

    def shared(self, seen: PipelineSeen, key: Hashable, draw: Callable[[PipelineSeen], str]) -> str:
        """Give what was drawn of this second, drawn once for all who want it alike. key: what they want."""
        moment = (seen.number, 0 if seen.problem is None and not seen.is_late() else now_ms() // 1_000)
        if moment != self._drawn_of:
            self._drawn, self._drawn_of = {}, moment
        if key not in self._drawn:
            self._drawn[key] = draw(seen)
        return self._drawn[key]

    def follow(self, listener: Callable[[PipelineSeen], None]) -> Callable[[], None]:
        """Tell `listener` of the pipeline every second; the answer ends that."""
        if self._pipeline is None:
            self._pipeline = _Round(self._ask, PipelineSeen())
        asked = self._pipeline

        def stop() -> None:
            if asked.leave(listener) and self._pipeline is asked:
                self._pipeline = None

        asked.join(listener)
        return stop

    def look_at(self, step: str, listener: Callable[[NodeSeen], None]) -> Callable[[], None]:
        """Tell `listener` of a step every second, or of all dead letters where it is ""; the answer ends that."""
        asked = self._nodes.get(step)
        if asked is None:
            asked = self._nodes[step] = _Round(lambda seen: self._ask_node(step, seen), NodeSeen())

        def stop() -> None:
            if asked.leave(listener) and self._nodes.get(step) is asked:
                del self._nodes[step]
                self._letters_asked.pop(step, None)

        asked.join(listener)
        return stop

    def letters_changed(self) -> None:
        """Ask for dead letters anew at the next second: something was done."""
        self._letters_asked.clear()

    async def _ask(self, seen: PipelineSeen) -> PipelineSeen:
        try:
            answer = await self._api.get("/api/pipeline")
        except ApiProblem as problem:
            return _failed(seen, problem)
        sample = sample_of(answer)
        same_process = bool(seen.answer) and (seen.answer or {}).get("since") == answer.get("since")
        samples = seen.samples if same_process else ()
        if not samples or sample.at > samples[-1].at:
            samples = (*samples, sample)[-MOST_SAMPLES:]
        return PipelineSeen(answer, now_ms(), None, samples, seen.number + 1)

    async def _ask_node(self, step: str, seen: NodeSeen) -> NodeSeen:
        try:
            detail = await self._api.get(f"/api/pipeline/nodes/{step}") if step else None
            letters, bodies = seen.letters, seen.bodies
            if time.monotonic() - self._letters_asked.get(step, -LETTERS_EVERY_S) >= LETTERS_EVERY_S:
                self._letters_asked[step] = time.monotonic()
                newest = await self._api.get("/api/dead-letters", limit=NEWEST_LETTERS)
                letters = letters_of(newest, detail, self._pipeline.seen.answer if self._pipeline else None)
                bodies = await self._read([letter["id"] for letter in letters[: shown_letters(step)]])
        except ApiProblem as problem:
            return _failed(seen, problem)
        return NodeSeen(detail, letters, bodies, None, seen.number + 1)

    async def _read(self, letter_ids: list[int]) -> dict[int, str]:
        """Ask for what was sent, where it is not known yet; a letter that is gone is left out."""
        for letter_id in [unknown for unknown in letter_ids if unknown not in self._bodies]:
            with suppress(ApiProblem):
                self._bodies[letter_id] = (await self._api.get(f"/api/dead-letters/{letter_id}"))["payload"]
        bodies = {known: self._bodies[known] for known in letter_ids if known in self._bodies}
        if len(self._bodies) > NEWEST_LETTERS:
            self._bodies = dict(bodies)
        return bodies


def _failed(seen: T, problem: ApiProblem) -> T:
    """Give what was seen, and why there is nothing newer."""
    return msgspec.structs.replace(seen, problem=problem, number=seen.number + 1)


class _Round(Generic[T]):
    """Asks again and again, and tells; also that no answer came yet."""

    def __init__(self, ask: Callable[[T], Awaitable[T]], first: T) -> None:
        self._ask, self.seen = ask, first
        self._asked = False
        self._listeners: list[Callable[[T], None]] = []
        self._task = asyncio.get_running_loop().create_task(self._go())

    def join(self, listener: Callable[[T], None]) -> None:
        """Tell it too."""
        self._listeners.append(listener)
        if self._asked:
            listener(self.seen)

    def leave(self, listener: Callable[[T], None]) -> bool:
        """Tell it no more; True where nobody is left, and the asking has ended."""
        with suppress(ValueError):
            self._listeners.remove(listener)
        if not self._listeners:
            self._task.cancel()
        return not self._listeners

    async def _go(self) -> None:
        while True:
            began = time.monotonic()
            asking = asyncio.ensure_future(self._ask(self.seen))
            try:
                while not (await asyncio.wait({asking}, timeout=EVERY_S))[0]:
                    self._tell()
                self.seen = asking.result()
            except (
                Exception
            ) as error:  # by an answer nobody thought of; whoever looks is told, and it is asked again
                log.exception("the pipeline cannot be followed")
                problem = ApiProblem("/api/pipeline", 0, f"the answer was not understood ({error!r})")
                self.seen = msgspec.structs.replace(self.seen, problem=problem, number=self.seen.number + 1)
            finally:
                asking.cancel()
            self._asked = True
            self._tell()
            await asyncio.sleep(max(0.05, EVERY_S - (time.monotonic() - began)))

    def _tell(self) -> None:
        for listener in list(self._listeners):
            listener(self.seen)
