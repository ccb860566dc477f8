"""gate: by which names and from where the pages may be asked, and what a request shows of who asks.

A page of another site could resolve its own name to this machine (DNS rebinding) and would then be of our origin.
Where the pages listen on loopback alone, and so ask nobody who he is, they are answered only under this machine's
names and those of HEATPUMP_PANEL_ORIGINS. Beyond loopback any name is right, as nobody is shown anything without a
session, and browsers send its cookie to the name it was given under.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

from tornado.httputil import HTTPServerRequest

from flows.loopback import is_loopback

COOKIE, PREFIX = "heatpump_session", "hps_"
"""The session's cookie, and how its value begins; see docs/reference/access.md."""

FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via")
"""What proxies add. Nothing is believed of it but that there was one: its clients are not on this machine."""


class Gate:
    """Decides by what it was given at the start. host: what the pages listen on."""

    def __init__(self, host: str, origins: Iterable[str] = ()) -> None:
        self._origins = frozenset(origin.lower() for origin in origins)
        self.is_closed = is_loopback(host)
        self._names = frozenset({host, *(urlsplit(origin).hostname or "" for origin in self._origins)})

    def is_ours(self, request: HTTPServerRequest) -> bool:
        """Tell whether the name that was asked is one of ours."""
        name = _name(request)
        return not self.is_closed or is_loopback(name) or name in self._names

    def is_local(self, request: HTTPServerRequest) -> bool:
        """Tell whether it comes straight from this machine."""
        passed_on = any(header in request.headers for header in FORWARDED)
        return not passed_on and is_loopback(request.remote_ip or "") and is_loopback(_name(request))

    def may_come_from(self, origin: str, request: HTTPServerRequest) -> bool:
        """Tell whether a page of that origin may open a WebSocket or post a form: one of ours alone."""
        origin = origin.lower()
        return origin in self._origins or origin.partition("://")[2] == request.host.lower()


def session_of(request: HTTPServerRequest) -> str:
    """Give the session that a request shows, "" for none. What is no session is never passed on as a token."""
    cookie = request.cookies.get(COOKIE)
    value = cookie.value if cookie is not None else ""
    return value if value.startswith(PREFIX) and value.isascii() and value.isprintable() else ""


def _name(request: HTTPServerRequest) -> str:
    return request.host_name.strip("[]").lower()
