"""credentials: what a request shows: a bearer token, a WebSocket's subprotocol, or the session's cookie."""

from typing import Literal, NamedTuple

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Scope

from flows.access.sessions import COOKIE, PREFIX


class Credential(NamedTuple):
    """text: "" of one that cannot be right. by: how it was shown."""

    text: str
    by: Literal["header", "subprotocol", "cookie"]


def credential_of(scope: Scope, headers: Headers) -> Credential | None:
    """Find the credential, the most explicit first; None if there is none. Never in the query."""
    header = headers.get("authorization", "")
    if header:
        scheme, _, text = header.partition(" ")
        return Credential(text.strip() if scheme.lower() == "bearer" else "", "header")
    offered = scope.get("subprotocols") or []
    if offered[:1] == ["bearer"]:
        return Credential(offered[1] if len(offered) == 2 else "", "subprotocol")
    if COOKIE not in headers.get("cookie", ""):
        return None
    cookie = cookie_parser(headers["cookie"]).get(COOKIE)
    if not cookie:
        return None
    return Credential(cookie if cookie.startswith(PREFIX) else "", "cookie")
