"""own_host: what is answered to this server's own names alone."""

from collections.abc import Collection

from tornado.web import HTTPError, RequestHandler


class OwnHost(RequestHandler):
    """Refuses with 421 what was asked of a foreign name.

    A foreign name that resolves to loopback (DNS rebinding) would let any web page read the answers. The pages
    need no such care: what they show comes by their WebSocket, which checks where it is opened from.
    """

    hosts: Collection[str] = ()

    def initialize(self, hosts: Collection[str]) -> None:
        """Take the names that are ours."""
        self.hosts = hosts

    def prepare(self) -> None:
        """Look at the name before anything is done."""
        if self.request.host_name not in self.hosts:
            raise HTTPError(421, reason="Misdirected Request")
