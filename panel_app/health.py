"""health: whether the pages are served, for supervisors and people."""

from collections.abc import Callable, Collection
from typing import Any

from panel_app.own_host import OwnHost

PATH = r"/health"


class Health(OwnHost):
    """GET /health: {"status": "running", "sessions", "devices", "tasks", "live"}.

    sessions, devices : pages that are open, and devices that somebody looks at.
    tasks             : what runs beside each other; without pages a handful.
    live              : whether the API's WebSocket is heard.
    """

    def initialize(self, hosts: Collection[str], report: Callable[[], dict[str, Any]]) -> None:  # type: ignore[override]
        """Take our names, and what tells."""
        super().initialize(hosts)
        self._report = report

    def get(self) -> None:
        """Answer."""
        self.finish({"status": "running", **self._report()})
