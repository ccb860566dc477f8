"""What the Overview page knows of its device, asked when due."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import msgspec

from flows.model.quantities import FLAGS
from flows.model.times import DAY_MS, HOUR_MS, iso, now_ms
from panel_app.api_client import ApiClient, ApiProblem
from panel_app.charts import buckets
from panel_app.charts.frame import STEP_MS
from panel_app.components.device import is_recording, last_seen, open_alerts, site_zone
from panel_app.components.kpi_requests import (
    Comparison,
    Request,
    comparison,
    cop_request,
    cycles_request,
    kpi_requests,
    last_day,
)
from panel_app.components.kpi_sums import cop_of
from panel_app.components.page_state import NEWEST, Answers, Failure, Refused
from panel_app.components.sentence import Cop
from panel_app.session import Session
from panel_app.spans import Shown, began
from panel_app.watch import EVER, Seen
from panel_app.words import instant

log = logging.getLogger("heatpump.panel")

MOST_EPISODES = 1000
LONGEST_WITH_CYCLES_MS = 32 * DAY_MS
"""Beyond that single cycles cannot be seen, and there are too many of them. [ms]"""

FIGURES_EVERY_S = 60.0
CHARTS_EVERY_S = {"raw": 10.0, "1m": 20.0, "1h": 300.0, "1d": 1800.0}
"""By resolution, how often charts that end now are asked for again. [s]"""

UNKNOWN_AFTER_MS = 60_000
"""A status older than this, because the API does not answer, says nothing of now. [ms]"""

LOOK_EVERY_S = 2.0
"""How often a page without a device, or without an answer on it, looks again. [s]"""

NEW_MS = 60_000
"""That a device was silent since its page met it is no trouble for so long. [ms]"""

NOT_FOUND = 404
CHARTS, REFUSED = "Charts", "Refused messages"


class Charts(msgspec.Struct, frozen=True):
    """What is drawn of a span; as /series, /episodes and /alerts answer.

    first : when the device's first reading was, where that lies in the span. [ms since 1970, UTC]
    """

    span: Shown
    series: dict[str, Any]
    episodes: list[dict[str, Any]]
    alerts: list[dict[str, Any]]
    first: int | None = None


class OverviewData:
    """Asks for one session. For the event loop's thread only.

    span, fields : say what the charts show, and what to ask of /series for them.
    changed      : called when there is something new; charted: when the charts are.
    """

    def __init__(
        self,
        session: Session,
        span: Callable[[], Shown],
        fields: Callable[[], Sequence[str]],
        changed: Callable[[], None],
        charted: Callable[[], None],
    ) -> None:
        self._session, self._api = session, session.site.api
        self._span, self._fields, self._changed, self._charted = span, fields, changed, charted
        self._seen = Seen()
        self._behind: tuple[int | None, int | None] = (None, None)
        self._found = ""
        self._anew, self._first_seen = asyncio.Event(), asyncio.Event()
        self.backlog = 0
        self.devices: list[dict[str, Any]] | None = None
        self.walk: dict[str, Any] | None = None
        self.charts: Charts | None = None
        self.nearest: int | None = None
        self.hours: Comparison | None = None
        self.figures: dict[str, Any] | None = None
        self.flags: dict[str, Any] = {}
        self.cop: Cop | None = None
        self.cycles: list[dict[str, Any]] = []
        self.refused: Refused | None = None
        self.met_at = 0
        self.failures: dict[str, Failure] = {}

    @property
    def device(self) -> str:
        """Id of the device that is shown, "" while none is known."""
        return self._session.selection.device or self._found

    @property
    def seen(self) -> Seen:
        """The device as last seen; of one that cannot be asked any more nobody knows whether it still speaks."""
        status = self._seen.status
        if status is None or now_ms() - self._seen.known_at < UNKNOWN_AFTER_MS:
            return self._seen
        return msgspec.structs.replace(self._seen, status={**status, "is_online": False})

    def answers(self) -> Answers:
        """Give what decides the state of the page."""
        status = self.seen.status
        return Answers(
            now_ms(),
            health=self._seen.health,
            devices=self.devices,
            status=status,
            status_code=NOT_FOUND if self._is_unknown else 200 if status else 0,
            behind_ms=self._behind[1],
            behind_before_ms=self._behind[0],
            series=self.charts.series if self.charts else None,
            failures=list(self.failures.values()),
        )

    @property
    def behind_ms(self) -> int:
        """How old what the pipeline reads is. [ms]"""
        return self._behind[1] or 0

    @property
    def is_new(self) -> bool:
        """Tell whether the device was announced a moment ago, and has said nothing yet."""
        status = self._seen.status
        return status is not None and last_seen(status) is None and now_ms() - self.met_at < NEW_MS

    @property
    def is_live(self) -> bool:
        """Tell whether what is new would be heard."""
        return self._session.site.feed.connected and self._seen.fed

    @property
    def _is_unknown(self) -> bool:
        problem = self._seen.problems.get("status")
        return problem is not None and problem.status == NOT_FOUND

    def ask_anew(self) -> None:
        """Ask at once for what is shown: it was chosen anew, or failed."""
        self._anew.set()
        self._session.site.watch.refresh(self.device)

    def try_again(self) -> None:
        """Do again what failed: ask, and acknowledge."""
        for failure in self.failures.values():
            if failure.alert:
                self._session.begin(self.acknowledge(failure.alert))
        self.ask_anew()

    async def live(self) -> None:
        """Find the device, then follow it until the page is closed."""
        while not self.device and not await self._find_device():
            # Of the store a page learns with its device; where none can be found, here.
            self._seen = msgspec.structs.replace(self._seen, health=await self._session.site.watch.health())
            self._changed()
            await asyncio.sleep(LOOK_EVERY_S)
        self._session.at_end(self._session.site.watch.follow(self.device, self._saw))
        await asyncio.gather(self._keep_figures(), self._keep_charts())

    async def ask_walk(self) -> None:
        """Ask where the way of the device's readings is broken."""
        with self._told("The path"):
            self.walk = await self._api.get(f"/api/devices/{self.device}/walk")
        self._changed()

    async def acknowledge(self, alert_id: str) -> None:
        """Acknowledge an alert."""
        found = next((alert for alert in self._seen.alerts or () if alert["id"] == alert_id), None)
        if found is None:
            return
        with self._told(f"the acknowledgement of {found['alert_type']}", alert_id):
            await self._api.post(f"/api/alerts/{alert_id}/ack", {"by": "dashboard"})
        self.ask_anew()

    async def _find_device(self) -> bool:
        """Choose a device where none was chosen: the first that is online, else the first."""
        await self._ask_devices()
        if self.devices:
            found = next((each for each in self.devices if each["is_online"]), self.devices[0])
            self._found = str(found["device_id"])
            self._session.soon(self._remember_found)
        return bool(self._found)

    def _remember_found(self) -> None:
        self._session.selection.device = self._found

    def _saw(self, seen: Seen) -> None:
        if self._first_seen.is_set() and _standing(seen) != _standing(self._seen):
            self._anew.set()  # the charts show alerts, too
        self._seen = seen
        self._first_seen.set()
        if seen.pipeline is not None:
            behind = int(seen.pipeline.get("behind_ms") or 0)
            if behind != self._behind[1]:
                self._behind = (self._behind[1], behind)
            self.backlog = max(self.backlog if behind else 0, int(seen.pipeline.get("backlog") or 0))
        for part, name in (("status", NEWEST), ("alerts", "Alerts")):
            problem = seen.problems.get(part)
            if problem is not None and problem.status != NOT_FOUND:
                self._fail(name, problem)
            else:
                self.failures.pop(name, None)
        waiting = {alert["id"] for alert in open_alerts(seen.alerts or []) if not alert.get("acknowledged_by")}
        for failure in list(self.failures.values()):
            if failure.alert and failure.alert not in waiting:
                del self.failures[failure.part]  # it came through after all, or is over
        if self._is_unknown:
            self._session.begin(self._ask_devices())
            self._session.begin(self._ask_refused())
        elif seen.status is not None:
            self.devices = self.refused = None
            self.failures.pop(REFUSED, None)
            self.met_at = self.met_at or now_ms()
            if seen.status["is_online"]:
                self.walk = None  # where its way was broken it is no more
        self._changed()

    async def _ask_devices(self) -> None:
        """Ask which devices there are; where there is none, what one has to pass to be here."""
        with self._told("Devices"):
            self.devices = await self._api.get("/api/devices")
            if not self.devices and self._session.site.account.has_all:
                self.walk = await self._api.get("/api/walk")
        self._changed()

    async def _ask_refused(self) -> None:
        """Ask whether a device that is not known has sent what could not be read."""
        device = self.device
        with self._told(REFUSED):
            newest, counts = await asyncio.gather(
                self._api.get("/api/dead-letters", device_id=device, limit=1, state="all"),
                self._api.get("/api/dead-letters/counts", device_id=device, start=EVER),
            )
            refused = sum(each["count"] for each in counts)
            self.refused = Refused(refused, _why(newest[0])) if newest and refused else None
        self._changed()

    async def _keep_charts(self) -> None:
        await self._first_seen.wait()  # what is shown may depend on when it was heard last
        while True:
            self._anew.clear()
            span = self._span()
            wait_s: float | None = CHARTS_EVERY_S["raw"]
            if not self._is_unknown:
                with self._told(CHARTS):
                    charts = await ask_charts(self._api, self.device, span, self._fields())
                    found = (
                        None if charts.series["readings"] else await newest_hour(self._api, self.device, span.end)
                    )
                    self.nearest = found
                    self.charts = charts
                    wait_s = CHARTS_EVERY_S[charts.series["resolution"]] if span.live else None
                    self._charted()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._anew.wait(), wait_s)

    async def _keep_figures(self) -> None:
        await self._first_seen.wait()
        while True:
            status = self._seen.status
            if status is not None:
                with self._told("Figures of today"):
                    moment = now_ms()
                    last, lately_run = cop_request(moment), cycles_request(moment)
                    hours = compared_hours(status, moment)
                    self.figures, lately, self.flags = await asyncio.gather(
                        self._ask_all(kpi_requests(hours)),
                        self._ask_all([last, lately_run]),
                        self._api.get(f"/api/devices/{self.device}/series", fields=",".join(FLAGS)),
                    )
                    self.hours, self.cop = hours, cop_of(lately[last.key], moment)
                    self.cycles = lately[lately_run.key]
                self._changed()
            await asyncio.sleep(LOOK_EVERY_S if status is None else FIGURES_EVERY_S)

    async def _ask_all(self, requests: Sequence[Request]) -> dict[str, Any]:
        device = f"/api/devices/{self.device}"
        answers = await asyncio.gather(
            *(self._api.get(f"{device}/{each.route}", **each.params) for each in requests)
        )
        return {request.key: answer for request, answer in zip(requests, answers, strict=True)}

    @contextmanager
    def _told(self, part: str, alert: str = "") -> Iterator[None]:
        """Within it a question that is not answered is remembered as the failure of a part; success forgets it.

        alert : id of the one that is acknowledged, where nothing is asked.

        So is an answer that nobody thought of: the page says it, and asks again.
        """
        try:
            yield
        except ApiProblem as problem:
            self._fail(part, problem, alert)
        except Exception as error:
            log.exception("%s of %s: an answer was not understood", part, self.device)
            self._fail(part, ApiProblem(part, 0, f"the answer was not understood ({error!r})"), alert)
        else:
            self.failures.pop(part, None)

    def _fail(self, part: str, problem: ApiProblem, alert: str = "") -> None:
        self.failures[part] = Failure(part, problem.status, problem.detail, now_ms(), alert)
        self._changed()


def compared_hours(status: dict[str, Any], moment: int) -> Comparison:
    """Say of which hours the figures are: today, of a recording its last day. moment: [ms since 1970, UTC]."""
    newest, zone = last_seen(status) if is_recording(status) else None, site_zone(status)
    return comparison(moment, zone) if newest is None else last_day(newest, zone)


def _why(letter: dict[str, Any]) -> str:
    """Say why a message was refused, when it was tried last."""
    return str(letter["last_reason"] or letter["reason"])


def _standing(seen: Seen) -> dict[str, str]:
    """Tell how its alerts stand, by their ids."""
    return {alert["id"]: alert["state"] for alert in seen.alerts or []}


async def ask_charts(api: ApiClient, device_id: str, span: Shown, fields: Sequence[str]) -> Charts:
    """Ask for all that is drawn of a span. Raises ApiProblem."""
    ends: dict[str, Any] = {"start": iso(span.start), "end": iso(span.end)}
    device = f"/api/devices/{device_id}"
    kind = None if span.length <= LONGEST_WITH_CYCLES_MS else "change"
    series, episodes, changed, still_open = await asyncio.gather(
        api.get(f"{device}/series", fields=",".join(fields), **ends),
        api.get(f"{device}/episodes", kind=kind, limit=MOST_EPISODES, **ends),
        api.get("/api/alerts", device_id=device_id, start=ends["start"], limit=500),
        api.get("/api/alerts", device_id=device_id, start=EVER, open_only=True, limit=500),
    )
    if series["resolution"] != "raw":
        same = {name: series[name] for name in ("start", "end", "resolution")}
        besides = await api.get(f"{device}/series", fields=",".join(buckets.FIELDS), **same)
        series = buckets.joined(series, besides)
    alerts = {alert["id"]: alert for alert in (*still_open, *changed)}
    first = began(series)
    if first is not None:
        before = await newest_hour(api, device_id, instant(series["start"]))
        # The first reading's own hour may have begun before the span.
        first = first if before is None or before > first - HOUR_MS else None
    return Charts(span, series, episodes, list(alerts.values()), first)


def first_of(charts: Charts, known: int | None) -> int | None:
    """Say when the first reading was; of a bucket only its start is known, which may be less than known before."""
    first, step = charts.first, STEP_MS[charts.series["resolution"]]
    return known if first is None or (known is not None and first <= known < first + step) else first


async def newest_hour(api: ApiClient, device_id: str, end: int) -> int | None:
    """Find the newest hour with readings that begins before an instant: its start. [ms since 1970, UTC]"""
    route, until = f"/api/devices/{device_id}/readings", iso(end)
    found = await api.get(route, start=EVER, end=until, limit=1, resolution="1h")
    return instant(found[0]["time"]) if found else None
