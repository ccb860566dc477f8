"""alive: that a page's server is still the one that made it, and its visitor the same, for assets/attend.js."""

from panel_app.own_host import OwnHost
from panel_app.visitors import Visitors

PATH = r"/alive"


class Alive(OwnHost):
    """GET /alive: a word that is another one for each process, session and set of rights; 401 without a session.

    A page that was made under another word is out of date. Asked every few seconds of each page, it asks nobody.
    """

    def initialize(self, visitors: Visitors) -> None:  # type: ignore[override]
        """Take who knows."""
        super().initialize(visitors.gate)
        self._visitors = visitors

    def get(self) -> None:
        """Answer."""
        word = self._visitors.word_of(self.request)
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        if word is None:
            self.set_status(401)
        self.finish(word or "log in at /login")
