"""The bar's living part: which device, whether the page is live, how many alerts are open."""

import time
from typing import Any

from panel_app.api_client import ApiProblem
from panel_app.components.bar import bar
from panel_app.fragment import Fragment
from panel_app.pages import Page
from panel_app.session import Session

ASK_EVERY_S = 10.0


class Bar(Fragment):
    """Asks for devices and open alerts now and then, and when an alert is heard."""

    def __init__(self, session: Session, pages: list[Page]) -> None:
        super().__init__(stylesheets=["/assets/bar.css"])
        self._session, self._pages = session, pages
        self._devices: list[dict[str, Any]] = []
        self._alerts = 0
        self._asked = 0.0
        self._draw()
        session.at_end(session.site.feed.listen(self._heard))
        session.every(1.0, self._tick)
        session.soon(self._tick)

    def _heard(self, message: dict[str, Any]) -> None:
        if message["type"] == "alert":
            self._asked = 0.0

    async def _tick(self) -> None:
        if time.monotonic() - self._asked >= ASK_EVERY_S or not self._asked:
            self._asked = time.monotonic()
            await self._ask()
        self._draw()

    async def _ask(self) -> None:
        api = self._session.site.api
        try:
            self._devices = await api.get("/api/devices")
            self._alerts = len(await api.get("/api/alerts", open_only=True, hours=168, limit=500))
        except ApiProblem:
            return  # the page says it

    def _draw(self) -> None:
        feed = self._session.site.feed
        self.html = bar(
            self._devices,
            self._session.selection.device,
            feed.connected,
            feed.heard_at,
            self._alerts,
            [(page.path, page.title) for page in self._pages],
        )
