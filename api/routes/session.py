"""session: log in, log out, and who one is. For browsers; programs use tokens."""

from urllib.parse import parse_qs, quote, urlsplit

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from api import answers, login_page, schemas
from api.deps import Given
from api.guard import CREDENTIAL
from api.login import TooMany
from api.needs import OPEN, READ_OWN
from api.viewer import Viewing
from flows.access.account import NAME
from flows.access.sessions import COOKIE, PREFIX
from flows.errors import ConfigError
from flows.loopback import is_loopback
from flows.model.times import iso, ms_of

router = APIRouter(tags=["session"])

LONGEST_NEXT = 2000
_UNSAFE = "Over plain http from another machine the browser will not keep the session: use https."


@router.get("/api/session", response_model=schemas.Session, dependencies=[READ_OWN])
def session(request: Request, given: Given, viewer: Viewing) -> Response:
    """Say who asks and what it may; 401 where that is not known. On loopback without a credential: everything."""
    account, ends = viewer.account, viewer.account.expires
    shown = request.scope[CREDENTIAL]
    if shown is not None and shown.startswith(PREFIX):
        known = given.access.session(shown)
        ends = known.expires if known is not None else ends
    answer = answers.json(
        {
            "name": account.name,
            "scope": account.scope,
            "devices": account.devices,
            "expires": iso(ms_of(ends)) if ends is not None else None,
        }
    )
    answer.headers["Cache-Control"] = "no-store"
    return answer


@router.get("/login", include_in_schema=False, dependencies=[OPEN])
def show(request: Request, given: Given, next: str = "/") -> Response:
    """Show the form; who is logged in goes on at once."""
    target = own_path(next)
    held = request.cookies.get(COOKIE)
    if held is None and request.headers.get("sec-fetch-site") == "cross-site":
        return _page(login_page.render_again(f"/login?next={quote(target, safe='')}"))
    known = given.access.session(held) if held else None
    if known is not None and target != "/":
        return RedirectResponse(target, 303, {"Cache-Control": "no-store"})
    who = known.account.name if known is not None else ""
    note = "" if _is_safe(request) else _UNSAFE
    if not given.access.book.has_users:
        note = f"Nobody can log in yet: `heatpump user add NAME` makes a user. {note}"
    return _page(login_page.render(_theme(request), next_path=target, note=note, who=who))


@router.post("/login", include_in_schema=False, dependencies=[OPEN])
async def enter(request: Request, given: Given) -> Response:
    """Compare name and password; then go on with a session."""
    fields = _form(await request.body())
    name, target = fields.get("name", "").strip(), own_path(fields.get("next", "/"))
    try:
        user = await given.door.enter(name, fields.get("password", ""), _address(request))
    except TooMany as error:
        page = _again(request, target, name, f"Too many tries. Try again in {error.seconds} s.", 429)
        page.headers["Retry-After"] = str(error.seconds)
        return page
    if user is None:
        return _again(request, target, name, "Name or password is wrong.", 401)
    try:
        text, seconds = given.access.sessions.begin(user)
    except ConfigError:
        return _again(request, target, name, "No session can be made: the log of the API says why.", 503)
    answer = RedirectResponse(target, 303, {"Cache-Control": "no-store"})
    secure = not _is_local(request)
    answer.set_cookie(COOKIE, text, seconds, path="/", secure=secure, httponly=True, samesite="strict")
    return answer


@router.post("/logout", include_in_schema=False, dependencies=[OPEN])
def leave() -> Response:
    """Take the session's cookie back."""
    answer = RedirectResponse("/login", 303, {"Cache-Control": "no-store"})
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return answer


def own_path(text: str) -> str:
    """Give back a path of ours; "/" for what leads anywhere else, or back to the form."""
    if len(text) > LONGEST_NEXT or not text.startswith("/") or text.startswith("//"):
        return "/"
    if "\\" in text or not text.isprintable() or not text.isascii():
        return "/"  # browsers read \ as /, and leave out tabs and line ends
    try:
        parts = urlsplit(text)
    except ValueError:
        return "/"
    return "/" if parts.scheme or parts.netloc or parts.path in ("/login", "/logout") else text


def _form(body: bytes) -> dict[str, str]:
    try:
        read = parse_qs(body.decode("latin-1"), keep_blank_values=True, max_num_fields=10, errors="replace")
    except ValueError:
        return {}
    return {name: values[-1] for name, values in read.items()}


def _again(request: Request, target: str, name: str, wrong: str, status: int) -> Response:
    shown = name if NAME.fullmatch(name) else ""
    return _page(login_page.render(_theme(request), next_path=target, wrong=wrong, name=shown), status)


def _page(html: str, status: int = 200) -> Response:
    headers = {
        "Content-Security-Policy": login_page.CONTENT_SECURITY,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",  # with no-referrer, browsers would send the form with Origin: null
    }
    return HTMLResponse(html, status, headers)


def _theme(request: Request) -> str:
    theme = request.cookies.get("heatpump_theme", "")
    return theme if theme in ("light", "dark") else ""


def _address(request: Request) -> str:
    """Say where the client is: as the nearest proxy says. Who lies about it is still slowed by the name."""
    passed = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    return passed[:64] or (request.client.host if request.client is not None else "")


def _is_local(request: Request) -> bool:
    return (
        request.url.scheme == "http" and is_loopback(request.url.hostname or "") and not answers.is_https(request)
    )


def _is_safe(request: Request) -> bool:
    return answers.is_https(request) or is_loopback(request.url.hostname or "")
