"""Who may ask: host names, origins, tokens, over real connections."""

import socket
import stat
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from flows.loopback import is_loopback
from flows.settings import load_settings
from tests.api.conftest import Filled, running

OPEN = ("/", "/api/health", "/docs", "/openapi.json")
CLOSED = ("/api/stats", "/api/devices", "/api/alerts", "/api/dead-letters", "/api/pipeline", "/nothing")


def refused_with(url: str, **options) -> int:
    with pytest.raises(InvalidStatus) as refusal, connect(url, **options):
        pass
    return refusal.value.response.status_code


@pytest.fixture(scope="module")
def token() -> str:
    return "a-token-of-this-test"


@pytest.fixture(scope="module")
def guarded(filled: Filled, token: str):
    """An API that is bound beyond loopback, as far as it knows."""
    settings = load_settings(
        data=filled.path.parent, api_host="0.0.0.0", api_token=token, api_origins="https://pumps.example.org"
    )
    with running(settings, filled.path) as api:
        yield api


@pytest.mark.parametrize("host", ["evil.example.org", "127.0.0.1.evil.example.org", "", "[::", "10.0.0.1:8000"])
def test_a_foreign_host_name_is_not_served_on_loopback(api, host):
    answer = api.get("/api/devices", headers={"Host": host})
    assert answer.status_code == 421
    assert repr(host) in answer.json()["detail"]
    assert api.get("/", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000"])
def test_names_of_this_machine_are_served(api, host):
    assert api.get("/api/devices", headers={"Host": host}).status_code == 200


def test_a_foreign_web_page_can_change_nothing(api):
    evil = {"Origin": "https://evil.example.org"}
    assert api.post("/api/alerts/site1/voltage_high/30000/ack", headers=evil).status_code == 403
    assert api.delete("/api/devices/site1", headers=evil).status_code == 403
    assert api.put("/api/devices/site1", headers=evil, json={}).status_code == 403
    ours = {"Origin": f"http://127.0.0.1:{api.port}"}
    assert api.delete("/api/devices/nobody", headers=ours).status_code == 404


def test_a_websocket_from_another_origin_is_refused_before_it_opens(api):
    for path in ("/ws", "/api/ws"):
        assert refused_with(f"ws://127.0.0.1:{api.port}{path}", origin="https://evil.example.org") == 403
        assert refused_with(f"ws://127.0.0.1:{api.port}{path}", origin="null") == 403


def test_a_websocket_without_origin_or_from_our_own_opens(api):
    for origin in (None, f"http://127.0.0.1:{api.port}"):
        with connect(f"ws://127.0.0.1:{api.port}/ws", origin=origin) as ws:
            ws.send("hello")
            assert '"pong"' in ws.recv(5)


def test_a_websocket_with_a_foreign_host_name_is_refused(api):
    with socket.create_connection(("127.0.0.1", api.port)) as connection:
        assert refused_with(f"ws://evil.example.org:{api.port}/ws", sock=connection) == 421


def test_beyond_loopback_every_route_but_four_demands_the_token(guarded, token):
    for path in OPEN:
        assert guarded.get(path).status_code == 200, path
    for path in CLOSED:
        answer = guarded.get(path)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "secrets/api-token" in answer.json()["detail"]
    assert guarded.get("/api/stats", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert guarded.get("/api/stats", headers={"Authorization": f"bearer {token}"}).status_code == 200


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer wrong", "Basic {}", "Bearer {}x", "{}", "Bearer é"])
def test_any_other_authorization_is_refused(guarded, token, value):
    header = value.format(token).encode("latin-1")
    assert guarded.get("/api/stats", headers={"Authorization": header}).status_code == 401


def test_the_token_is_not_taken_from_the_query(guarded, token):
    assert guarded.get(f"/api/stats?token={token}&access_token={token}").status_code == 401
    assert refused_with(f"ws://127.0.0.1:{guarded.port}/ws?token={token}") == 401


def test_a_websocket_shows_its_token_in_a_header_or_as_subprotocol(guarded, token):
    url = f"ws://127.0.0.1:{guarded.port}/ws"
    assert refused_with(url) == 401
    assert refused_with(url, subprotocols=["bearer", "wrong"]) == 401
    assert refused_with(url, subprotocols=["bearer"]) == 401
    with connect(url, additional_headers={"Authorization": f"Bearer {token}"}) as ws:
        ws.send("?")
        assert '"pong"' in ws.recv(5)
    with connect(url, subprotocols=["bearer", token]) as ws:
        assert ws.subprotocol == "bearer"
        ws.send("?")
        assert '"pong"' in ws.recv(5)


def test_an_origin_in_the_settings_may_read_and_change(guarded, token):
    theirs = {"Origin": "https://pumps.example.org", "Authorization": f"Bearer {token}"}
    answer = guarded.get("/api/devices/site1/readings?limit=1", headers=theirs)
    assert answer.headers["access-control-allow-origin"] == "https://pumps.example.org"
    assert answer.headers["access-control-expose-headers"] == "Link"
    assert guarded.delete("/api/devices/nobody", headers=theirs).status_code == 404
    asked = {
        "Origin": "https://pumps.example.org",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    assert guarded.client.options("/api/devices/site1", headers=asked).status_code == 200
    with connect(
        f"ws://127.0.0.1:{guarded.port}/ws",
        origin="https://pumps.example.org",
        subprotocols=["bearer", token],
    ) as ws:
        ws.send("?")
        assert '"pong"' in ws.recv(5)


def test_without_a_token_in_the_settings_one_is_made_that_only_its_owner_reads(filled: Filled, tmp_path: Path):
    with running(load_settings(data=tmp_path, api_host="0.0.0.0"), filled.path) as api:
        file = tmp_path / "secrets" / "api-token"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        token = file.read_text().strip()
        assert len(token) >= 32
        assert api.get("/api/stats").status_code == 401
        assert api.get("/api/stats", headers={"Authorization": f"Bearer {token}"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("127.8.8.8", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.5", False), ("localhost.example.org", False), ("", False)],
)  # fmt: skip
def test_only_addresses_of_this_machine_are_loopback(host, expected):
    assert is_loopback(host) is expected
