"""health: whether the pages are served, for supervisors and people."""

from collections.abc import Callable
from typing import Any

from tornado.web import RequestHandler

PATH = r"/health"


class Health(RequestHandler):
    """GET /health: {"status": "running", "sessions", "devices", "tasks", "live"}.

    sessions, devices : pages that are open, and devices that somebody looks at.
    tasks             : what runs beside each other; without pages a handful.
    live              : whether the API's WebSocket is heard.
    """

    def initialize(self, report: Callable[[], dict[str, Any]]) -> None:
        """Take what tells."""
        self._report = report

    def get(self) -> None:
        """Answer."""
        self.finish({"status": "running", **self._report()})
