"""Requests that are too large, make no sense, come from a foreign page, again, or a hundred at once."""

import threading
from collections import Counter

import pytest

from api.login import MOST_AT_ONCE
from flows.access import passwords
from tests.api.conftest import PATIENCE_S, wait_for
from tests.api.penetration.attacker import SOCKETS, at_site3, body_of, is_open, opens, operations, raw
from tests.api.people import some

pytestmark = pytest.mark.slow


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


def test_a_hundred_who_log_in_at_once_hold_up_nobody_else(api, people, monkeypatch):
    """Passwords are compared one at a time, and those who wait are bounded."""
    from concurrent.futures import ThreadPoolExecutor

    import httpx

    def guess(i: int) -> int:
        url = f"http://127.0.0.1:{api.port}/login"
        headers = {"X-Forwarded-For": f"10.1.{i // 250}.{i % 250}"}
        data = {"name": f"n{i}", "password": "x"}
        return httpx.post(
            url, data=data, headers=headers, trust_env=False, verify=False, timeout=2 * PATIENCE_S
        ).status_code

    go, compared = threading.Event(), []

    def for_ever(password: str, kept: str) -> bool:
        compared.append(password)
        assert go.wait(PATIENCE_S)
        return False

    monkeypatch.setattr(passwords, "matches", for_ever)
    with ThreadPoolExecutor(40) as pool:
        guesses = [pool.submit(guess, i) for i in range(100)]
        try:
            refused = 100 - MOST_AT_ONCE
            wait_for(lambda: sum(each.done() for each in guesses) == refused, "those told to come again")
            assert api.get("/api/devices", headers=people.bearer("read")).status_code == 200
            assert len(compared) == 1
        finally:
            go.set()
        statuses = Counter(each.result() for each in guesses)
    assert statuses == {401: MOST_AT_ONCE, 429: refused}
