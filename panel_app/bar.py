"""The bar's living parts: which device, find; whether the page is live, which alerts are open."""

import asyncio

from flows.model.times import now_ms
from panel_app.api_client import ApiProblem
from panel_app.components.bar import bar, pulse
from panel_app.components.bell import bell
from panel_app.components.device import Answer
from panel_app.fragment import Fragment
from panel_app.pages import Page
from panel_app.session import Session
from panel_app.watch import MOST_ALERTS

LOOK_EVERY_S = 1.0


class Bar:
    """Looks once a second at what all bars share; the long lists are drawn when they change."""

    def __init__(self, session: Session, pages: list[Page], page: Page) -> None:
        self.choice, self.pulse, self.bell = (Fragment(stylesheets=["/assets/bar.css"]) for _ in range(3))
        self._session, self._page = session, page
        self._pages = [(each.path, each.title) for each in pages]
        self._devices: list[tuple[str, str]] = []
        self._drawn: object = None
        self._alerts: list[Answer] | None = None
        self._is_fed = True
        self._draw()
        session.every(LOOK_EVERY_S, self._draw)
        session.begin(self._look())

    async def _look(self) -> None:
        while True:
            try:
                devices, alerts = await self._session.site.watch.fleet()
                self._devices = [(each["device_id"], each.get("name") or "") for each in devices]
                self._alerts = list(alerts)
                self._session.soon(self._draw)
            except ApiProblem:
                pass  # the page says it
            self._is_fed = await self._session.site.watch.is_fed()
            await asyncio.sleep(LOOK_EVERY_S)

    def _draw(self) -> None:
        site, chosen = self._session.site, self._session.selection.device
        if self._drawn != (self._devices, chosen):
            self.choice.html = bar(self._devices, chosen, self._pages, self._page.needs_device)
            self._drawn = (self._devices, chosen)
        live = site.feed.connected and self._is_fed
        self.pulse.html = pulse(live, site.feed.heard_at, failing=bool(self._session.failing))
        self.bell.html = bell(self._alerts, dict(self._devices), now_ms(), MOST_ALERTS)
