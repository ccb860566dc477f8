"""What an attacker tries, as real connections against a served API: by every route, generated from its own description.

Each device that is not the customer's holds a word that stands nowhere else (SECRET): it must come back to nobody.
"""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from api.guard import OPEN_PATHS
from flows.model.alert import Transition
from flows.model.dead_letter import DeadLetter
from flows.model.device import DeviceMetadata
from flows.model.rows import DeviceRow
from flows.model.times import now_ms
from flows.store import open_writer
from tests.api.conftest import Api, running, wait_for
from tests.api.people import FIRST, People, demanding, long_ago, some
from tests.filled import fill
from tests.influx import real

pytestmark = pytest.mark.slow

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
SECRET = "secret-of-site3"
ALERT = "site3/voltage_high/50002"
LETTER = 60_002
HIDDEN = (
    ("GET", "/docs"),
    ("GET", "/metrics"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("POST", "/logout"),
    ("GET", "/openapi.json"),
)
SOCKETS = ("/ws", "/api/ws")


def fill_fleet(address) -> None:
    """site1 is the customer's, site3 another's."""
    now = now_ms() // SECOND * SECOND
    for i, name in enumerate(("site1", "site3")):
        word = SECRET if name == "site3" else "own"
        times = range(now - 2 * HOUR, now + 1, MINUTE)
        fill(address, times, name, metadata=[DeviceMetadata(name=word, group=name)], first_order=1 + i * 10_000)
    with closing(open_writer(address)) as writer:
        writer.apply(
            [
                DeviceRow("site3", 40_000, attributes={"version": SECRET}),
                Transition(
                    ALERT, 50_002, "site3", "voltage_high", now, now, "warning", "raised", 250.0, SECRET, now
                ),
                DeadLetter(
                    LETTER, "site3", f"heatpump/site3/{SECRET}", now, "not_json", SECRET, SECRET.encode(), 15
                ),
                DeadLetter(LETTER + 1, "", SECRET, now, "bad_topic", SECRET, SECRET.encode(), 15),
            ]
        )


@pytest.fixture(scope="module", params=["sqlite", "influxdb"])
def store(request, tmp_path_factory) -> Iterator[object]:
    if request.param == "influxdb":
        with real.installation() as address:
            fill_fleet(address)
            yield address
        return
    path = tmp_path_factory.mktemp("store") / "store.sqlite"
    fill_fleet(path)
    yield path


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> People:
    made = People(tmp_path_factory.mktemp("access") / "access.json")
    for scope in ("read", "command", "admin"):
        made.token(scope, scope, some("site1"))
    made.token("group", "admin", some(groups=("site1",)))
    made.token("over", "admin", expires=long_ago())
    made.token("gone", "admin")
    made.remove("gone")
    made.user("anna", "admin")
    return made


@pytest.fixture(scope="module")
def api(store, people, tmp_path_factory) -> Iterator[Api]:
    data = tmp_path_factory.mktemp("data")
    with demanding(people, store, data=data, metrics_token="a-token-for-metrics") as made:
        yield made


def operations(api: Api) -> list[tuple[str, str, dict]]:
    """Every route that is described, and those that are not."""
    paths = api.get("/openapi.json").json()["paths"]
    described = [(method.upper(), path, one) for path, ways in paths.items() for method, one in ways.items()]
    return described + [(method, path, {}) for method, path in HIDDEN]


def at_site3(path: str) -> str:
    """Fill a path with what is site3's."""
    values = {"device_id": "site3", "alert_id": ALERT, "letter_id": str(LETTER), "step": "validate"}
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", value)
    assert "{" not in path, path
    return path


def is_open(path: str) -> bool:
    return path in OPEN_PATHS


def body_of(method: str) -> dict:
    return {} if method in ("GET", "DELETE") else {"json": {}}


def opens(api: Api, path: str, **options) -> bool:
    try:
        with connect(f"ws://127.0.0.1:{api.port}{path}", **options) as ws:
            ws.send("?")
            return '"pong"' in ws.recv(10)
    except InvalidStatus as refusal:
        assert refusal.response.status_code in (401, 403, 421)
        return False


@pytest.mark.parametrize(
    "method", ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "NONSENSE"]
)
def test_nobody_gets_anything_by_any_method_of_any_route(api, method):
    for _, path, _ in operations(api):
        answer = api.client.request(method, at_site3(path))
        if is_open(path):
            assert SECRET not in answer.text and answer.status_code < 500
        else:
            assert answer.status_code == 401, (method, path)
            assert SECRET not in answer.text
    assert not [path for path in SOCKETS if opens(api, path)]


def credentials(people: People) -> dict[str, dict[str, str]]:
    gone, over = people.bearer("gone"), people.bearer("over")
    token = people.tokens["read"]
    return {
        "none that is known": {"Authorization": "Bearer hpm_wrong"},
        "a prefix of one": {"Authorization": f"Bearer {token[:-1]}"},
        "one and more": {"Authorization": f"Bearer {token}x"},
        "one twice": {"Authorization": f"Bearer {token} {token}"},
        "revoked": gone,
        "expired": over,
        "basic": {"Authorization": "Basic YW5uYTphIGdvb2QgcGFzc3dvcmQ="},
        "no scheme": {"Authorization": token},
        "its digest": {"Authorization": "Bearer " + people.path.read_text().split('"token": "')[1][:64]},
        "a forged session": {"Authorization": "Bearer hps_WyJhbm5hIiwiIiw5OTk5OTk5OTk5XQ.AAAA"},
        "a forged cookie": {"Cookie": "heatpump_session=hps_WyJhbm5hIiwiIiw5OTk5OTk5OTk5XQ.AAAA"},
        "a token as a cookie": {"Cookie": f"heatpump_session={token}"},
        "another header": {"X-Api-Key": token, "X-Auth-Token": token, "Proxy-Authorization": f"Bearer {token}"},
        "another name": {"X-Remote-User": "anna", "X-Forwarded-User": "anna", "X-Forwarded-For": "127.0.0.1"},
        "another address": {
            "X-Original-URL": "/api/health",
            "X-Rewrite-URL": "/",
            "X-Forwarded-Host": "localhost",
        },
        "another method": {"X-HTTP-Method-Override": "OPTIONS"},
        "loopback's name": {"Host": "127.0.0.1", "Forwarded": "for=127.0.0.1"},
    }


def test_whatever_is_no_credential_opens_no_route(api, people):
    for name, headers in credentials(people).items():
        for method, path, _ in operations(api):
            if not is_open(path):
                answer = api.client.request(method, at_site3(path), headers=headers, **body_of(method))
                assert answer.status_code in (401, 403), (name, method, path)
                assert SECRET not in answer.text
        handed = {key: value for key, value in headers.items() if key != "Host"}
        assert not [path for path in SOCKETS if opens(api, path, additional_headers=handed)], name


def test_a_token_in_the_query_opens_no_route(api, people):
    token = people.tokens["read"]
    names = (
        "token",
        "access_token",
        "api_key",
        "key",
        "auth",
        "Authorization",
        "bearer",
        "heatpump_session",
        "session",
    )
    query = "&".join(f"{name}={word}{token}" for name in names for word in ("", "Bearer%20"))
    for method, path, _ in operations(api):
        if not is_open(path):
            assert api.client.request(method, f"{at_site3(path)}?{query}").status_code == 401, path
    assert not [path for path in SOCKETS if opens(api, f"{path}?{query}")]


def test_the_metrics_token_opens_the_metrics_alone(api):
    headers = {"Authorization": "Bearer a-token-for-metrics"}
    for method, path, _ in operations(api):
        if not is_open(path) and path != "/metrics":
            assert (
                api.client.request(method, at_site3(path), headers=headers, **body_of(method)).status_code == 403
            )
    assert not [path for path in SOCKETS if opens(api, path, additional_headers=headers)]


@pytest.mark.parametrize("name", ["read", "command", "admin", "group"])
def test_a_customers_token_gives_nothing_of_anothers_site_by_any_route(api, people, name):
    """Path, filter and body name site3; the answer never holds its word, and no command gets through to the flow."""
    tried = 0
    for method, path, operation in operations(api):
        filters = [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"]
        for query in ("", "device_id=site3", "device_id=site1&device_id=site3"):
            if query and "device_id" not in filters:
                continue
            for more in ("", "format=csv", "state=all&limit=500", "hours=168&limit=500"):
                if more and more.partition("=")[0] not in filters:
                    continue
                url = f"{at_site3(path)}?{query}&{more}"
                answer = api.client.request(method, url, headers=people.bearer(name), **body_of(method))
                tried += 1
                assert SECRET not in answer.text and SECRET not in str(answer.headers), (method, url)
                if "{" in path:
                    assert answer.status_code in (403, 404), (method, url, answer.text)
                elif method != "GET" and not is_open(path):
                    assert answer.status_code in (403, 404, 422)
                elif answer.status_code == 200 and not is_open(path):
                    assert "site3" not in answer.text, (method, url)
    assert tried > 40


TRAVERSALS = (
    "/api/devices/site1/../site3/{}",
    "/api/devices/site1/..%2fsite3/{}",
    "/api/devices/site1%2f..%2fsite3/{}",
    "/api/devices/./site3/{}",
    "/api/devices//site3/{}",
    "/api/devices/%2e%2e/devices/site3/{}",
    "/api/devices/site1%00site3/{}",
    "/api/devices/site3%00/{}",
    "/api/devices/site1;site3/{}",
    "/api/devices/site3;/{}",
    "/api/devices/site3%20/{}",
    "/api/devices/%20site3/{}",
    "/api/devices/SITE3/{}",
    "/api/devices/site3./{}",
    "/api/devices/%ef%bd%93ite3/{}",
    "/api/devices/site%33/{}",
    "/api/devices/site%2533/{}",
    "/api/devices/site1,site3/{}",
    "/api/devices/*/{}",
    "/api/devices/%25/{}",
    "/api/devices/site_/{}",
    "/api/devices/../../../../etc/passwd/{}",
    "/api/devices/..%2f..%2f..%2f..%2fetc%2fpasswd/{}",
    "/api/devices/%c0%ae%c0%ae%2fsite3/{}",
    "/api/health/../devices/site3/{}",
    "/docs/../api/devices/site3/{}",
    "//api/devices/site3/{}",
    "http://127.0.0.1/api/devices/site3/{}",
    "/api/devices/site1/%2e%2e/site3/{}",
    "/API/devices/site3/{}",
    "/api/devices/site1\\..\\site3/{}",
)


@pytest.mark.parametrize("pattern", TRAVERSALS)
def test_no_way_of_writing_a_path_leads_to_anothers_site(api, people, pattern):
    """As bytes on a socket: a client of ours would tidy the path up."""
    for end in ("status", "readings", "series?format=csv", "walk", "episodes"):
        for name in ("admin", "group"):
            answer = raw(
                api, f"GET {pattern.format(end)} HTTP/1.1", f"Authorization: Bearer {people.tokens[name]}"
            )
            assert SECRET.encode() not in answer and b"root:" not in answer
            assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400", b"HTTP/1.1 422", b"HTTP/1.1 307")), answer[
                :80
            ]
        anonymous = raw(api, f"GET {pattern.format(end)} HTTP/1.1")
        assert anonymous.startswith((b"HTTP/1.1 401", b"HTTP/1.1 400")), anonymous[:80]


def raw(api: Api, *lines: str, body: bytes = b"") -> bytes:
    """Send what no client would; all that comes back."""
    head = "\r\n".join([*lines, f"Host: 127.0.0.1:{api.port}", "Connection: close", "", ""])
    with socket.create_connection(("127.0.0.1", api.port), timeout=20) as connection:
        answer = b""
        try:
            connection.sendall(head.encode("latin-1") + body)
            while part := connection.recv(65_536):
                answer += part
        except ConnectionError:
            pass  # refused while it was still being sent
    return answer


INJECTIONS = (
    "' OR '1'='1",
    "site1' OR device_id='site3",
    "'; DROP TABLE device; --",
    "1; DELETE FROM raw",
    '" OR ""="',
    "x') UNION SELECT * FROM device --",
    "site1' UNION SELECT name, sql FROM sqlite_master --",
    "%' ESCAPE '\\",
    '") |> yield(name: "x") //',
    '" or r.device_id == "site3',
    'site1" or true or "',
    "${site3}",
    '\\" or true //',
    'from(bucket: "sensor_data") |> range(start: 0)',
    "*",
    "site3\n",
    "site1\x00site3",
    "\ud7ff\uffff",
    "{{7*7}}",
    "$(id)",
    "`id`",
    "../../../../etc/passwd",
    "<script>alert(1)</script>",
    "\r\nSet-Cookie: a=b",
    "A" * 5_000,
    "-1",
    "1e400",
    "NaN",
    "9" * 30,
    "[]",
    "%s%n%x",
    "=cmd|' /C calc'!A0",
)


def test_what_is_injected_into_any_parameter_is_a_value_and_nothing_else(api, people):
    """With the first token, so that each reaches the store; then with the customer's, which it must not widen."""
    tried = 0
    for method, path, operation in operations(api):
        for parameter in operation.get("parameters", []):
            for text in INJECTIONS:
                first, customer = (
                    injected(api, method, path, parameter, text, {"Authorization": f"Bearer {token}"})
                    for token in (FIRST, people.tokens["admin"])
                )
                tried += 1
                assert first.status_code in (200, 307, 400, 404, 409, 422, 503), (
                    method,
                    path,
                    parameter["name"],
                    text,
                )
                assert SECRET not in customer.text, (method, path, parameter["name"], text)
                assert customer.status_code != 500 and "set-cookie" not in customer.headers
                if first.status_code == 503:
                    assert "the flow" in first.text, first.text  # never the store
    assert tried > 1_500
    devices = api.get("/api/devices", headers={"Authorization": f"Bearer {FIRST}"}).json()
    assert [device["device_id"] for device in devices] == ["site1", "site3"]
    assert api.get("/api/stats", headers={"Authorization": f"Bearer {FIRST}"}).json()["total_readings"] == 242


def injected(api: Api, method: str, path: str, parameter: dict, text: str, headers: dict[str, str]):
    """Send one with the text in one parameter, everything else as it should be."""
    name, where = parameter["name"], parameter["in"]
    if where == "path":
        path = path.replace(f"{{{name}}}", quoted(text))
    elif where == "header":
        headers = {**headers, name: text.encode("utf-8", "replace").translate(None, b"\r\n\x00")}
    query = {name: text} if where == "query" else {}
    path = path.replace("{device_id}", "site1").replace("{step}", "validate")
    path = path.replace("{alert_id}", "site1/voltage_high/1").replace("{letter_id}", "1")
    return api.client.request(method, path, params=query or None, headers=headers, **body_of(method))


def quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text.encode("utf-8", "replace"), safe="")


def test_what_is_injected_into_any_field_of_a_body_is_refused_or_kept_as_it_is(api):
    fields = ("name", "location", "timezone", "refrigerant", "group", "spf_boundary", "limits", "valid_from")
    for text in INJECTIONS:
        bodies = [
            *({field: text} for field in fields),
            {"by": text},
            {text: text},
            {"limits": {text: {"warning": 1}}},
        ]
        for body in bodies:
            for method, path in (("PUT", "/api/devices/site1"), ("POST", f"/api/alerts/{ALERT}/ack")):
                headers = {"Authorization": f"Bearer {FIRST}"}
                answer = api.client.request(method, path, json=body, headers=headers)
                assert answer.status_code in (422, 503), (path, body)


@pytest.mark.parametrize("origin", ["https://evil.example.org", "null", "http://127.0.0.1", "file://", "http://127.0.0.1.evil.example.org"])  # fmt: skip
def test_a_foreign_page_opens_no_websocket_and_changes_nothing_whatever_it_holds(api, people, origin):
    for headers in (people.bearer("admin"), {}):
        for path in SOCKETS:
            assert not opens(api, path, origin=origin, additional_headers=headers)
            assert not opens(api, path, origin=origin, subprotocols=["bearer", people.tokens["admin"]])
    for method, path, _ in operations(api):
        if method != "GET":
            headers = {**people.bearer("admin"), "Origin": origin}
            assert api.client.request(method, at_site3(path), headers=headers).status_code == 403, path
    headers = {**people.bearer("read"), "Origin": origin}
    assert "access-control-allow-origin" not in api.get("/api/devices", headers=headers).headers


def test_a_body_that_is_too_large_is_refused_before_it_is_read(api, people):
    bearer = f"Authorization: Bearer {people.tokens['admin']}"
    kind = "Content-Type: application/json"
    for method, path, _ in operations(api):
        if method in ("GET", "DELETE"):
            continue
        path = path.replace("{device_id}", "site1").replace("{letter_id}", "1").replace("{alert_id}", "a/b/1")
        claimed = raw(api, f"{method} {path} HTTP/1.1", bearer, kind, "Content-Length: 1000000000")
        assert claimed.startswith((b"HTTP/1.1 413", b"HTTP/1.1 303")), (path, claimed[:200])
        chunks = b"fa00\r\n" + b"x" * 0xFA00 + b"\r\n"
        endless = raw(
            api, f"{method} {path} HTTP/1.1", bearer, kind, "Transfer-Encoding: chunked", body=chunks * 40
        )
        assert endless.startswith((b"HTTP/1.1 413", b"HTTP/1.1 303")) or not endless, (path, endless[:200])
    anonymous = raw(
        api, "PUT /api/devices/site1 HTTP/1.1", kind, "Content-Length: 1000000000", body=b"x" * 100_000
    )
    assert anonymous.startswith((b"HTTP/1.1 401", b"HTTP/1.1 413")) or not anonymous


def test_headers_and_lines_that_are_too_large_or_make_no_sense_are_refused_and_harm_nothing(api, people):
    bearer = f"Authorization: Bearer {people.tokens['read']}"
    for lines in (
        ("GET /api/devices HTTP/1.1", bearer, "X-Long: " + "x" * 1_000_000),
        ("GET /api/devices HTTP/1.1", bearer, *(f"X-{i}: {'y' * 100}" for i in range(5_000))),
        ("GET /api/devices?" + "x" * 200_000 + " HTTP/1.1", bearer),
        ("GET /api/devices HTTP/1.1", "Authorization: Bearer " + "x" * 1_000_000),
        ("GET /api/devices HTTP/1.1", bearer, "Content-Length: -1"),
        ("GET /api/devices HTTP/1.1", bearer, "Content-Length: 5", "Content-Length: 6"),
        ("GET /api/devices HTTP/1.1", bearer, "Transfer-Encoding: chunked, identity"),
        ("GET  /api/devices  HTTP/1.1", bearer),
        ("\x00\x01\x02", bearer),
    ):
        answer = raw(api, *lines)
        assert not answer.startswith(b"HTTP/1.1 200") and b"500" not in answer[:20], lines[0][:80]
    ok = raw(api, "GET /api/devices HTTP/1.1", bearer)
    assert ok.startswith(b"HTTP/1.1 200") and b"site1" in ok


def test_two_credentials_that_disagree_never_add_up(api, people):
    """The header counts, whatever else is shown; a wrong one is not made good by a right cookie."""
    answer = api.post("/login", data={"name": "anna", "password": "a good password"})
    cookie = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
    api.client.cookies.clear()
    assert len(api.get("/api/devices", headers=cookie).json()) == 2
    both = api.get("/api/devices", headers=cookie | people.bearer("read")).json()
    assert [device["device_id"] for device in both] == ["site1"]
    assert api.get("/api/devices", headers=cookie | {"Authorization": "Bearer wrong"}).status_code == 401
    doubled = raw(
        api,
        "GET /api/devices HTTP/1.1",
        f"Authorization: Bearer {people.tokens['read']}",
        f"Authorization: Bearer {FIRST}",
    )
    assert SECRET.encode() not in doubled


def test_a_request_that_was_taken_cannot_be_replayed_once_its_token_is_revoked(api, people):
    people.token("replayed", "admin", some("site1"))
    headers = {**people.bearer("replayed"), "Idempotency-Key": "once"}
    wait_for(lambda: api.put("/api/devices/site1", json={}, headers=headers).status_code == 503, "the new token")
    people.remove("replayed")
    wait_for(lambda: api.put("/api/devices/site1", json={}, headers=headers).status_code == 401, "the revocation")


def test_an_answer_says_nothing_of_the_machine(api, people):
    own = [("PUT", "/api/devices/site1", {}), ("DELETE", "/api/devices/site1", {}), ("GET", "/api/walk", {})]
    for method, path, _ in operations(api) + own:
        answer = api.client.request(method, at_site3(path), headers=people.bearer("admin"), **body_of(method))
        assert "server" not in answer.headers
        for place in ("/tmp/", "/home/", "Traceback", "site-packages", "sqlite3", str(people.path)):
            assert place not in answer.text.replace("secrets/api-token", "") or is_open(path), (path, place)


def test_where_a_store_is_that_is_away_is_told_only_to_who_may_see_all(people, tmp_path):
    with demanding(people, tmp_path / "none.sqlite") as api:
        for path in ("/api/devices", "/api/alerts", "/api/devices/site1/status", "/api/walk"):
            everything, some_of_it = (
                api.get(path, headers=people.bearer(name)).text for name in ("first", "admin")
            )
            assert "none.sqlite" in everything and "none.sqlite" not in some_of_it, path


@contextmanager
def timed() -> Iterator[list[float]]:
    took: list[float] = []
    begin = time.perf_counter()
    yield took
    took.append(time.perf_counter() - begin)


def test_a_hundred_who_log_in_at_once_hold_up_nobody_else(api, people):
    """Passwords are compared one at a time, and those who wait are bounded."""
    from concurrent.futures import ThreadPoolExecutor

    import httpx

    def guess(i: int) -> int:
        url = f"http://127.0.0.1:{api.port}/login"
        headers = {"X-Forwarded-For": f"10.1.{i // 250}.{i % 250}"}
        data = {"name": f"n{i}", "password": "x"}
        return httpx.post(url, data=data, headers=headers, trust_env=False, verify=False, timeout=100).status_code

    with ThreadPoolExecutor(40) as pool:
        guesses = [pool.submit(guess, i) for i in range(100)]
        with timed() as took:
            assert api.get("/api/devices", headers=people.bearer("read")).status_code == 200
        statuses = {guess.result() for guess in guesses}
    assert took[0] < 5
    assert statuses == {401, 429}


def test_on_loopback_too_a_customers_token_gives_nothing_of_anothers(people, store, tmp_path):
    from flows.settings import load_settings

    settings = load_settings(data=tmp_path, access=str(people.path))
    with running(settings, store) as local:
        for method, path, _ in operations(local):
            answer = local.client.request(method, at_site3(path), headers=people.bearer("read"), **body_of(method))
            assert SECRET not in answer.text
            assert json.dumps(dict(answer.headers)).count(SECRET) == 0
