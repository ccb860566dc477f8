"""The bar's living part: which device, whether the page is live, how many alerts are open."""

from typing import Any

from panel_app.api_client import ApiProblem
from panel_app.components.bar import bar
from panel_app.fragment import Fragment
from panel_app.pages import Page
from panel_app.session import Session


class Bar(Fragment):
    """Draws itself once a second, from what all bars share."""

    def __init__(self, session: Session, pages: list[Page], page: Page) -> None:
        super().__init__(stylesheets=["/assets/bar.css"])
        self._session, self._pages, self._page = session, pages, page
        self._devices: list[dict[str, Any]] = []
        self._alerts = 0
        self._draw()
        session.every(1.0, self._tick)
        session.soon(self._tick)

    async def _tick(self) -> None:
        try:
            self._devices, alerts = await self._session.site.watch.fleet()
            self._alerts = len(alerts)
        except ApiProblem:
            pass  # the page says it
        self._draw()

    def _draw(self) -> None:
        feed = self._session.site.feed
        self.html = bar(
            self._devices,
            self._session.selection.device,
            feed.connected,
            feed.heard_at,
            self._alerts,
            [(page.path, page.title) for page in self._pages],
            "" if self._page.needs_device else self._page.title,
        )
