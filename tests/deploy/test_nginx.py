"""nginx as compose runs it (its user, a root nobody may write, its files), between a client and two servers that answer what they were asked."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.deploy.echo import SESSION, echoing
from tests.deploy.nginx_site import Site
from tests.deploy.runner import Machine, needed
from tests.deploy.wire import HOST, HTTP, HTTPS, Answer, ask, connected
from tests.flows import wait_for

pytestmark = [pytest.mark.slow, needed("nginx")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with (
        Machine(tmp_path_factory.mktemp("nginx"), ["backend", "panel"]) as machine,
        echoing("backend", 8000) as backend,
        echoing("panel", 5006) as panel,
    ):
        made = Site(machine)
        made.backend, made.panel = backend, panel
        yield made


def page(path: str, **headers: str) -> Answer:
    return ask(path, Cookie=SESSION, **headers)


def test_it_is_user_101_without_a_right_and_cannot_write_its_root(site: Site):
    told = site.nginx.run("sh", "-c", "id -u; grep Cap /proc/1/status; touch /etc/nginx/x /x; ls /tmp")
    assert told.stdout.startswith("101\n")
    assert {line.split()[1] for line in told.stdout.splitlines() if line.startswith("Cap")} == {"0" * 16}
    assert told.stderr.count("Read-only") == 2
    assert "nginx" in told.stdout


@pytest.mark.parametrize("path", ["/", "/pipeline?device=site1&x=2", "/api/devices", "/login", "/metrics"])
def test_plain_http_is_sent_to_https(site: Site, path: str):
    answer = ask(path, port=HTTP, Host=f"{HOST}:8080")
    assert (answer.status, answer.header("location")) == (308, f"https://{HOST}{path}")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "localhost:8080"])
def test_this_machine_itself_is_answered_without_tls(site: Site, host: str):
    answer = ask("/pipeline", port=HTTP, Host=host, Cookie=SESSION)
    assert answer.status == 200
    assert answer.json["headers"]["host"] == host
    assert answer.json["headers"]["x-forwarded-proto"] == "http"
    assert answer.header("strict-transport-security") is None


@pytest.mark.parametrize("host", ["localhost.example", "127.0.0.10", "127.0.0.1.example", "", "xlocalhost"])
def test_a_name_that_only_resembles_this_machine_is_not_answered_without_tls(site: Site, host: str):
    assert ask("/pipeline", port=HTTP, Host=host, Cookie=SESSION).status in (308, 400)


@pytest.mark.parametrize(
    ("path", "to"),
    [
        ("/api/devices?x=1", "backend"),
        ("/api/devices/ws", "backend"),
        ("/login", "backend"),
        ("/logout", "backend"),
        ("/docs", "backend"),
        ("/openapi.json", "backend"),
        ("/", "panel"),
        ("/pipeline", "panel"),
        ("/csv/site1?fields=power", "panel"),
        ("/static/js/bokeh.min.js", "panel"),
        ("/assets/page.css", "panel"),
        ("/apiary", "panel"),
    ],
)
def test_each_address_has_one_place(site: Site, path: str, to: str):
    answer = page(path)
    assert (answer.status, answer.json["name"], answer.json["path"]) == (200, to, path)


@pytest.mark.parametrize(
    ("path", "protocol", "to"),
    [
        ("/ws", None, "backend"),
        ("/ws", "bearer, hpm_1", "backend"),
        ("/api/ws", None, "backend"),
        ("/ws", "bokeh, token", "panel"),
        ("/pipeline/ws", "bokeh, token", "panel"),
    ],
)
def test_a_websocket_finds_its_place_by_its_protocol_too(site: Site, path: str, protocol: str | None, to: str):
    given = {"Upgrade": "websocket", "Connection": "Upgrade", "Origin": f"https://{HOST}"}
    answer = page(path, **given, **({"Sec_WebSocket_Protocol": protocol} if protocol else {}))
    assert (answer.json["name"], answer.json["path"]) == (to, path)
    told = answer.json["headers"]
    assert (told["upgrade"], told["connection"], told["origin"]) == ("websocket", "upgrade", f"https://{HOST}")
    assert told.get("sec-websocket-protocol") == protocol


def test_a_page_s_websocket_without_a_session_is_refused(site: Site):
    given = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Protocol": "bokeh, token"}
    assert ask("/ws", **given).status == ask("/pipeline/ws", **given).status == 401


def test_host_and_origin_are_kept_and_what_a_visitor_says_of_proxies_is_not(site: Site):
    lies = {name: "10.9.9.9" for name in ("X_Forwarded_For", "X_Real_IP", "X_Forwarded_Host", "X_Forwarded_Proto")}
    told = ask("/api/x", Host=f"{HOST}:444", Origin="https://e.example", Forwarded="for=10.9.9.9", **lies).json
    assert "10.9.9.9" not in json.dumps(told)
    headers = told["headers"]
    assert (headers["host"], headers["x-forwarded-host"]) == (f"{HOST}:444", f"{HOST}:444")
    assert headers["origin"] == "https://e.example"
    assert (headers["x-forwarded-for"], headers["x-forwarded-proto"]) == ("127.0.0.1", "https")


@pytest.mark.parametrize(
    ("path", "back"),
    [
        ("/", "/"),
        ("/pipeline", "/pipeline"),
        ("/?device=site1", "/?device=site1"),
        ("/?device=site1&span=24h", "/?device=site1%26span=24h"),
        ("/?a=1&b=2&c=3&d=4", "/?a=1%26b=2%26c=3%26d=4"),
        ("/?a=1&b=2&c=3&d=4&e=5&f=6", "/"),
        ("/?a=x%26y", "/"),
        ("/?a=x+y", "/"),
    ],
)
def test_a_page_without_a_session_leads_to_the_log_in_and_back(site: Site, path: str, back: str):
    site.panel.asked.clear()
    answer = ask(path)
    assert (answer.status, answer.header("location")) == (302, f"/login?next={back}")
    assert site.panel.asked == []


def test_an_open_page_asks_for_its_server_without_the_api(site: Site):
    site.backend.asked.clear()
    assert ask("/alive").json["name"] == "panel"
    assert site.backend.asked == []


def test_who_asks_is_asked_for_each_page_with_the_visitor_s_own_credential(site: Site):
    site.backend.asked.clear()
    ask("/csv/site1?x=1", method="POST", body=b"payload", Cookie=SESSION, Authorization="Bearer hpm_1")
    (asked,) = site.backend.asked
    assert (asked["method"], asked["path"]) == ("GET", "/api/session")
    assert asked["headers"]["cookie"] == SESSION
    assert asked["headers"]["authorization"] == "Bearer hpm_1"
    assert asked["headers"].get("content-length", "0") == "0"


PROMISED = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
}


@pytest.mark.parametrize(
    "path", ["/", "/api/devices", "/docs", "/metrics", "/static/x.js", "/%zz", "/?own", "/api/own"]
)
def test_every_answer_has_the_promised_headers_once(site: Site, path: str):
    answer = page(path)
    for name, value in PROMISED.items():
        assert answer.header(name) == value
    assert "camera=()" in (answer.header("permissions-policy") or "")
    policy = answer.header("content-security-policy") or ""
    assert policy == "default-src 'none'" if "own" in path else "frame-ancestors 'none'" in policy
    assert answer.header("server") == "nginx"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/static/js/bokeh.min.js?v=abc", "public, max-age=31536000, immutable"),
        ("/static/js/bokeh.min.js", "no-cache"),
        ("/assets/page.css", "no-cache"),
        ("/", "no-store"),
        ("/api/devices", "no-store"),
        ("/metrics?/static/x?v=1", "no-store"),
        ("/assets/own.css", "max-age=9"),
    ],
)
def test_what_never_changes_is_kept_and_what_is_somebody_s_is_not(site: Site, path: str, said: str):
    assert page(path).header("cache-control") == said


def test_long_texts_are_packed(site: Site):
    answer = ask("/api/long", Accept_Encoding="gzip")
    assert answer.header("content-encoding") == "gzip" and len(answer.body) < 1_000
    assert answer.json["long"] == "x" * 2_000
    assert answer.header("vary") == "Accept-Encoding"


@pytest.mark.parametrize(
    "path",
    [
        "/metrics",
        "//metrics",
        "/./metrics",
        "/%6detrics",
        "/api/../metrics",
        "/api/%2e%2e/metrics",
        "/api/..%2fmetrics",
    ],
)
def test_counters_are_not_given_outside(site: Site, path: str):
    site.backend.asked.clear()
    assert page(path, Authorization="Bearer hpm_1").status == 403
    assert site.backend.asked == []


def test_the_log_has_neither_query_nor_credential(site: Site):
    ask(
        "/api/devices/site1?token=SECRET1",
        Authorization="Bearer SECRET2",
        Cookie="a=SECRET3",
        Referer="https://x/?SECRET4",
    )
    ask("/login?next=/?SECRET5", method="POST", body=b"password=SECRET6")
    ask("/ws?SECRET7", Sec_WebSocket_Protocol="bearer, SECRET8")
    wait_for(lambda: site.log()[-1]["path"] == "/ws")
    newest = next(line for line in reversed(site.log()) if line["path"] == "/api/devices/site1")
    assert (newest["method"], newest["status"], newest["upstream_status"]) == ("GET", 200, "200")
    assert "SECRET" not in site.nginx.said


def test_a_request_that_is_too_large_is_refused_in_words(site: Site):
    answer = ask("/api/devices/site1", method="PUT", body=b"x" * 1_100_000)
    assert answer.status == 413
    assert answer.json == {"detail": "The request is larger than 1 MB; no request needs more."}


def test_a_container_that_comes_back_elsewhere_is_found(site: Site):
    assert ask("/api/x").json["at"] == "127.0.0.1"
    site.machine.resolve(backend="127.0.0.2")
    wait_for(lambda: ask("/api/x").json["at"], lambda at: at == "127.0.0.2")
    site.machine.resolve(backend="127.0.0.1")
    wait_for(lambda: ask("/api/x").json["at"], lambda at: at == "127.0.0.1")


def test_a_stop_does_not_wait_for_open_connections_nor_for_ever_for_an_answer(site: Site):
    with closing(connected(HTTPS)) as idle, closing(connected(HTTP)) as waiting:
        idle.connect()
        waiting.request("GET", "/api/never", headers={"Host": "localhost"})
        wait_for(lambda: site.backend.asked[-1:] and site.backend.asked[-1]["path"] == "/api/never")
        code, seconds = site.nginx.stop()
    assert (code, seconds < site.nginx.container.grace_s) == (0, True)
    site.start()


def test_what_is_away_is_told_in_a_sentence_and_back_without_a_restart(tmp_path: Path):
    with Machine(tmp_path / "machine") as machine:
        site = Site(machine)  # which starts even where the names have no address
        answer = ask("/api/x")
        assert answer.status == 503
        assert "does not answer" in answer.json["detail"]
        assert answer.header("retry-after") == "5"
        for path in ("/", "/static/x.js", "/login", "/docs"):
            answer = page(path)
            assert (answer.status, answer.header("content-type")) == (503, "text/html; charset=utf-8")
            assert "does not answer" in answer.text and "nginx" not in answer.text
        machine.resolve(backend="127.0.0.1", panel="127.0.0.1")
        with echoing("backend", 8000), echoing("panel", 5006):
            # Each name is looked up by itself, and again only after a while.
            wait_for(lambda: {page("/").status, ask("/api/x").status}, lambda both: both == {200})
        assert ask("/api/x").status == page("/").status == 503
        assert site.nginx.ended is None
