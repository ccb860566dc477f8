"""Who has no right gets nothing: by every route, generated from the API's own description."""

import json

import pytest

from tests.api.conftest import running
from tests.api.penetration.attacker import SECRET, SOCKETS, at_site3, body_of, is_open, opens, operations, raw
from tests.api.people import FIRST, People, demanding

pytestmark = pytest.mark.slow


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


def test_where_a_store_is_that_is_away_is_told_only_to_who_may_see_all(people, tmp_path):
    with demanding(people, tmp_path / "none.sqlite") as api:
        for path in ("/api/devices", "/api/alerts", "/api/devices/site1/status", "/api/walk"):
            everything, some_of_it = (
                api.get(path, headers=people.bearer(name)).text for name in ("first", "admin")
            )
            assert "none.sqlite" in everything and "none.sqlite" not in some_of_it, path


def test_on_loopback_too_a_customers_token_gives_nothing_of_anothers(people, store, tmp_path):
    from flows.settings import load_settings

    settings = load_settings(data=tmp_path, access=str(people.path))
    with running(settings, store) as local:
        for method, path, _ in operations(local):
            answer = local.client.request(method, at_site3(path), headers=people.bearer("read"), **body_of(method))
            assert SECRET not in answer.text
            assert json.dumps(dict(answer.headers)).count(SECRET) == 0
