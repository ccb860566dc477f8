"""Pipeline: the node graph at work, where every reading went, and what a node makes of them."""

import asyncio
from collections.abc import Callable
from typing import Any

import panel as pn
from markupsafe import Markup

from flows.model.times import now_ms
from panel_app.api_client import LONG_PATIENCE_S, ApiProblem
from panel_app.components import states
from panel_app.components.pipeline.conservation import SPANS, Span
from panel_app.components.pipeline.graph import LETTERS
from panel_app.components.pipeline.letters import dead_letters, shown_letters
from panel_app.components.pipeline.page import pipeline_page
from panel_app.components.pipeline.selected import asking, selected_node
from panel_app.components.pipeline.trace import follow
from panel_app.components.render import render
from panel_app.environment import Environment
from panel_app.fragment import Fragment
from panel_app.pages import Page
from panel_app.pipeline_watch import NodeSeen, PipelineSeen
from panel_app.session import Session

MOST_TRACES = 10
DEVICES_EVERY_S = 30.0
_STYLE = ["/assets/pipeline.css"]


def pipeline(session: Session, environment: Environment) -> pn.viewable.Viewable:
    """Open the page; for an account that may not see all devices it says so instead."""
    if not session.site.account.has_all:
        return Fragment(states.all_devices_alone(session.site.account))
    page = PipelinePage(session, environment)
    return pn.Column(page.body, page.detail, page.trail, sizing_mode="stretch_width")


class PipelinePage:
    """What one reader sees: the shared picture, the node that was selected, the reading that is followed."""

    def __init__(self, session: Session, environment: Environment) -> None:
        self._session, self._environment = session, environment
        self._watch = session.site.pipeline
        self._seen, self._node = PipelineSeen(), NodeSeen()
        self._span: Span = "start"
        self._held: NodeSeen | None = None
        self._outcomes: dict[int, str] = {}
        self._look_away: Callable[[], None] = lambda: None
        self._followed = _Followed(session, self._draw_trail)
        on = {
            "select": self._select,
            "span": self._choose_span,
            "close": lambda _: self._select({"node": ""}),
            "hold": self._hold,
            "retry": self._retry,
            "retry-all": self._retry_all,
        }
        self.body = Fragment(on=on, stylesheets=_STYLE)
        self.detail = Fragment(on=on, stylesheets=_STYLE)
        self.trail = Fragment(on=self._followed.on, stylesheets=_STYLE)
        session.at_end(self._watch.follow(self._heard))
        session.at_end(lambda: self._look_away())
        session.selection.param.watch(lambda _: session.soon(self._look), "node")
        environment.param.watch(lambda _: session.soon(self._draw_all), "phone")
        self._look()
        self._draw_trail()
        session.begin(self._followed.keep_devices())

    # What is seen

    def _heard(self, seen: PipelineSeen) -> None:
        self._seen = seen
        self._session.soon(self._draw)

    def _looked(self, seen: NodeSeen) -> None:
        self._node = seen
        self._session.soon(self._draw_detail)

    def _look(self) -> None:
        """Look at the node that is selected, at nothing where none is."""
        self._look_away()
        self._node, self._held = NodeSeen(), None
        self._outcomes = {}
        selected = self._session.selection.node
        if selected:
            self._look_away = self._watch.look_at("" if selected == LETTERS else selected, self._looked)
        else:
            self._look_away = lambda: None
        self._draw_all()

    # What is drawn

    def _draw(self) -> None:
        phone, selected = self._environment.phone, self._session.selection.node
        if phone:
            self.body.html = _drawn(self._seen, selected, self._span, True, self._panel())
        else:
            self.body.html = self._watch.shared(
                self._seen,
                (selected, self._span),
                lambda seen: _drawn(seen, selected, self._span, False, ""),
            )

    def _draw_all(self) -> None:
        self._draw()
        self._draw_detail()

    def _draw_detail(self) -> None:
        if self._environment.phone:
            self.detail.html = ""
            self._draw()
        else:
            self.detail.html = self._panel()

    def _draw_trail(self) -> None:
        self.trail.html = self._followed.draw()

    def _panel(self) -> Markup | str:
        selected, node = self._session.selection.node, self._node
        if not selected:
            return ""
        # Anything else is wrong with the whole pipeline, and the banner says so.
        problem = node.problem.detail if node.problem and node.problem.status == 404 else ""
        title = "Dead letters" if selected == LETTERS else f"Dead letters of {selected}"
        may_retry = self._session.site.account.may_command
        most = shown_letters("" if selected == LETTERS else selected)
        letters = dead_letters(title, node.letters, node.bodies, self._outcomes, now_ms(), most, may_retry)
        if selected == LETTERS:
            return render("pipeline/all_letters", letters=letters, problem=problem)
        shown = self._held or node
        if shown.detail is None:
            return asking(selected, problem)
        return selected_node(shown.detail, self._counts(selected), letters, self._held is not None, problem)

    def _counts(self, step: str) -> dict[str, int]:
        nodes = (self._seen.answer or {}).get("nodes", ())
        return next((node["counts"] for node in nodes if node["step"] == step), {})

    # What the reader does

    def _select(self, given: dict[str, str]) -> None:
        chosen = given["node"]
        self._session.selection.node = "" if chosen == self._session.selection.node else chosen

    def _choose_span(self, given: dict[str, str]) -> None:
        self._span = next((span for span in SPANS if span == given["span"]), "start")
        self._draw()

    def _hold(self, _: dict[str, str]) -> None:
        self._held = None if self._held else self._node
        self._draw_detail()

    def _retry(self, given: dict[str, str]) -> None:
        self._session.begin(self._try_again([int(given["id"])]))

    def _retry_all(self, _: dict[str, str]) -> None:
        self._session.begin(self._try_again([letter["id"] for letter in self._node.letters or ()]))

    async def _try_again(self, letter_ids: list[int]) -> None:
        for letter_id in letter_ids:
            self._outcomes[letter_id] = "trying …"
            self._session.soon(self._draw_detail)
            try:
                answer = await self._session.site.api.post(
                    f"/api/dead-letters/{letter_id}/retry", {"by": "pipeline page"}
                )
                self._outcomes[letter_id] = _outcome(letter_id, answer)
            except ApiProblem as problem:
                self._outcomes[letter_id] = f"refused: {problem.detail}"
            self._watch.letters_changed()
        self._session.soon(self._draw_detail)


class _Followed:
    """The readings that this page has followed. Nothing is asked of the flow until somebody wants the next."""

    def __init__(self, session: Session, draw: Callable[[], None]) -> None:
        self._session, self._draw = session, draw
        self._devices: list[dict[str, Any]] = []
        self._chosen = session.selection.device
        self._traces: list[dict[str, Any]] = []
        self._shown = 0
        self._problem = ""
        self._waits: asyncio.Task[Any] | None = None
        self.on = {
            "follow": self._follow,
            "stop": self._stop,
            "older": lambda _: self._turn(-1),
            "newer": lambda _: self._turn(1),
            "follow-device": self._choose,
        }

    async def keep_devices(self) -> None:
        """Ask for the devices there are, again and again."""
        while True:
            try:
                self._devices, _ = await self._session.site.watch.fleet()
                self._chosen = self._chosen or next((device["device_id"] for device in self._devices), "")
                self._session.soon(self._draw)
            except ApiProblem:
                pass  # the banner says it
            await asyncio.sleep(DEVICES_EVERY_S if self._devices else 2.0)

    def draw(self) -> Markup:
        """Draw what is followed."""
        shown = self._traces[self._shown] if self._traces else None
        return follow(
            self._devices,
            self._chosen,
            shown,
            (self._shown, len(self._traces)),
            self._waits is not None,
            self._problem,
        )

    def _choose(self, given: dict[str, str]) -> None:
        self._stop({})
        self._chosen, self._traces, self._shown, self._problem = given["value"], [], 0, ""
        self._draw()

    def _turn(self, by: int) -> None:
        self._shown = min(max(self._shown + by, 0), max(len(self._traces) - 1, 0))
        self._draw()

    def _follow(self, _: dict[str, str]) -> None:
        if self._waits is None and self._chosen:
            self._problem = ""
            self._waits = self._session.begin(self._wait(self._chosen))
            self._draw()

    def _stop(self, _: dict[str, str]) -> None:
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None
            self._draw()

    async def _wait(self, device_id: str) -> None:
        try:
            trace = await self._session.site.api.get(
                f"/api/pipeline/trace/{device_id}", patience_s=LONG_PATIENCE_S, next=True
            )
            self._traces = [*self._traces, trace][-MOST_TRACES:]
            self._shown = len(self._traces) - 1
        except ApiProblem as problem:
            self._problem = problem.detail
        self._waits = None
        self._session.soon(self._draw)


def _drawn(seen: PipelineSeen, selected: str, span: Span, phone: bool, panel: Markup | str) -> Markup:
    return pipeline_page(
        seen.answer, seen.answered_at, seen.problem, seen.samples, now_ms(), selected, span, phone, panel
    )


def _outcome(letter_id: int, answer: dict[str, Any]) -> str:
    if answer.get("outcome") == "done":
        return f"{letter_id} done: {answer.get('detail') or 'stored'}"
    return f"{letter_id} {answer.get('outcome', 'asked')}: {answer.get('detail') or 'not decided yet'}"


PAGE = Page(
    "pipeline", "Pipeline", "workflow", 100, pipeline, section="System", needs_device=False, needs_all=True
)
