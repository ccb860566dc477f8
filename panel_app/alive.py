"""alive: that a page's server is still the one that made it, for the page itself (assets/attend.js)."""

from collections.abc import Collection

from panel_app.own_host import OwnHost

PATH = r"/alive"


class Alive(OwnHost):
    """GET /alive: a word that each process chooses anew; a page that was made with another one is dead."""

    def initialize(self, hosts: Collection[str], word: str) -> None:  # type: ignore[override]
        """Take our names, and the word."""
        super().initialize(hosts)
        self._word = word

    def get(self) -> None:
        """Answer."""
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(self._word)
