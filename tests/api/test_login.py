"""Log in, be somebody, log out: over real connections, as a browser does it."""

import logging
import re
import time

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from api.routes.session import own_path
from flows.access import file, passwords
from flows.access.account import Account
from flows.access.brake import PAIR
from flows.access.sessions import COOKIE
from flows.settings import load_settings
from tests.access import cheap
from tests.api.conftest import Api, Filled, running, wait_for
from tests.api.people import PASSWORD, People, demanding, some


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> People:
    made = People(tmp_path_factory.mktemp("access") / "access.json")
    made.user("anna", "command", some("site1"))
    made.user("bert")
    made.user("chef", "admin")
    made.token("program")
    return made


@pytest.fixture(scope="module")
def api(people: People, filled: Filled):
    with demanding(people, filled.path) as made:
        yield made


@pytest.fixture
def browser(api: Api):
    """A client that keeps cookies and follows nothing by itself."""
    with httpx.Client(
        base_url=f"http://127.0.0.1:{api.port}", trust_env=False, verify=False, timeout=60
    ) as client:
        client.headers["Origin"] = f"http://127.0.0.1:{api.port}"
        yield client


@pytest.fixture(autouse=True)
def cheap_to_refuse(request, monkeypatch) -> None:
    """Compare the unknown with as little work as the known have here, but where the work is what is looked at."""
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setattr(passwords, "NOBODYS", cheap.NOBODYS)


@pytest.fixture(autouse=True)
def without_cookies(api: Api) -> None:
    api.client.cookies.clear()


def log_in(browser: httpx.Client, name="anna", password=PASSWORD, **more) -> httpx.Response:
    return browser.post("/login", data={"name": name, "password": password, **more})


def session_of(answer: httpx.Response) -> str:
    return re.match(rf"{COOKIE}=([^;]+);", answer.headers["set-cookie"]).group(1)


def test_a_right_password_gives_a_session_and_leads_on(browser):
    answer = log_in(browser, next="/devices/site1?hours=24#now")
    assert (answer.status_code, answer.headers["location"]) == (303, "/devices/site1?hours=24#now")
    cookie = answer.headers["set-cookie"]
    assert (
        "; HttpOnly" in cookie
        and "; SameSite=strict" in cookie
        and "; Path=/" in cookie
        and "Max-Age=604" in cookie
    )
    told = browser.get("/api/session").json()
    assert (told["name"], told["scope"], told["devices"]["ids"]) == ("anna", "command", ["site1"])
    assert told["expires"].endswith("Z")
    assert [device["device_id"] for device in browser.get("/api/devices").json()] == ["site1"]
    assert browser.get("/api/devices/site2/status").status_code == 404


@pytest.mark.parametrize(
    ("name", "password"),
    [("anna", "wrong"), ("nobody", PASSWORD), ("", ""), ("anna", ""), ("program", ""), ("api-token", "x"),
     ("a\0b", "\0"), ("'; DROP TABLE device; --", "x"), ("x" * 5000, "y" * 5000), ("pä$$", "wörd")],
)  # fmt: skip
def test_whatever_else_is_shown_the_form_again_with_the_same_words(browser, name, password):
    answer = log_in(browser, name, password)
    assert answer.status_code == 401
    assert "Name or password is wrong." in answer.text and 'role="alert"' in answer.text
    assert COOKIE not in answer.headers.get("set-cookie", "")
    assert browser.get("/api/devices").status_code == 401


@pytest.mark.slow
def test_one_who_is_not_known_costs_as_much_as_one_who_is(filled, tmp_path):
    made = People(tmp_path / "access.json")
    for name in ("anna", "bert", "chef"):
        made.user(name, kept=passwords.digest_of(PASSWORD))
    with demanding(made, filled.path) as api:
        post = api.client.post
        took = {}
        for name in ("anna", "nobody", "bert", "no-one", "chef", "anybody"):
            begin = time.process_time()  # the server is a thread of this process
            post("/login", data={"name": name, "password": "wrong"})
            took[name] = time.process_time() - begin
    known, unknown = (
        min(took[name] for name in names) for names in (("anna", "bert", "chef"), ("nobody", "no-one", "anybody"))
    )
    assert 0.5 < known / unknown < 2


def test_the_cookie_is_secure_but_on_loopback_over_http(browser, api):
    assert "secure" not in log_in(browser).headers["set-cookie"].lower()
    for headers in (
        {"Host": "pumps.example.org", "Origin": "https://pumps.example.org", "X-Forwarded-Proto": "https"},
        {"Host": "192.168.1.5:8000", "Origin": "http://192.168.1.5:8000"},
        {"Host": f"localhost:{api.port}", "Origin": f"https://localhost:{api.port}", "X-Forwarded-Proto": "https"},
    ):
        answer = api.post("/login", data={"name": "anna", "password": PASSWORD}, headers=headers)
        assert answer.status_code == 303 and "; Secure" in answer.headers["set-cookie"]
    page = api.get("/login", headers={"Host": "192.168.1.5:8000"})
    assert "use https" in page.text
    assert "use https" not in api.get("/login").text


def test_a_session_works_as_bearer_and_as_subprotocol_too(api, browser):
    session = session_of(log_in(browser))
    bearer = {"Authorization": f"Bearer {session}"}
    assert api.get("/api/session", headers=bearer).json()["name"] == "anna"
    for options in ({"subprotocols": ["bearer", session]}, {"additional_headers": bearer}):
        with connect(f"ws://127.0.0.1:{api.port}/ws", **options) as ws:
            ws.send("?")
            assert '"pong"' in ws.recv(60)


def test_with_a_session_the_websocket_opens_from_our_own_pages_alone(api, browser):
    cookie = {"Cookie": f"{COOKIE}={session_of(log_in(browser))}"}
    url, ours = f"ws://127.0.0.1:{api.port}/api/ws", f"http://127.0.0.1:{api.port}"
    with connect(url, origin=ours, additional_headers=cookie) as ws:
        ws.send("?")
        assert '"pong"' in ws.recv(60)
    for origin in ("https://evil.example.org", "null", None):
        with pytest.raises(InvalidStatus) as refusal, connect(url, origin=origin, additional_headers=cookie):
            pass
        assert refusal.value.response.status_code == 403


def test_with_a_session_a_change_must_come_from_our_own_pages(api, browser):
    log_in(browser)
    path = "/api/devices/site1"
    assert browser.put(path, json={}).status_code == 503  # the flow is not there
    for origin in ("https://evil.example.org", "null", f"http://127.0.0.1:{api.port + 1}"):
        assert browser.put(path, json={}, headers={"Origin": origin}).status_code == 403
    del browser.headers["Origin"]
    assert browser.put(path, json={}).status_code == 403
    assert browser.put(path, json={}, headers={"Sec-Fetch-Site": "same-site"}).status_code == 403
    assert browser.put(path, json={}, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 503
    assert browser.get("/api/devices").status_code == 200


def test_another_site_cannot_log_its_visitor_in(api):
    evil = {"Origin": "https://evil.example.org"}
    answer = api.post("/login", data={"name": "anna", "password": PASSWORD}, headers=evil)
    assert answer.status_code == 403 and "set-cookie" not in answer.headers


def test_logged_out_the_browser_has_no_session(browser):
    log_in(browser)
    page = browser.get("/login")
    assert "You are logged in as <strong>anna</strong>" in page.text
    answer = browser.post("/logout")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert browser.cookies.get(COOKIE) is None
    assert browser.get("/api/session").status_code == 401


def test_who_is_logged_in_goes_on_at_once(browser):
    log_in(browser)
    answer = browser.get("/login?next=/devices")
    assert (answer.status_code, answer.headers["location"]) == (303, "/devices")


def test_one_who_comes_from_a_foreign_link_is_sent_round_once_since_the_cookie_stayed_behind(api):
    answer = api.get("/login?next=/devices?a=1%26b=2", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200
    assert 'http-equiv="refresh" content="0;url=/login?next=%2Fdevices%3Fa%3D1%26b%3D2"' in answer.text


def test_a_cookie_that_is_wrong_is_refused_and_taken_back(api):
    for cookie in ("wrong", "hps_wrong", "hps_", f"{'x' * 3000}"):
        answer = api.get("/api/devices", headers={"Cookie": f"{COOKIE}={cookie}"})
        assert answer.status_code == 401
        assert f'{COOKIE}=""' in answer.headers["set-cookie"] and "Max-Age=0" in answer.headers["set-cookie"]


def test_a_token_is_no_cookie(api, people):
    cookie = {"Cookie": f"{COOKIE}={people.tokens['program']}"}
    assert api.get("/api/devices", headers=cookie).status_code == 401
    assert api.get("/api/devices", headers=people.bearer("program")).status_code == 200


@pytest.mark.slow
def test_a_removed_user_and_one_with_another_password_are_out_and_their_websocket_ends(api, people):
    for name, leave in {"dora": lambda: people.remove("dora"), "emil": None}.items():
        people.user(name)
        time.sleep(0)  # a turn for the server
        wait_for(lambda name=name: api.context.access.book.user(name), "the new user")
        answer = api.post("/login", data={"name": name, "password": PASSWORD})
        session = session_of(answer)
        bearer = {"Authorization": f"Bearer {session}"}
        assert api.get("/api/session", headers=bearer).json()["name"] == name
        with connect(f"ws://127.0.0.1:{api.port}/ws", subprotocols=["bearer", session]) as ws:
            ws.send("?")
            assert '"pong"' in ws.recv(60)
            if leave:
                leave()
            else:
                with file.changing(people.path) as accounts:
                    accounts[:] = [
                        Account("emil", "read", "all", password=cheap.digest_of("another one"))
                        if each.name == "emil"
                        else each
                        for each in accounts
                    ]
            with pytest.raises(ConnectionClosed) as end:
                ws.recv(60)
            assert end.value.rcvd.code == 1008
        assert api.get("/api/session", headers=bearer).status_code == 401


@pytest.mark.slow
def test_who_guesses_waits_and_is_told_how_long(people, filled, caplog, monkeypatch):
    with demanding(people, filled.path) as api, caplog.at_level(logging.INFO):
        now = time.monotonic()
        monkeypatch.setattr(api.context.access.brake, "_clock", lambda: now)
        for _ in range(PAIR.free):
            assert api.post("/login", data={"name": "bert", "password": "a wrong guess"}).status_code == 401
        answer = api.post("/login", data={"name": "bert", "password": PASSWORD})
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "1"
        assert "Try again in 1 s" in answer.text
        elsewhere = {"X-Forwarded-For": "10.0.0.7"}
        assert (
            api.post("/login", data={"name": "bert", "password": PASSWORD}, headers=elsewhere).status_code == 303
        )
        now += 1.0
        assert api.post("/login", data={"name": "bert", "password": PASSWORD}).status_code == 303
    assert "'bert'" in caplog.text and "from 127.0.0.1 failed" in caplog.text
    assert "a wrong guess" not in caplog.text and PASSWORD not in caplog.text


def test_a_password_typed_into_the_wrong_field_is_in_no_log(people, filled, caplog):
    with demanding(people, filled.path) as api, caplog.at_level(logging.DEBUG):
        answer = api.post("/login", data={"name": "my secret password!", "password": "anna"})
    assert answer.status_code == 401
    assert "my secret password!" not in caplog.text
    assert "my secret password!" not in answer.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/", "/"),
        ("/devices/site1?hours=24&x=//y#top", "/devices/site1?hours=24&x=//y#top"),
        ("", "/"),
        ("devices", "/"),
        ("//evil.example.org", "/"),
        ("///evil.example.org", "/"),
        ("/\\evil.example.org", "/"),
        ("/\t/evil.example.org", "/"),
        ("/\n/evil.example.org", "/"),
        ("https://evil.example.org/", "/"),
        ("javascript:alert(1)", "/"),
        ("/x\r\nSet-Cookie: a=b", "/"),
        ("/login?next=/login", "/"),
        ("/logout", "/"),
        ("/é", "/"),
        ("/" + "x" * 3000, "/"),
        ("//[", "/"),
    ],
)
def test_after_the_login_only_a_path_of_our_own_is_gone_to(browser, text, expected):
    assert own_path(text) == expected
    answer = log_in(browser, "chef", next=text)
    assert answer.headers["location"] == expected
    page = browser.get("/login", params={"next": text}, headers={"Cookie": ""})
    assert "evil.example.org" not in page.headers.get("location", "")


def test_the_page_needs_no_script_loads_nothing_and_escapes_what_it_shows(api):
    page = api.get("/login", params={"next": '/"><script>alert(1)</script>'})
    assert "<script" not in page.text and 'value="/&quot;&gt;&lt;script&gt;alert(1)' in page.text
    assert not re.findall(r"""(?:src|href)=["'](?!/)""", page.text)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "form-action 'self'" in policy and "frame-ancestors 'none'" in policy
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "same-origin"
    assert '<html lang="en">' in page.text
    for theme in ("dark", "light"):
        themed = api.get("/login", headers={"Cookie": f"heatpump_theme={theme}"})
        assert f'<html lang="en" data-theme="{theme}">' in themed.text
    assert (
        "data-theme=" not in api.get("/login", headers={"Cookie": 'heatpump_theme="><x'}).text.split("<style>")[0]
    )


def test_without_users_the_page_says_how_one_is_made(filled, tmp_path):
    with demanding(People(tmp_path / "none.json"), filled.path) as api:
        assert "`heatpump user add NAME`" in api.get("/login").text


def test_two_apis_with_one_key_share_sessions_and_a_folder_that_cannot_be_written_is_named(
    people, filled, tmp_path
):
    key = "a key that both have been given".replace(" ", "-")
    with (
        demanding(people, filled.path, session_key=key) as one,
        demanding(people, filled.path, session_key=key) as two,
    ):
        session = session_of(one.post("/login", data={"name": "bert", "password": PASSWORD}))
        bearer = {"Authorization": f"Bearer {session}"}
        assert two.get("/api/session", headers=bearer).json()["name"] == "bert"
    (tmp_path / "file").write_text("")
    from api.access import Access
    from flows.errors import ConfigError

    settings = load_settings(data=tmp_path / "file", api_host="0.0.0.0", api_token="x" * 20)
    with pytest.raises(ConfigError, match="HEATPUMP_SESSION_KEY"):
        Access(settings, demands=True)


def test_on_loopback_somebody_may_log_in_too(people, filled):
    settings = load_settings(data=filled.path.parent, access=str(people.path))
    with running(settings, filled.path) as local:
        assert len(local.get("/api/devices").json()) == 3
        answer = local.post("/login", data={"name": "anna", "password": PASSWORD})
        bearer = {"Authorization": f"Bearer {session_of(answer)}"}
        assert len(local.get("/api/devices", headers=bearer).json()) == 1
