"""own_host: what is answered to this server's own names alone."""

from tornado.web import HTTPError, RequestHandler

from panel_app.gate import Gate


class OwnHost(RequestHandler):
    """Refuses with 421 what was asked of a foreign name: see gate.py."""

    def initialize(self, gate: Gate) -> None:
        """Take what knows our names."""
        self.gate = gate

    def prepare(self) -> None:
        """Look at the name before anything is done."""
        if not self.gate.is_ours(self.request):
            raise HTTPError(421, reason="Misdirected Request")
