"""Who may ask: a token beyond loopback, and nobody that a foreign web page sends."""

import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from flows.secrets import read_or_create
from flows.settings import Settings

OPEN_PATHS = frozenset({"/", "/api/health", "/docs", "/openapi.json"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def token_for(settings: Settings) -> str | None:
    """Give the token to demand; None on loopback. Made on the first start where none is set."""
    if is_loopback(settings.api_host):
        return None
    given = settings.api_token.get_secret_value()
    return given or read_or_create(settings.data / "secrets" / "api-token")


def origins_of(settings: Settings) -> list[str]:
    """Give the web origins beside our own that may use us."""
    return [origin.strip().rstrip("/") for origin in settings.api_origins.split(",") if origin.strip()]


class Guard:
    """Refuses before anything is read: 421 a foreign host name, 403 a foreign origin, 401 no token."""

    def __init__(self, app: ASGIApp, settings: Settings, token: str | None) -> None:
        self._app, self._token = app, token
        self._origins = frozenset(origins_of(settings))
        self._hosts = {settings.api_host, *(urlsplit(origin).hostname or "" for origin in self._origins)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        refusal = self._refusal(scope) if scope["type"] in ("http", "websocket") else None
        await (self._app if refusal is None else refusal)(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._token is None and not self._is_ours(host):
            # A foreign name that resolves to loopback (DNS rebinding) would make any web page our own.
            return _refuse(421, f"host {host[:80]!r} is not served here; ask 127.0.0.1 or localhost")
        changes = scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS
        if changes and origin is not None and not self._may_come_from(origin, host):
            return _refuse(403, f"origin {origin[:80]!r} is not allowed; HEATPUMP_API_ORIGINS allows it")
        if self._token is not None and scope["path"] not in OPEN_PATHS and not self._knows_token(scope, headers):
            refusal = _refuse(401, "send the token of secrets/api-token as `Authorization: Bearer …`")
            refusal.headers["WWW-Authenticate"] = "Bearer"
            return refusal
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return is_loopback(name) or name in self._hosts

    def _may_come_from(self, origin: str, host: str) -> bool:
        return origin in self._origins or origin.partition("://")[2] == host

    def _knows_token(self, scope: Scope, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" and scope["type"] == "websocket":
            # Browsers can set no other header on a WebSocket; the query would end up in logs.
            scheme, given = [*scope.get("subprotocols", ()), "", ""][:2]
        assert self._token is not None
        return scheme.lower() == "bearer" and hmac.compare_digest(given.encode(), self._token.encode())


def _refuse(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": detail}, status)
