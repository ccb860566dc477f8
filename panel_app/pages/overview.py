"""Overview: is it well now, and lately; one device."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import panel as pn
from markupsafe import Markup

from flows.model.quantities import BY_NAME
from flows.model.times import now_ms
from panel_app.charts.stack import ChartStack
from panel_app.components import states
from panel_app.components.banner import banner
from panel_app.components.device import Answer, is_recording, last_seen, measured_ms, site_zone
from panel_app.components.flags import flags_since
from panel_app.components.header import header
from panel_app.components.kpi import kpi_cards
from panel_app.components.kpi_requests import MINUTE_MS
from panel_app.components.now import now
from panel_app.components.page_state import State, page_state
from panel_app.components.sentence import Facts, sentence
from panel_app.components.span_bar import span_bar
from panel_app.environment import Environment
from panel_app.fragment import Fragment
from panel_app.overview_data import CHARTS, OverviewData, compared_hours, first_of
from panel_app.pages import Page
from panel_app.session import Session
from panel_app.spans import LENGTHS, Shown, choose, moved, shown

T = TypeVar("T")

BONES_AFTER_MS = 150
"""Before that a page that loads shows nothing: most are there by then. [ms]"""

DEMO_WITHIN_MS = 180_000
"""If no device has come by then, the demo is offered again. [ms]"""

WHOLE_PAGE: tuple[State, ...] = ("loading", "first-run", "unknown-device")
"""States beside which there is nothing else to see."""

FADED, WHOLE = {"opacity": "0.4"}, {"opacity": "1"}
"""How charts look that are not of the chosen span, and others: the browser keeps a style that is only left out."""

CARD = ":host { background: var(--card); border: 1px solid var(--line); border-radius: 8px; }"


class Overview:
    """One session's page: draws what its data say, once a second and when something happens."""

    def __init__(self, session: Session, environment: Environment) -> None:
        self._session, self._environment, self._opened = session, environment, now_ms()
        self._demo_at = 0
        self._data = OverviewData(
            session,
            span=self._shown,
            fields=lambda: self._stack.fields,
            changed=lambda: session.soon(self._draw),
            charted=lambda: session.soon(self._draw_charts),
        )
        self._made: dict[str, tuple[Any, Any]] = {}
        acts = self._acts()
        self._state, self._head, self._now, self._kpi = (Fragment(on=acts) for _ in range(4))
        self._span_bar = Fragment(on=acts, stylesheets=["/assets/overview.css"])
        self._beside = Fragment(on=acts, margin=(4, 14))
        self._first_ms: int | None = None
        self._chosen_at: int | None = None
        self._stack = self._new_stack()
        self._stack_box = pn.Column(self._stack, margin=(0, 14), sizing_mode="stretch_width")
        self._card = pn.Column(
            self._span_bar, self._beside, self._stack_box, stylesheets=[CARD], sizing_mode="stretch_width"
        )
        self.view = pn.Column(
            self._head, self._state, self._now, self._kpi, self._card, sizing_mode="stretch_width"
        )
        for part in self.view:
            part.visible = False

        environment.param.watch(lambda *_: self._replace_stack(), ["theme", "phone"])
        session.selection.param.watch(lambda *_: self._chosen(), ["span", "start", "end"])
        session.selection.param.watch(lambda *_: self._stack.param.update(hidden=self._hidden()), "hide")
        session.soon(self._draw)
        session.every(1.0, self._draw)
        session.begin(self._data.live())

    def _acts(self) -> dict[str, Callable[[dict[str, str]], Any]]:
        """Say what the parts of the page ask for, by the names they give it."""
        session, data = self._session, self._data
        return {
            "ack": lambda given: session.begin(data.acknowledge(given["id"])),
            "walk": lambda _: session.begin(data.ask_walk()),
            "retry": lambda _: data.try_again(),
            "demo": lambda _: self._load_demo(),
            "device": lambda given: self._go("/", f"?device={given['id']}"),
            "pipeline": lambda _: self._go("/pipeline"),
            "go": lambda given: self._choose_around(int(given["at"])),
            "span": lambda given: self._choose_name(given["span"]),
            "move": lambda given: self._move(int(given["by"])),
            "custom": self._choose_ends,
            "cancel": lambda _: self._choose_name("6h"),
        }

    def _new_stack(self) -> ChartStack:
        environment, selection = self._environment, self._session.selection
        return ChartStack(
            environment.theme,
            phone=environment.phone,
            hidden=self._hidden(),
            on_span=lambda start, end: choose(selection, start, end),
            on_hidden=lambda names: selection.param.update(hide=",".join(names)),
        )

    def _hidden(self) -> list[str]:
        return [name for name in self._session.selection.hide.split(",") if name]

    def _replace_stack(self) -> None:
        """Draw for another theme or kind of screen.

        Repainted figures would keep specks of the old colours at their edges; a phone has other charts, and its
        usual span is shorter.
        """
        self._stack = self._new_stack()
        self._stack_box[:] = [self._stack]
        self._draw_charts()
        self._chosen()

    # Drawing.

    def _draw(self) -> None:
        moment, data, seen = now_ms(), self._data, self._data.seen
        status, alerts = seen.status, seen.alerts or []
        state = page_state(data.answers())
        whole = state in WHOLE_PAGE or status is None
        for part in (self._head, self._now, self._kpi, self._card):
            part.visible = not whole
        self._put(self._state, self._state_html(state, moment))
        if status is None or whole:
            return
        zone, second = site_zone(status), moment // 1000
        hours = data.hours or compared_hours(status, moment)
        since = self._kept("since", lambda: flags_since(status, data.flags), status, data.flags)
        may_ack = self._session.site.account.may_command
        facts = Facts(status, seen.alerts, moment, data.cop, since, data.cycles)
        self._head.html = self._kept(
            "head",
            lambda: header(status, moment) + sentence(facts) + banner(status, alerts, moment, may_ack),
            *(status, seen.alerts, data.cop, since, data.cycles, second),
        )
        self._now.html = self._kept(
            "now",
            lambda: now(status, alerts, moment, since, seen.untrusted),
            *(status, alerts, since, seen.untrusted, second),
        )
        self._kpi.html = self._kept(
            "kpi", lambda: kpi_cards(status, hours, data.figures), status, hours, data.figures
        )
        self._draw_span_bar(zone, moment)
        self._put(self._beside, self._instead_of_charts(state, moment))
        self._kept("newest", lambda: self._stack.say_newest(self._newest(status)), status, self._stack)

    def _draw_span_bar(self, zone: ZoneInfo, moment: int) -> None:
        """Name the span that is drawn; where another was chosen, fade it and say that that one is waited for."""
        chosen = drawn = self._shown()
        charts, csv, is_late = self._data.charts, self._csv(), False
        if self._chosen_at is not None and charts is not None:
            is_late = moment - self._chosen_at > BONES_AFTER_MS
            if tuple(round(at) for at in self._stack.span) != (chosen.start, chosen.end):
                drawn = charts.span  # else the reader moved the axis there, which it follows at once
        loads = is_late and CHARTS not in self._data.failures
        self._stack_box.styles = FADED if is_late else WHOLE
        minutes = (drawn.start // MINUTE_MS, drawn.end // MINUTE_MS)
        self._span_bar.html = self._kept(
            "span",
            lambda: span_bar(drawn, zone, csv, chosen, loads),
            *(drawn.name, minutes, chosen.name, chosen.start // MINUTE_MS, chosen.wrong, loads),
            *(moment // MINUTE_MS, zone, csv),
        )

    def _kept(self, part: str, make: Callable[[], T], *inputs: Any) -> T:
        """Make a part of what it is made of, or give it as it is while that is the same."""
        if part not in self._made or self._made[part][0] != inputs:
            self._made[part] = inputs, make()
        made: T = self._made[part][1]
        return made

    def _draw_charts(self) -> None:
        charts, asked = self._data.charts, self._stack.fields
        if charts is not None:
            is_chosen = charts.span.is_like(self._shown())
            if is_chosen:
                self._chosen_at = None
            known, self._first_ms = self._first_ms, first_of(charts, self._first_ms)
            self._stack.update(
                charts.series,
                charts.episodes,
                charts.alerts,
                # What comes late, as the reader chose on, takes nobody back.
                start=charts.span.start if is_chosen else None,
                end=charts.span.end if is_chosen else None,
                first=self._first_ms,
            )
            # The answer told that there is more to ask for, or that the usual span begins later.
            if self._stack.fields != asked or (known is None and self._first_ms is not None):
                self._data.ask_anew()
        self._draw()

    def _newest(self, status: Answer) -> dict[str, tuple[Any, float]]:
        """Give the newest value of what is drawn, and when it was measured; None of what was never sent."""
        drawn = (name for name in self._stack.fields if name in BY_NAME)
        return {name: (status.get(name), measured_ms(status, name) or 0) for name in drawn}

    @staticmethod
    def _put(part: Fragment, html: Markup) -> None:
        part.html = html
        part.visible = bool(html)

    def _state_html(self, state: State, moment: int) -> Markup:
        data, site, seen = self._data, self._session.site, self._data.seen
        status, pipeline = seen.status, seen.pipeline or {}
        zone = site_zone(status or {})
        last_ms = last_seen(status or {})
        match state:
            case "loading" if moment - self._opened > BONES_AFTER_MS:
                return states.loading(data.device)
            case "first-run" | "unknown-device" if data.refused is not None:
                return states.unknown_device(data.device, data.devices or [], data.refused, site.account)
            case "first-run" if not site.account.has_all:
                return states.nothing_yet(site.account)
            case "first-run":
                loads = moment - self._demo_at < DEMO_WITHIN_MS
                return states.first_run(site.simulator_line, data.walk, site.load_demo is not None, loads)
            case "unknown-device":
                return states.unknown_device(data.device, data.devices or [], account=site.account)
            case "stale" if status is not None and is_recording(status):
                return Markup("")  # the sentence says all there is to say
            case "stale" if data.is_new:
                return states.waiting(data.device)
            case "stale" if status is not None:
                return states.stale(status, moment, data.walk)
            case "store-down":
                told = (True, seen.health) if site.account.has_all else (False, None)
                return states.store_down(moment, last_ms, pipeline.get("backlog"), zone, *told)
            case "catching-up":
                left = int(pipeline.get("backlog") or 0)
                rate = float(next((node["rate"] for node in pipeline.get("nodes", [])), 0.0))
                return states.catching_up(moment, data.behind_ms, left, data.backlog, rate, last_ms, zone)
            case "part-failed":
                failures = list(data.failures.values())
                if status is not None and list(data.failures) == [CHARTS]:
                    return Markup("")  # told where they would be
                return states.parts_failed(failures, moment, None, zone, data.is_live)
            case _:
                return Markup("")

    def _instead_of_charts(self, state: State, moment: int) -> Markup:
        data, zone = self._data, site_zone(self._data.seen.status or {})
        if CHARTS in data.failures:
            # Where another card tells of it, or of what it comes from, one is enough.
            told = state == "store-down" or (state == "part-failed" and len(data.failures) > 1)
            failed = [data.failures[CHARTS]]
            return Markup("") if told else states.parts_failed(failed, moment, None, zone, data.is_live)
        charts = data.charts
        if state not in ("no-data", "stale") or data.is_new or charts is None or charts.series["readings"]:
            return Markup("")
        return states.no_data(data.device, charts.span.start, charts.span.end, data.nearest, zone)

    def _csv(self) -> str:
        """Say where the shown series can be had as a file."""
        charts = self._data.charts
        if charts is None:
            return ""
        shown_ends = {name: charts.series[name] for name in ("start", "end", "resolution")}
        return f"/csv/{self._data.device}?{urlencode({'fields': ','.join(self._stack.fields), **shown_ends})}"

    # What the reader does.

    def _shown(self) -> Shown:
        last = last_seen(self._data.seen.status or {})
        return shown(self._session.selection, now_ms(), self._environment.phone, last, self._first_ms)

    def _load_demo(self) -> None:
        if self._session.site.load_demo is not None:
            self._demo_at = now_ms()
            self._session.site.load_demo()
            self._session.soon(self._draw)

    def _chosen(self) -> None:
        self._chosen_at = now_ms()
        self._data.ask_anew()
        self._session.soon(self._draw)

    def _choose_name(self, name: str) -> None:
        if name in LENGTHS:
            self._session.selection.param.update(span=name, start="", end="")

    def _choose_around(self, there: int) -> None:
        half = self._shown().length // 2
        choose(self._session.selection, there - half, there + half)

    def _choose_ends(self, given: dict[str, str]) -> None:
        zone = site_zone(self._data.seen.status or {})
        try:
            start, end = (datetime.fromisoformat(given[name]).replace(tzinfo=zone) for name in ("start", "end"))
        except (KeyError, ValueError):
            return  # an empty field: nothing was chosen
        choose(self._session.selection, round(start.timestamp() * 1000), round(end.timestamp() * 1000))

    def _move(self, steps: int) -> None:
        span = self._shown()
        ends = moved(span, steps, now_ms())
        if ends is None:
            self._choose_name(min(LENGTHS, key=lambda name: abs(LENGTHS[name][2] - span.length)))
        else:
            choose(self._session.selection, *ends)

    @staticmethod
    def _go(path: str, search: str = "") -> None:
        if pn.state.location is not None:
            pn.state.location.param.update(pathname=path, search=search, reload=True)


def overview(session: Session, environment: Environment) -> pn.viewable.Viewable:
    """Open the page."""
    return Overview(session, environment).view


PAGE = Page("", "Overview", "layout-dashboard", 0, overview)
