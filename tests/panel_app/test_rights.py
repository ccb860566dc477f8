"""Pages behind one origin: each visitor sees what the API gives that account; the real nginx, a real log-in."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect
from websockets import Origin as Origin_
from websockets import Subprotocol
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.deploy.wire import for_two_threads
from tests.flows import wait_for
from tests.panel_app.aids import complaints
from tests.panel_app.origin import PASSWORD, Origin
from tests.panel_app.site import FORGOTTEN_S, PHONE, Installation, Visitor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

Visit = Callable[..., Visitor]
LIVE = re.compile(r"^\s*Live")
LONG_MS = 90_000
WELL: dict[str, Any] = {"temperature": {"outlet": 32.8, "inlet": 28.5}, "electrical": {"voltage": 231.0}}
TROUBLE: dict[str, Any] = {**WELL, "electrical": {"voltage": 252.0}}


@pytest.fixture(scope="module")
def origin(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    made = Origin(tmp_path_factory.mktemp("nginx"), installation)
    made.start()
    made.add_user("anna", "--scope", "admin")
    made.add_user("looker")
    made.add_user("customer7", "--device", "own7", "--device", "silent7")
    for device, groups in (("own7", TROUBLE), ("other8", TROUBLE)):
        installation.stored(device, installation.publish(device, **groups))
    installation.send("heatpump/own7/data", '{"temperature":{"inlet":-127}}')
    wait_for(lambda: installation.api.get("/api/dead-letters?device_id=own7").json())
    yield made
    made.stop()


def logged_in(visitor: Visitor, name: str, path: str = "/") -> Page:
    """Ask for a page, be led to the form, log in, be led back; the page, live."""
    page = visitor.open(path)
    expect(page).to_have_url(re.compile("/login"))
    page.locator("input[name=name]").fill(name)
    page.locator("input[name=password]").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#live")).to_contain_text(LIVE, timeout=LONG_MS)
    return page


def test_who_is_not_logged_in_is_led_to_the_form_and_back_to_the_page_asked_for(
    installation: Installation, origin: Origin, visit: Visit
):
    page = logged_in(visit(to=origin), "anna", "/?device=own7&span=7d")
    expect(page).to_have_url(re.compile(r"\?device=own7&span=7d$"))
    expect(page.locator("#navigation .account")).to_contain_text("anna")
    expect(page.get_by_role("button", name="Acknowledge")).to_be_visible()
    assert "hps_" not in page.content(), "a script could read the session"
    at = installation.publish("own7", **{**WELL, "electrical": {"voltage": 233.3}})
    installation.stored("own7", at)
    expect(page.locator("#now-voltage")).to_contain_text("233.3")
    installation.stored("own7", installation.publish("own7", **TROUBLE))


def test_who_may_read_sees_all_and_no_button_that_changes_anything(origin: Origin, visit: Visit):
    page = logged_in(visit(to=origin), "looker", "/?device=own7")
    expect(page.locator("#alerts")).to_contain_text("voltage_high")
    expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)
    page.goto(f"{origin.url}/pipeline?node=:dead-letters")
    expect(page.locator("#letters li").first).to_be_visible()
    expect(page.get_by_role("button", name="Retry")).to_have_count(0)


def test_who_may_see_one_device_finds_no_trace_of_another(
    installation: Installation, origin: Origin, visit: Visit
):
    page = logged_in(visit(to=origin), "customer7")
    expect(page).to_have_url(re.compile("device=own7"))
    expect(page.locator("#now-voltage")).to_be_visible()
    expect(page.locator("#bell b")).to_have_text("1")
    page.locator("#bell").click()
    expect(page.get_by_role("navigation", name="Open alerts")).to_contain_text("own7")
    assert "other8" not in page.evaluate(ALL_TEXT)
    page.goto(f"{origin.url}/?device=other8")
    expect(page.locator("#state")).to_contain_text("No device that customer7 may see is called other8.")
    page.goto(f"{origin.url}/pipeline")
    expect(page.locator("#state")).to_contain_text(
        "accounts that may see all of them; customer7 may see own7, silent7"
    )
    expect(page.get_by_role("link", name="Pipeline")).to_have_count(0)
    assert page.request.get(f"{origin.url}/csv/own7?fields=voltage").status == 200
    assert page.request.get(f"{origin.url}/csv/other8?fields=voltage").status == 404


def test_a_session_that_ends_while_a_page_is_open_says_so_hides_the_page_and_leads_to_the_form(
    origin: Origin, visit: Visit
):
    visitor = visit(to=origin)
    origin.add_user("leaver")
    page = logged_in(visitor, "leaver", "/?device=own7")
    expect(page.locator("#now-voltage")).to_be_visible()
    origin.installation.heatpump("user", "remove", "leaver")
    expect(page.locator(".lost")).to_contain_text("Your session has ended.", timeout=LONG_MS)
    expect(page.locator("#now-voltage")).not_to_be_visible()
    page.get_by_role("link", name="Log in again").click()
    expect(page).to_have_url(re.compile(r"/login\?next=%2F%3Fdevice%3Down7"))
    visitor.complaints.clear()


def test_logging_out_in_one_page_ends_the_others_too(origin: Origin, visit: Visit):
    visitor = visit(to=origin)
    page = logged_in(visitor, "anna", "/?device=own7")
    other = visitor.context.new_page()
    other.goto(f"{origin.url}/pipeline")
    expect(other.locator("#live")).to_contain_text(LIVE, timeout=LONG_MS)
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(re.compile("/login"))
    expect(other.locator(".lost")).to_contain_text("Your session has ended.", timeout=LONG_MS)
    page.go_back()
    expect(page).to_have_url(re.compile("/login"))


def test_narrower_rights_reach_an_open_page(origin: Origin, visit: Visit):
    visitor = visit(to=origin)
    origin.add_user("mover", "--scope", "command")
    page = logged_in(visitor, "mover", "/?device=own7")
    expect(page.get_by_role("button", name="Acknowledge")).to_be_visible()
    path = origin.installation.data / "secrets" / "access.json"
    written = path.read_text()
    narrowed = re.sub(r'("name":\s*"mover",\s*"scope":\s*)"command"', r'\1"read"', written)
    assert narrowed != written
    path.write_text(narrowed)
    expect(page.locator("#navigation .account")).to_contain_text("may look, not change", timeout=LONG_MS)
    expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)
    visitor.complaints.clear()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [None, PHONE], ids=["desktop", "phone"])
def test_the_account_can_be_seen_and_left_by_everybody(
    origin: Origin, visit: Visit, theme: str, viewport: dict[str, int] | None
):
    page = logged_in(
        visit(to=origin, theme=theme, **({"viewport": viewport} if viewport else {})), "customer7", "/pipeline"
    )
    if viewport:
        page.get_by_role("button", name="Menu").click()
    expect(page.locator("#navigation .account")).to_be_visible()
    assert complaints(page) == []


def test_who_is_on_this_machine_needs_no_login_but_nobody_that_a_proxy_lets_in(
    installation: Installation, origin: Origin, visit: Visit
):
    page = visit().open("/?device=own7")
    expect(page.locator("#live")).to_contain_text(LIVE)
    expect(page.locator("#navigation .account")).to_have_count(0)
    asked = installation.ask_pages("/?device=own7", **{"X-Forwarded-For": "192.0.2.1"})
    assert (asked.status_code, asked.headers["location"]) == (302, "./login?next=%2F%3Fdevice%3Down7")
    assert installation.ask_pages("/alive", **{"X-Forwarded-For": "192.0.2.1"}).status_code == 401
    assert installation.ask_pages("/csv/own7", **{"X-Forwarded-For": "192.0.2.1"}).status_code == 401
    assert installation.ask_pages("/csv/own7", Cookie="heatpump_session=hps_wrong", Via="a").status_code == 401
    for path in ("/", "/pipeline", "/health", "/alive", "/csv/own7"):
        assert installation.ask_pages(path, Host="evil.example").status_code == 421


def test_the_pages_websocket_is_opened_by_pages_of_its_own_origin_alone(
    installation: Installation, origin: Origin
):
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    upgrade |= {"Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw==", "Sec-WebSocket-Protocol": "bokeh, e30"}
    for foreign in ("https://evil.example", "http://127.0.0.1:1", "null"):
        assert installation.ask_pages("/ws", Origin=foreign, **upgrade).status_code == 403
    assert installation.ask_pages("/ws", Origin=installation.url, Via="a", **upgrade).status_code == 403, (
        "no session"
    )


def test_no_address_has_the_pages_import_what_it_names(installation: Installation):
    before = installation.pid_of("panel")
    assert installation.ask_pages("/components/lib2to3.__main__/X/_css/x").status_code == 404
    assert installation.report()["live"] and installation.pid_of("panel") == before


def test_pages_of_one_visitor_share_what_they_ask_and_leave_nothing_behind(
    installation: Installation, origin: Origin
):
    wait_for(
        installation.report, lambda report: report["sessions"] == report["visitors"] == 0, seconds=FORGOTTEN_S
    )
    before = installation.report()["tasks"]
    sessions = [origin.session_of("anna")] * 8 + [origin.session_of("customer7")] * 2
    with ExitStack() as opened:
        for session in sessions:
            opened.enter_context(open_page(origin, session, "/?device=own7"))
        held = wait_for(installation.report, lambda report: (report["devices"], report["live"]) == (2, True))
        assert (held["visitors"], held["sessions"]) == (2, len(sessions))
    gone = wait_for(installation.report, lambda report: report["sessions"] == 0, seconds=FORGOTTEN_S)
    assert (gone["visitors"], gone["devices"]) == (0, 0)
    wait_for(installation.report, lambda report: report["tasks"] <= before)


def test_a_token_without_its_page_opens_nothing(installation: Installation, origin: Origin):
    session = origin.session_of("anna")
    with (
        opened_socket(origin, session, token_of("made-up")) as socket,
        pytest.raises(ConnectionClosed, match="open it again"),
    ):
        socket.recv(30)


def test_a_page_s_session_is_its_visitor_s_alone(installation: Installation, origin: Origin):
    anna, customer = origin.session_of("anna"), origin.session_of("customer7")
    for chosen in ({"bokeh-session-id": "chosen"}, {"bokeh-token": token_of("chosen")}):
        asked = ask_page(origin, anna, "/", params=chosen)
        assert asked.status_code == 403, "whoever makes up a link could join the page that it opens"
    assert ask_page(origin, anna, "/", headers={"Bokeh-Session-Id": "chosen"}).status_code == 403
    token = re.search(r'"token":"([^"]+)"', ask_page(origin, anna, "/").text)
    assert token
    with (
        opened_socket(origin, customer, token[1]) as socket,
        pytest.raises(ConnectionClosed, match="open it again"),
    ):
        socket.recv(30)
    with opened_socket(origin, anna, token[1]) as socket:
        assert "ACK" in str(socket.recv(30))


def token_of(session_id: str) -> str:
    """Make up what a page hands to its WebSocket."""
    payload = {"session_id": session_id, "session_expiry": 4_000_000_000}
    return base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=")


def ask_page(
    origin: Origin,
    session: str,
    path: str,
    params: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    """Ask for a page as a browser with that session."""
    with httpx.Client(verify=origin.trust(), trust_env=False, timeout=60) as client:
        cookie = {"Cookie": f"heatpump_session={session}"}
        return client.get(origin.url + path, params=params, headers=cookie | (headers or {}))


def opened_socket(origin: Origin, session: str, token: str) -> ClientConnection:
    """Open the WebSocket of a page, as Bokeh's script does."""
    return connect(
        origin.url.replace("https", "wss") + "/ws",
        additional_headers={"Cookie": f"heatpump_session={session}"},
        origin=Origin_(origin.url),
        subprotocols=[Subprotocol("bokeh"), Subprotocol(token)],
        ssl=for_two_threads(origin.trust()),
        proxy=None,
        open_timeout=60,
    )


@contextmanager
def open_page(origin: Origin, session: str, path: str) -> Iterator[None]:
    """Open a page without a browser: what is sent to it is left unread but the first message, which greets."""
    answer = ask_page(origin, session, path)
    token = re.search(r'"token":"([^"]+)"', answer.text)
    assert token, answer.text[:200]
    with opened_socket(origin, session, token[1]) as socket:
        socket.recv(60)
        yield


ALL_TEXT = """() => {
  const text = (root) => [...root.querySelectorAll("*")].map((each) =>
    (each.shadowRoot ? text(each.shadowRoot) : "")).join(" ") + (root.innerHTML ?? "");
  return text(document.documentElement) + text(document);
}"""
"""All that the page holds, in shadow roots too."""
