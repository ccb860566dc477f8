"""Who asks: an account beyond loopback, and nobody that a foreign web page sends. What it may: see needs.py."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from api.access import Access
from api.credentials import Credential, credential_of
from flows.access.account import ANYONE, Account
from flows.access.sessions import COOKIE
from flows.loopback import is_loopback
from flows.secrets import read_or_create
from flows.settings import Settings

OPEN_PATHS = frozenset({"/", "/api/health", "/docs", "/openapi.json", "/login", "/logout"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
ACCOUNT, CREDENTIAL = "heatpump.account", "heatpump.credential"
"""Keys of a request's scope: who asks, an Account; and by what, None on loopback without one."""

_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")


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
    """Refuses before anything is read: 421 a foreign host name, 403 a foreign origin, 401 no account.

    On loopback no credential is asked for, but of what a proxy passed on: its clients are not on this machine.
    One that is given is obeyed, or refused.
    """

    def __init__(self, app: ASGIApp, settings: Settings, access: Access) -> None:
        self._app, self._access = app, access
        self._is_local = is_loopback(settings.api_host)
        self._origins = frozenset(origins_of(settings))
        self._hosts = {settings.api_host, *(urlsplit(origin).hostname or "" for origin in self._origins)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        refusal = self._refusal(scope) if scope["type"] in ("http", "websocket") else None
        await (self._app if refusal is None else refusal)(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        name = _name_of(host)
        if self._is_local and not (is_loopback(name) or name in self._hosts):
            # A foreign name that resolves to loopback (DNS rebinding) would make any web page our own.
            return _refuse(421, f"host {host[:80]!r} is not served here; ask 127.0.0.1 or localhost")
        changes = scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS
        if changes and origin is not None and not self._may_come_from(origin, host):
            return _refuse(403, f"origin {origin[:80]!r} is not allowed; HEATPUMP_API_ORIGINS allows it")
        shown = credential_of(scope, headers)
        is_open = scope["path"] in OPEN_PATHS
        is_cookie = shown is not None and shown.by == "cookie"
        if is_cookie and changes and origin is None and not is_open and not _is_same(headers):
            # Browsers say where a request that changes something comes from: one that does not is none of ours.
            return _refuse(403, "a request with a session must say its Origin; programs use a token")
        account = self._account(shown, headers, name)
        if account is None and not is_open:
            return _unknown(shown)
        scope[ACCOUNT], scope[CREDENTIAL] = account, shown.text if shown is not None else None
        return None

    def _account(self, shown: Credential | None, headers: Headers, name: str) -> Account | None:
        if shown is not None:
            return self._access.resolve(shown.text) if shown.text else None
        is_passed_on = not is_loopback(name) or any(header in headers for header in _FORWARDED)
        return ANYONE if self._is_local and not is_passed_on else None

    def _may_come_from(self, origin: str, host: str) -> bool:
        return origin in self._origins or origin.partition("://")[2] == host


def _name_of(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_same(headers: Headers) -> bool:
    return headers.get("sec-fetch-site") == "same-origin"


def _unknown(shown: Credential | None) -> JSONResponse:
    said = "send a token as `Authorization: Bearer …`, or log in at /login; secrets/api-token holds the first one"
    if shown is not None:
        said = f"the token or session is wrong, has expired, or was revoked; {said}"
    refusal = _refuse(401, said)
    refusal.headers["WWW-Authenticate"] = "Bearer"
    refusal.headers["Cache-Control"] = "no-store"
    if shown is not None and shown.by == "cookie":
        refusal.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return refusal


def _refuse(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": detail}, status)
