"""Overview: is it well now, and lately; one device."""

import asyncio
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import panel as pn
from markupsafe import Markup

from flows.model.times import now_ms
from panel_app.api_client import ApiProblem
from panel_app.charts.stack import ChartStack
from panel_app.components import states
from panel_app.components.banner import banner
from panel_app.components.device import site_zone
from panel_app.components.flags import flags_since
from panel_app.components.header import header
from panel_app.components.kpi import kpi_cards
from panel_app.components.kpi_requests import Comparison, comparison
from panel_app.components.kpi_sums import cop_of
from panel_app.components.now import now
from panel_app.components.page_state import Answers, Failure, State, page_state
from panel_app.components.sentence import Cop, Facts, sentence
from panel_app.components.span_bar import span_bar
from panel_app.environment import Environment
from panel_app.fragment import Fragment
from panel_app.overview_data import Charts, ask_charts, ask_figures, ask_lately, nearest_reading
from panel_app.pages import Page
from panel_app.session import Session
from panel_app.spans import LENGTHS, Shown, choose, moved, shown
from panel_app.watch import Seen
from panel_app.words import instant

BONES_AFTER_MS = 150
"""Before that a page that loads shows nothing: most are there by then. [ms]"""

FIGURES_EVERY_S = 60.0
CHARTS_EVERY_S = {"raw": 10.0, "1m": 20.0, "1h": 300.0, "1d": 1800.0}
"""By resolution, how often charts that end now are asked for again. [s]"""

LOOK_EVERY_S = 2.0
"""How often a page without devices looks for one. [s]"""

CARD = ":host { background: var(--card); border: 1px solid var(--line); border-radius: 8px; }"

WHOLE_PAGE: tuple[State, ...] = ("loading", "first-run", "unknown-device")


class Overview:
    """One session's page: asks, and draws what it was told once a second or when something happens."""

    def __init__(self, session: Session, environment: Environment) -> None:
        self._session, self._environment = session, environment
        self._opened = now_ms()
        self._devices: list[dict[str, Any]] | None = None
        self._seen = Seen()
        self._behind: list[int | None] = [None, None]
        self._backlog = 0
        self._walk: dict[str, Any] | None = None
        self._charts: Charts | None = None
        self._hours: Comparison | None = None
        self._figures: dict[str, Any] | None = None
        self._cop: Cop | None = None
        self._nearest: int | None = None
        self._failures: dict[str, Failure] = {}
        self._asked_anew = asyncio.Event()

        acts = {
            "ack": self._acknowledge,
            "demo": self._load_demo,
            "device": self._open_device,
            "retry": lambda _: self._ask_anew(),
            "walk": lambda _: session.begin(self._ask_walk()),
            "pipeline": lambda _: self._go("/pipeline"),
            "go": self._go_to_data,
            "span": lambda given: self._choose_name(given["span"]),
            "move": self._move,
            "custom": self._choose_ends,
            "cancel": lambda _: self._choose_name("6h"),
        }
        self._state = Fragment(on=acts)
        self._head = Fragment(on=acts)
        self._now = Fragment()
        self._kpi = Fragment()
        self._span_bar = Fragment(on=acts, stylesheets=["/assets/overview.css"])
        self._beside = Fragment(on=acts)
        self._stack = self._new_stack()
        self._stack_box = pn.Column(self._stack, margin=(0, 14), sizing_mode="stretch_width")
        self._card = pn.Column(self._span_bar, self._beside, self._stack_box, stylesheets=[CARD])
        self._body = pn.Column(self._head, self._state, self._now, self._kpi, self._card)
        for column in (self._card, self._body):
            column.sizing_mode = "stretch_width"
        for part in (self._state, self._head, self._now, self._kpi, self._card):
            part.visible = False
        self.view = self._body

        environment.param.watch(lambda event: self._stack.retheme(event.new), "theme")
        environment.param.watch(self._resized, "phone")
        session.selection.param.watch(lambda *_: self._ask_anew(), ["span", "start", "end"])
        session.soon(self._draw)
        session.every(1.0, self._draw)
        session.begin(self._live())

    def _new_stack(self) -> ChartStack:
        environment, selection = self._environment, self._session.selection
        return ChartStack(
            environment.theme,
            phone=environment.phone,
            hidden=[name for name in selection.hide.split(",") if name],
            on_span=self._zoomed,
            on_hidden=self._hid,
        )

    def _resized(self, _: Any) -> None:
        """Draw for the other kind of screen: a phone has other charts, and its usual span is shorter."""
        self._stack = self._new_stack()
        self._stack_box[:] = [self._stack]
        self._draw_charts()
        self._ask_anew()

    # Asking.

    async def _live(self) -> None:
        """Find the device, then follow it."""
        while not await self._find_device():
            await asyncio.sleep(LOOK_EVERY_S)
        self._session.at_end(self._session.site.watch.follow(self._device, self._saw))
        self._session.begin(self._keep_figures())
        await self._keep_charts()

    async def _find_device(self) -> bool:
        """Choose a device where none was chosen: the first that is online, else the first."""
        api = self._session.site.api
        if self._device:
            return True
        try:
            self._devices = await api.get("/api/devices")
            if not self._devices:
                self._walk = await api.get("/api/walk")
            self._failures.pop("Devices", None)
        except ApiProblem as problem:
            self._failed("Devices", problem)
            return False
        if self._devices:
            found = next((each for each in self._devices if each["is_online"]), self._devices[0])
            self._session.soon(lambda: self._session.selection.param.update(device=found["device_id"]))
            self._device_found = str(found["device_id"])
        self._session.soon(self._draw)
        return bool(self._devices)

    _device_found = ""

    @property
    def _device(self) -> str:
        return self._session.selection.device or self._device_found

    def _saw(self, seen: Seen) -> None:
        self._seen = seen
        if seen.pipeline is not None:
            behind = int(seen.pipeline.get("behind_ms") or 0)
            self._behind = [self._behind[1], behind] if behind != self._behind[1] else self._behind
            self._backlog = max(self._backlog if behind else 0, int(seen.pipeline.get("backlog") or 0))
        for part, shown_as in (("status", "Newest values"), ("alerts", "Alerts")):
            problem = seen.problems.get(part)
            if problem is not None and problem.status != 404:
                self._failed(shown_as, problem)
            else:
                self._failures.pop(shown_as, None)
        if self._unknown and self._devices is None:
            self._session.begin(self._ask_devices())
        self._session.soon(self._draw)

    async def _ask_devices(self) -> None:
        try:
            self._devices = await self._session.site.api.get("/api/devices")
        except ApiProblem:
            self._devices = []

    async def _keep_charts(self) -> None:
        api = self._session.site.api
        while True:
            self._asked_anew.clear()
            span = self._shown()
            wait_s: float | None = None
            if not self._unknown:
                try:
                    self._charts = await ask_charts(api, self._device, span, self._stack.fields)
                    self._nearest = await self._find_nearest(span)
                    self._failures.pop("Charts", None)
                    wait_s = CHARTS_EVERY_S[self._charts.series["resolution"]] if span.live else None
                    self._session.soon(self._draw_charts)
                except ApiProblem as problem:
                    self._failed("Charts", problem)
                    wait_s = CHARTS_EVERY_S["raw"]
            try:
                await asyncio.wait_for(self._asked_anew.wait(), wait_s)
            except TimeoutError:
                pass

    async def _find_nearest(self, span: Shown) -> int | None:
        """Where a span is empty, find when there was something before."""
        if self._charts is None or self._charts.series["readings"]:
            return None
        found = await nearest_reading(self._session.site.api, self._device, span.end)
        return None if found is None else instant(found)

    async def _keep_figures(self) -> None:
        api = self._session.site.api
        while True:
            if self._seen.status is not None:
                try:
                    moment = now_ms()
                    hours = comparison(moment, site_zone(self._seen.status))
                    figures, lately = await asyncio.gather(
                        ask_figures(api, self._device, hours), ask_lately(api, self._device, moment)
                    )
                    self._hours, self._figures, self._cop = hours, figures, cop_of(lately, moment)
                    self._failures.pop("Figures of today", None)
                except ApiProblem as problem:
                    self._failed("Figures of today", problem)
                self._session.soon(self._draw)
            await asyncio.sleep(FIGURES_EVERY_S if self._seen.status is not None else 0.1)

    async def _ask_walk(self) -> None:
        try:
            self._walk = await self._session.site.api.get(f"/api/devices/{self._device}/walk")
        except ApiProblem as problem:
            self._failed("The path", problem)
        self._session.soon(self._draw)

    def _failed(self, part: str, problem: ApiProblem) -> None:
        self._failures[part] = Failure(part, problem.status, problem.detail, now_ms())

    @property
    def _unknown(self) -> bool:
        problem = self._seen.problems.get("status")
        return problem is not None and problem.status == 404

    # Drawing.

    def _draw(self) -> None:
        moment, status = now_ms(), self._seen.status
        state = page_state(self._answers(moment))
        whole = state in WHOLE_PAGE or status is None
        for part in (self._head, self._now, self._kpi, self._card):
            part.visible = not whole
        self._state.html = self._state_html(state, moment)
        self._state.visible = bool(self._state.html)
        if status is None or whole:
            return
        alerts = self._seen.alerts or []
        since = flags_since(status, self._charts.series) if self._charts and self._charts.span.live else {}
        facts = Facts(status, self._seen.alerts, moment, self._cop, since)
        self._head.html = header(status, moment) + sentence(facts) + banner(status, alerts, moment)
        self._now.html = now(status, alerts, moment, since)
        self._kpi.html = kpi_cards(status, self._hours or comparison(moment, site_zone(status)), self._figures)
        span = self._shown()
        self._span_bar.html = span_bar(span, site_zone(status), self._csv(span))
        self._beside.html = self._instead_of_charts(state, moment)
        self._beside.visible = bool(self._beside.html)

    def _draw_charts(self) -> None:
        charts = self._charts
        if charts is not None:
            self._stack.update(
                charts.series, charts.episodes, charts.alerts, start=charts.span.start, end=charts.span.end
            )
        self._draw()

    def _answers(self, moment: int) -> Answers:
        return Answers(
            moment,
            health=self._seen.health,
            devices=self._devices,
            status=self._seen.status,
            status_code=404 if self._unknown else 200 if self._seen.status else 0,
            behind_ms=self._behind[1],
            behind_before_ms=self._behind[0],
            series=self._charts.series if self._charts else None,
            failures=list(self._failures.values()),
        )

    def _state_html(self, state: State, moment: int) -> Markup:
        status, seen = self._seen.status, self._seen
        zone = site_zone(status or {})
        if state == "loading":
            return states.loading(self._device) if moment - self._opened > BONES_AFTER_MS else Markup("")
        if state == "first-run":
            return states.first_run(self._session.site.simulator_line, self._walk)
        if state == "unknown-device":
            return states.unknown_device(self._device, self._devices or [])
        if state == "stale" and status is not None:
            return states.stale(status, moment, self._walk)
        if state == "store-down":
            waiting = (seen.pipeline or {}).get("backlog")
            return states.store_down(moment, self._last_seen(), waiting, zone)
        if state == "catching-up" and seen.pipeline is not None:
            return self._catching_up(moment)
        if state == "part-failed":
            others = (failure for part, failure in self._failures.items() if part != "Charts" or status is None)
            return Markup("").join(states.part_failed(failure, moment, None, zone) for failure in others)
        return Markup("").join(states.part_failed(each, moment, None, zone) for each in self._failures.values())
        return Markup("")

    def _catching_up(self, moment: int) -> Markup:
        pipeline = self._seen.pipeline or {}
        left = int(pipeline.get("backlog") or 0)
        rate = sum(node["rate"] for node in pipeline.get("nodes", [])[:1])
        behind, zone = self._behind[1] or 0, site_zone(self._seen.status or {})
        return states.catching_up(moment, behind, left, self._backlog, rate, self._last_seen(), zone)

    def _instead_of_charts(self, state: State, moment: int) -> Markup:
        charts, zone = self._charts, site_zone(self._seen.status or {})
        if "Charts" in self._failures:
            return states.part_failed(self._failures["Charts"], moment, None, zone)
        if state not in ("no-data", "stale") or charts is None or charts.series["readings"]:
            return Markup("")
        return states.no_data(self._device, charts.span.start, charts.span.end, self._nearest, zone)

    def _last_seen(self) -> int | None:
        seen = (self._seen.status or {}).get("last_seen")
        return instant(seen) if seen else None

    def _csv(self, span: Shown) -> str:
        if self._charts is None:
            return ""
        series = self._charts.series
        query = {
            "fields": ",".join(self._stack.fields),
            "start": series["start"],
            "end": series["end"],
            "resolution": series["resolution"],
        }
        return f"/csv/{self._device}?{urlencode(query)}"

    # What the reader does.

    def _shown(self) -> Shown:
        return shown(self._session.selection, now_ms(), self._environment.phone)

    def _ask_anew(self) -> None:
        self._asked_anew.set()
        self._session.site.watch.refresh(self._device)
        self._draw()

    def _choose_name(self, name: str) -> None:
        if name in LENGTHS:
            self._session.selection.param.update(span=name, start="", end="")

    def _choose_ends(self, given: dict[str, str]) -> None:
        zone = site_zone(self._seen.status or {})
        try:
            start, end = (datetime.fromisoformat(given[name]).replace(tzinfo=zone) for name in ("start", "end"))
        except (KeyError, ValueError):
            return  # the browser says what is missing
        choose(self._session.selection, round(start.timestamp() * 1000), round(end.timestamp() * 1000))

    def _zoomed(self, start: int, end: int) -> None:
        choose(self._session.selection, start, end)

    def _move(self, given: dict[str, str]) -> None:
        span = self._shown()
        ends = moved(span, int(given["by"]), now_ms())
        if ends is None:
            nearest_name = min(LENGTHS, key=lambda name: abs(LENGTHS[name][2] - span.length))
            self._choose_name(nearest_name)
        else:
            choose(self._session.selection, *ends)

    def _hid(self, names: list[str]) -> None:
        self._session.selection.hide = ",".join(names)

    def _go_to_data(self, given: dict[str, str]) -> None:
        there, length = int(given["at"]), self._shown().length
        choose(self._session.selection, there - length // 2, there + length // 2)

    def _acknowledge(self, given: dict[str, str]) -> None:
        self._session.begin(self._send_acknowledgement(given["id"]))

    async def _send_acknowledgement(self, alert_id: str) -> None:
        try:
            await self._session.site.api.post(f"/api/alerts/{alert_id}/ack", {"by": "dashboard"})
            self._failures.pop("The acknowledgement", None)
        except ApiProblem as problem:
            self._failed("The acknowledgement", problem)
        self._session.site.watch.refresh(self._device)

    def _load_demo(self, _: dict[str, str]) -> None:
        if self._session.site.load_demo is not None:
            self._session.site.load_demo()

    def _open_device(self, given: dict[str, str]) -> None:
        self._go(f"/?device={given['id']}")

    def _go(self, url: str) -> None:
        if pn.state.location is not None:
            pn.state.location.param.update(
                pathname=url.partition("?")[0], search=url[url.find("?") :] if "?" in url else "", reload=True
            )


def overview(session: Session, environment: Environment) -> pn.viewable.Viewable:
    """Open the page."""
    return Overview(session, environment).view


PAGE = Page("", "Overview", "layout-dashboard", 0, overview)
