"""entrance: what Bokeh's server asks before it begins a session or opens its WebSocket."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from bokeh.protocol.exceptions import ProtocolError
from bokeh.server.auth_provider import AuthProvider
from bokeh.server.session import ServerSession
from bokeh.server.urls import per_app_patterns
from bokeh.util.token import get_session_id
from panel.io.server import DocHandler, WSHandler
from tornado.web import HTTPError, RequestHandler

from panel_app.gate import Gate
from panel_app.visitors import Admitted, Visitors

LOADED_WITHIN_S = 120.0
"""So long a page may take from its first byte to its WebSocket, over a slow line. [s]"""

GONE = 4410

CHOSEN, CHOSEN_BY_HEADER = ("bokeh-session-id", "bokeh-token"), "Bokeh-Session-Id"
"""By which Bokeh lets a request choose the session that it joins."""


class Entrance(AuthProvider):
    """Lets in whom `visitors` admits; others are sent to the log-in form, their WebSockets refused with 403."""

    def __init__(self, visitors: Visitors) -> None:
        """Take who knows whom to let in."""
        self._visitors = visitors
        super().__init__()

    @property
    def get_user_async(self) -> Callable[[Any], Awaitable[Any]]:
        """Give what is asked for each request of a page."""
        return self._admit

    async def _admit(self, handler: RequestHandler) -> Admitted | None:
        request = handler.request
        if not self._visitors.gate.is_ours(request):
            raise HTTPError(421, reason="Misdirected Request")
        admitted = await self._visitors.admit(request)
        # Kept with the request: the page's session finds it there (`admitted_of`), and never in what Bokeh puts
        # into the page of cookies and headers.
        request.admitted = admitted  # type: ignore[attr-defined]
        return admitted

    @property
    def login_url(self) -> str:
        """Say where one logs in: the API does that, behind the same origin."""
        return "/login"

    get_user = get_login_url = login_handler = logout_url = logout_handler = None


def admitted_of(request: Any) -> Admitted:
    """Give who was let in by the request that began a session."""
    admitted: Admitted = request.admitted
    return admitted


def use_own_handlers(gate: Gate) -> None:
    """Have Bokeh serve each page by these two, and nothing else of it: no script that other sites embed.

    Its WebSocket takes its own origin, whatever that is called, and those of the settings: Bokeh knows fixed names
    alone, and behind a proxy the public one is not known before somebody asks.

    A page that loads slowly is waited for. Bokeh would forget it like one that was closed, and begin another one,
    drawn for nobody's eyes, when the WebSocket is opened at last; or for who makes up a page's token.

    A page's session is its visitor's: nobody chooses its id, by a link that another follows, nor joins another's.
    """
    waited_for: dict[str, Callable[[], None]] = {}

    class PageHandler(DocHandler):
        async def prepare(self) -> None:
            await super().prepare()
            # Bokeh takes a page's path with a slash behind it, too; what the page then asks for is not there.
            path, _, query = (self.request.uri or "").partition("?")
            if path != "/" and path.endswith("/"):
                self.redirect("/" + path.strip("/") + (f"?{query}" if query else ""))

        async def get_session(self) -> ServerSession:  # type: ignore[override]
            if any(self.get_arguments(name) for name in CHOSEN) or CHOSEN_BY_HEADER in self.request.headers:
                raise HTTPError(403)
            session: ServerSession = await super().get_session()  # type: ignore[misc]
            session.block_expiration()

            def forget() -> None:
                if waited_for.pop(session.id, None) is not None:
                    session.unblock_expiration()

            waited_for[session.id] = forget
            asyncio.get_running_loop().call_later(LOADED_WITHIN_S, forget)
            return session

    class SocketHandler(WSHandler):
        def check_origin(self, origin: str) -> bool:
            return gate.may_come_from(origin, self.request)

        async def _async_open(self, token: str) -> None:
            session_id = get_session_id(token)
            try:
                context = self.application_context.get_session(session_id).document.session_context
            except ProtocolError:
                context = None
            opener = admitted_of(context.request) if context is not None else None
            if opener is None or opener.token != admitted_of(self.request).token:
                self.close(GONE, "this page is too old: open it again")
                return
            await super()._async_open(token)
            waited_for.get(session_id, lambda: None)()

    per_app_patterns[:] = [("/ws", SocketHandler), ("/?", PageHandler)]
