"""health: whether the pages are served, for supervisors and people."""

from collections.abc import Callable
from typing import Any

from panel_app.gate import Gate
from panel_app.own_host import OwnHost

PATH = r"/health"


class Health(OwnHost):
    """GET /health: {"status": "running", "live"}; who is on this machine is told more.

    live              : whether the API's WebSocket is heard, for everybody who looks at a page.
    sessions, devices : pages that are open, and devices that somebody looks at.
    visitors          : who looks at them, each with a session of his own.
    tasks             : what runs beside each other; without pages a handful.
    """

    def initialize(self, gate: Gate, live: Callable[[], bool], report: Callable[[], dict[str, Any]]) -> None:  # type: ignore[override]
        """Take our names, and what tells."""
        super().initialize(gate)
        self._live, self._report = live, report

    def get(self) -> None:
        """Answer."""
        more = self._report() if self.gate.is_local(self.request) else {}
        self.set_header("Cache-Control", "no-store")
        self.finish({"status": "running", "live": self._live(), **more})
