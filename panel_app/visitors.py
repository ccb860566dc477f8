"""visitors: who looks at the pages: a Site for each, from the first page of theirs to the last."""

import asyncio
import hmac
import logging
import secrets
from collections.abc import Callable
from typing import Any

import msgspec
from tornado.httputil import HTTPServerRequest

from panel_app.account import OWN, UNKNOWN, Account, account_of
from panel_app.api_client import ApiClient, ApiProblem
from panel_app.gate import Gate, session_of
from panel_app.site import REFUSED, Site

log = logging.getLogger("heatpump.panel")

PATIENCE_S = 4.0
"""So long a page waits to know whose it is. If the API does not say, it begins all the same. [s]"""


class Admitted(msgspec.Struct, frozen=True):
    """Somebody to whom pages may be shown. token: what the API is asked with, "" for nothing."""

    token: str
    account: Account
    has_session: bool


class Visitors:
    """One for the process. For the event loop's thread only.

    own_token : what the API is asked with for who is on this machine and has no session.
    """

    def __init__(
        self,
        gate: Gate,
        api_url: str,
        own_token: str = "",
        simulator_line: str = "",
        load_demo: Callable[[], None] | None = None,
    ) -> None:
        self.gate, self.api_url = gate, api_url
        self._own = Admitted(own_token, OWN, False)
        self._simulator_line, self._load_demo = simulator_line, load_demo
        self._sites: dict[str, Site] = {}
        self._endings: set[asyncio.Task[None]] = set()
        self._key = secrets.token_bytes(32)

    async def admit(self, request: HTTPServerRequest) -> Admitted | None:
        """Find who asks; None for who has to log in first.

        A session is obeyed where there is one. Who is on this machine needs none, where we listen to nobody else.
        """
        token = session_of(request)
        account = await self._account(token) if token else None
        if account is not None:
            return Admitted(token, account, True)
        return self._own if self._is_own(request) else None

    def enter(self, admitted: Admitted) -> Site:
        """Give what the visitor's pages share, for one more of them; `leave` must follow."""
        site = self._sites.get(admitted.token)
        if site is None:
            at_home = (self._simulator_line, self._load_demo) if not admitted.has_session else ("", None)
            site = self._sites[admitted.token] = Site(self.api_url, admitted.token, admitted.account, *at_home)
            site.begin(admitted.has_session)
        site.word = self._word(site.token, site.account)
        site.pages += 1
        return site

    def leave(self, site: Site) -> None:
        """Tell that one of the visitor's pages is closed."""
        site.pages -= 1
        if site.pages == 0:
            del self._sites[site.token]
            ending = asyncio.get_running_loop().create_task(site.end())
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)

    def enter_own(self) -> None:
        """Hear what happens for this machine also while no page is open, so that the first one is live at once."""
        if self.gate.is_closed:
            self.enter(self._own)

    def word_of(self, request: HTTPServerRequest) -> str | None:
        """Give the word of the pages that are shown to who asks; None where his session has ended. Asks nobody."""
        token = session_of(request)
        site = self._sites.get(token) if token else None
        if site is not None and not site.ended:
            return self._word(token, site.account)
        if self._is_own(request):
            return self._word(self._own.token, OWN)
        return None if not token or site is not None else self._word(token, UNKNOWN)

    def client(self, admitted: Admitted) -> ApiClient:
        """Make what asks a single question as the visitor; to be closed."""
        return ApiClient(self.api_url, admitted.token)

    def report(self) -> dict[str, Any]:
        """Tell how many there are, and how they fare."""
        sites = list(self._sites.values())
        return {
            "visitors": sum(site.pages > 0 and site.token != self._own.token for site in sites),
            "devices": sum(site.watch.followed for site in sites),
        }

    @property
    def live(self) -> bool:
        """Whether what happens is heard, for everybody."""
        return all(site.feed.connected for site in self._sites.values() if not site.ended)

    async def close(self) -> None:
        """End all."""
        sites = list(self._sites.values())
        self._sites.clear()
        await asyncio.gather(*(site.end() for site in sites), *self._endings)

    async def _account(self, token: str) -> Account | None:
        """Ask whose a session is; None if the API does not take it."""
        site = self._sites.get(token)
        if site is not None and not site.ended:
            return site.account
        api = ApiClient(self.api_url, token)
        try:
            return account_of(await api.get("/api/session", patience_s=PATIENCE_S))
        except ApiProblem as problem:
            return None if problem.status in REFUSED else UNKNOWN
        finally:
            await api.close()

    def _is_own(self, request: HTTPServerRequest) -> bool:
        return self.gate.is_closed and self.gate.is_local(request)

    def _word(self, token: str, account: Account) -> str:
        # Nobody can tell a session from it, nor make one up; another process has another key.
        return hmac.digest(self._key, msgspec.json.encode((token, account)), "sha256").hex()
