"""Who sees what: tokens of a scope and a set of devices on every route, against a real API and store."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import APIRouter

from api.app import _ROUTES
from api.guard import OPEN_PATHS
from api.needs import check_declared, needs_of
from flows.access import file
from flows.model.alert import Transition
from flows.model.dead_letter import DeadLetter
from flows.model.device import DeviceMetadata
from flows.model.rows import DeviceRow
from flows.model.times import now_ms
from flows.settings import load_settings
from flows.store import open_writer
from tests.api.conftest import Api, running, wait_for
from tests.api.people import People, demanding, long_ago, some
from tests.filled import fill

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
NAMES = ("site1", "site2", "site3")


class Fleet:
    """site1 and site2 are of group north, site3 of south; each has readings, an alert, and two dead letters.

    One more letter is of no device, one of site9, which never sent anything that could be read.
    """

    def __init__(self, folder) -> None:
        self.path, self.now = folder / "store.sqlite", now_ms() // SECOND * SECOND
        for i, name in enumerate(NAMES):
            times = range(self.now - (i + 2) * HOUR, self.now + 1, 10 * SECOND)
            metadata = [DeviceMetadata(name=name, group="south" if name == "site3" else "north")]
            fill(self.path, times, device_id=name, metadata=metadata, first_order=1 + i * 10_000)
        self.write(*(item for i, name in enumerate(NAMES) for item in self.troubles(i, name)))
        self.write(self.letter(99_000, "", "bad_topic"), self.letter(98_000, "site9", "not_json"))

    def troubles(self, i: int, name: str):
        at = self.now - HOUR + i * MINUTE
        alert = f"{name}/voltage_high/{50_000 + i}"
        yield Transition(alert, 50_000 + i, name, "voltage_high", at, at, "warning", "raised", 250.0, "why", at)
        yield self.letter(60_000 + i, name, "not_json")
        yield self.letter(61_000 + i, name, "empty")

    def letter(self, order: int, device_id: str, reason: str) -> DeadLetter:
        topic = f"heatpump/{device_id or '+'}/data"
        return DeadLetter(order, device_id, topic, self.now - MINUTE, reason, "why", b"{", 1)

    def write(self, *items) -> None:
        writer = open_writer(self.path)
        writer.apply(list(items))
        writer.close()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory) -> Fleet:
    return Fleet(tmp_path_factory.mktemp("fleet"))


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> People:
    made = People(tmp_path_factory.mktemp("access") / "access.json")
    made.token("all")
    made.token("one", devices=some("site1"))
    made.token("north", devices=some(groups=("north",)))
    made.token("both", devices=some("site3", "site9", groups=("north",)))
    made.token("nothing", devices=some("site7"))
    made.token("operator", "command", some("site1"))
    made.token("owner", "admin", some("site1"))
    made.token("over", devices="all", expires=long_ago())
    return made


@pytest.fixture(scope="module")
def api(people: People, fleet: Fleet) -> Iterator[Api]:
    with demanding(people, fleet.path, online_timeout_s=3600) as made:
        yield made


def asked(api: Api, people: People, name: str, path: str, method: str = "GET", **more):
    return api.client.request(method, path, headers=people.bearer(name), **more)


SEEN = {
    "first": {"site1", "site2", "site3"},
    "all": {"site1", "site2", "site3"},
    "one": {"site1"},
    "north": {"site1", "site2"},
    "both": {"site1", "site2", "site3"},
    "nothing": set(),
}


@pytest.mark.parametrize("name", SEEN)
def test_lists_hold_what_the_account_may_see_and_nothing_else(api, people, name):
    def devices_of(path: str) -> set[str]:
        return {line["device_id"] for line in asked(api, people, name, path).json()}

    seen = SEEN[name]
    nameless = {"", "site9"} if name in ("first", "all") else {"site9"} if name == "both" else set()
    assert devices_of("/api/devices") == seen
    assert devices_of("/api/alerts") == seen
    assert devices_of("/api/alerts?open_only=true&limit=500") == seen
    assert devices_of("/api/dead-letters") == seen | nameless
    assert devices_of("/api/dead-letters/counts") == seen | nameless


@pytest.mark.parametrize("name", ["one", "north"])
def test_to_name_anothers_device_in_a_filter_gives_what_an_unknown_one_gives(api, people, name):
    for path in ("/api/alerts", "/api/dead-letters", "/api/dead-letters/counts"):
        for device_id in ("site3", "site-unknown", ""):
            assert asked(api, people, name, f"{path}?device_id={device_id}").json() == []
        assert asked(api, people, name, f"{path}?device_id=site1").json() != []


def test_pages_stay_inside_the_set(api, people):
    seen, url = [], "/api/dead-letters?limit=1"
    while url:
        answer = asked(api, people, "north", url)
        seen += [letter["device_id"] for letter in answer.json()]
        url = answer.links.get("next", {}).get("url")
    assert sorted(seen) == ["site1", "site1", "site2", "site2"]
    answer = asked(api, people, "one", "/api/devices/site1/readings?limit=2")
    url = answer.links["next"]["url"]
    assert asked(api, people, "one", url).status_code == 200
    assert asked(api, people, "one", url.replace("/site1/", "/site2/")).status_code == 404


def test_a_page_that_follows_is_asked_for_by_tls_where_the_first_one_was(api, people):
    headers = {**people.bearer("one"), "X-Forwarded-Proto": "https"}
    answer = api.client.get("/api/devices/site1/readings?limit=2", headers=headers)
    assert answer.links["next"]["url"].startswith("https://")


def test_totals_are_those_of_its_own_devices(api, people):
    whole = asked(api, people, "all", "/api/stats").json()
    parts = {name: asked(api, people, name, "/api/stats").json() for name in ("one", "north", "nothing")}
    per_hour = 360
    assert parts["one"]["total_readings"] == 2 * per_hour + 1
    assert parts["north"]["total_readings"] == 5 * per_hour + 2
    assert whole["total_readings"] == 9 * per_hour + 3
    assert [parts[name]["total_alerts"] for name in parts] == [1, 2, 0]
    assert [parts[name]["devices_online"] for name in parts] == [1, 2, 0]
    assert parts["one"]["oldest_reading"] > parts["north"]["oldest_reading"] > whole["oldest_reading"]
    assert parts["nothing"]["oldest_reading"] is None


OF_DEVICE = (
    "/api/devices/{}/status",
    "/api/devices/{}/readings",
    "/api/devices/{}/readings?format=csv",
    "/api/devices/{}/readings/latest",
    "/api/devices/{}/series",
    "/api/devices/{}/series?format=csv&resolution=1h",
    "/api/devices/{}/episodes",
    "/api/devices/{}/walk",
)


@pytest.mark.parametrize("path", OF_DEVICE)
@pytest.mark.parametrize("name", ["one", "north"])
def test_anothers_device_answers_as_one_that_is_not_known(api, people, path, name):
    assert asked(api, people, name, path.format("site1")).status_code == 200
    anothers, unknown = (asked(api, people, name, path.format(one)) for one in ("site3", "site8"))
    assert anothers.status_code == unknown.status_code == 404
    assert anothers.json()["detail"].replace("site3", "site8") == unknown.json()["detail"]
    headers = [{k: v for k, v in each.headers.items() if k != "date"} for each in (anothers, unknown)]
    assert headers[0] == headers[1]


def test_the_walk_of_any_is_of_its_own_devices_and_names_no_other(api, people, fleet):
    everybody = asked(api, people, "all", "/api/walk").json()["sentence"]
    assert everybody.startswith(("site1", "site2", "site3", "site9"))
    assert asked(api, people, "one", "/api/walk").json()["sentence"].startswith("site1")
    lost = asked(api, people, "nothing", "/api/walk").json()
    similar = asked(api, people, "nothing", "/api/devices/site7/walk").json()
    for walk in (lost, similar):
        assert "site7" in walk["sentence"]
        assert not any(other in str(walk) for other in ("site1", "site2", "site3", "site9", "+/data"))


def test_an_alert_or_a_letter_of_others_is_not_known(api, people):
    paths = [
        ("POST", "/api/alerts/site3/voltage_high/50002/ack", "/api/alerts/site3/voltage_high/5/ack"),
        ("POST", "/api/dead-letters/60002/retry", "/api/dead-letters/5/retry"),
        ("DELETE", "/api/dead-letters/60002", "/api/dead-letters/5"),
        ("GET", "/api/dead-letters/60002", "/api/dead-letters/5"),
        ("GET", "/api/dead-letters/99000", "/api/dead-letters/5"),
        ("POST", "/api/dead-letters/99000/retry", "/api/dead-letters/5/retry"),
    ]
    for method, theirs, unknown in paths:
        answers = [asked(api, people, "operator", path, method) for path in (theirs, unknown)]
        assert [answer.status_code for answer in answers] == [404, 404], theirs
        ids = [path.removesuffix("/ack").removesuffix("/retry").rpartition("/")[2] for path in (theirs, unknown)]
        assert answers[0].json()["detail"].replace(ids[0], ids[1]) == answers[1].json()["detail"]
    assert asked(api, people, "one", "/api/dead-letters/60000").json()["device_id"] == "site1"


SYSTEM = ("/api/pipeline", "/api/pipeline/nodes/validate")


@pytest.mark.parametrize("path", SYSTEM)
def test_what_is_about_the_whole_system_needs_all_devices(api, people, path):
    for name in ("one", "north", "both", "owner"):
        answer = asked(api, people, name, path)
        assert answer.status_code == 403
        assert "about all devices" in answer.json()["detail"] and repr(name) in answer.json()["detail"]
    assert asked(api, people, "all", path).status_code == 503  # there is no flow


COMMANDS = (
    ("PUT", "/api/devices/site1", {"name": "Cabin"}, "command"),
    ("POST", "/api/alerts/site1/voltage_high/50000/ack", None, "command"),
    ("POST", "/api/dead-letters/60000/retry", None, "command"),
    ("DELETE", "/api/dead-letters/60000", None, "command"),
    ("DELETE", "/api/devices/site1", None, "admin"),
    ("PUT", "/api/devices/site1", {"group": "south"}, "admin"),
)


@pytest.mark.parametrize(("method", "path", "body", "scope"), COMMANDS)
def test_a_command_needs_its_scope(api, people, method, path, body, scope):
    """Who may passes, and meets the flow that is not there."""
    expected = {"one": 403, "operator": 503 if scope == "command" else 403, "owner": 503, "first": 503}
    for name, status in expected.items():
        answer = asked(api, people, name, path, method, json=body)
        assert answer.status_code == status, (name, answer.text)
        if status == 403:
            assert "needs the scope" in answer.json()["detail"] and repr(name) in answer.json()["detail"]


def test_to_name_the_group_as_it_is_is_no_change(api, people):
    answer = asked(api, people, "operator", "/api/devices/site1", "PUT", json={"group": "north"})
    assert answer.status_code == 503
    answer = asked(api, people, "operator", "/api/devices/site1", "PUT", json={"group": ""})
    assert answer.status_code == 403
    then = {"group": "north", "valid_from": "1970-01-01T00:00:00Z"}
    assert asked(api, people, "operator", "/api/devices/site1", "PUT", json=then).status_code == 503


def test_who_has_no_scope_is_told_so_whichever_device_it_names(api, people):
    """Else the answer would tell a device of others from one that there is not."""
    answers = [asked(api, people, "one", f"/api/devices/{one}", "DELETE") for one in ("site1", "site3", "site8")]
    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert len({answer.text for answer in answers}) == 1
    operators = [
        asked(api, people, "operator", f"/api/devices/{one}", "PUT", json={}) for one in ("site3", "site8")
    ]
    assert [answer.status_code for answer in operators] == [404, 404]


@pytest.mark.parametrize("name", ["one", "north", "operator", "first"])
def test_a_session_tells_who_one_is(api, people, name):
    told = asked(api, people, name, "/api/session").json()
    expected = {
        "one": {"name": "one", "scope": "read", "devices": {"ids": ["site1"], "groups": []}, "expires": None},
        "north": {"name": "north", "scope": "read", "devices": {"ids": [], "groups": ["north"]}, "expires": None},
        "operator": {"name": "operator", "scope": "command", "devices": {"ids": ["site1"], "groups": []}, "expires": None},
        "first": {"name": "api-token", "scope": "admin", "devices": "all", "expires": None},
    }  # fmt: skip
    assert told == expected[name]


def test_without_a_credential_there_is_no_session_but_on_loopback(api, fleet, tmp_path):
    assert api.get("/api/session").status_code == 401
    with running(load_settings(data=tmp_path), fleet.path) as local:
        told = {"name": "", "scope": "admin", "devices": "all", "expires": None}
        assert local.get("/api/session").json() == told


def test_on_loopback_a_credential_that_is_given_is_obeyed_or_refused(fleet, people, tmp_path):
    settings = load_settings(data=tmp_path, access=str(people.path))
    with running(settings, fleet.path) as local:
        assert len(local.get("/api/devices").json()) == 3
        assert len(local.get("/api/devices", headers=people.bearer("one")).json()) == 1
        assert local.get("/api/devices", headers=people.bearer("over")).status_code == 401
        assert local.get("/api/devices", headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert local.get("/api/devices", headers={"Authorization": "Basic YTpi"}).status_code == 401
        assert local.delete("/api/devices/site1", headers=people.bearer("one")).status_code == 403


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "X-Forwarded-Proto", "Forwarded", "Via"])
def test_what_a_proxy_passes_on_to_loopback_is_not_from_this_machine(fleet, people, tmp_path, header):
    settings = load_settings(data=tmp_path, access=str(people.path), api_origins="https://pumps.example.org")
    with running(settings, fleet.path) as local:
        assert local.get("/api/devices", headers={header: "10.0.0.1"}).status_code == 401
        assert local.get("/api/devices", headers={header: "10.0.0.1"} | people.bearer("one")).status_code == 200
        assert local.get("/api/devices", headers={"Host": "pumps.example.org"}).status_code == 401
        assert local.get("/api/health", headers={header: "10.0.0.1"}).status_code == 200


@pytest.mark.slow
def test_a_token_that_is_revoked_is_refused_while_the_api_runs(api, people):
    people.token("leaver")
    wait_for(lambda: asked(api, people, "leaver", "/api/devices").status_code == 200, "the new token")
    people.remove("leaver")
    wait_for(lambda: asked(api, people, "leaver", "/api/devices").status_code == 401, "the revocation")
    assert "was revoked" in asked(api, people, "leaver", "/api/devices").json()["detail"]


@pytest.mark.slow
def test_a_device_that_changes_its_group_changes_who_sees_it(api, people, fleet):
    """By what its metadata says now, though it held otherwise when the readings came."""
    order = 900_000

    def move(*groups: tuple[int, str]) -> None:
        nonlocal order
        order += 1
        history = [DeviceMetadata(valid_from=at, name="site3", group=group) for at, group in groups]
        fleet.write(DeviceRow("site3", order, metadata=history))

    def seen() -> set[str]:
        return {device["device_id"] for device in asked(api, people, "north", "/api/devices").json()}

    move((0, "south"), (fleet.now - HOUR, "north"))
    assert asked(api, people, "north", "/api/devices/site3/readings/latest").status_code == 200
    assert seen() == {"site1", "site2", "site3"}
    wait_for(lambda: len(asked(api, people, "north", "/api/alerts").json()) == 3, "the group's alerts")
    move((0, "north"), (fleet.now - HOUR, "south"), (fleet.now + 24 * HOUR, "north"))
    assert asked(api, people, "north", "/api/devices/site3/readings/latest").status_code == 404
    assert seen() == {"site1", "site2"}
    wait_for(lambda: len(asked(api, people, "north", "/api/alerts").json()) == 2, "the group's alerts")


def test_every_route_says_what_it_needs_and_only_the_open_ones_need_nothing(api):
    """Also those that OpenAPI does not show; a new one is not served before it says so."""
    routes = [route for module in _ROUTES for route in module.router.routes]
    assert len(routes) >= 29
    needs = {(route.path, *sorted(getattr(route, "methods", None) or ["WS"])): needs_of(route) for route in routes}
    assert not [name for name, need in needs.items() if need is None]
    assert {path for (path, *_), need in needs.items() if need.scope is None} == OPEN_PATHS - {"/openapi.json"}
    for (path, method), need in needs.items():
        if need.scope is None:
            continue
        assert (need.over == "device") is ("{device_id}" in path), path
        assert (need.scope in ("read", "metrics")) is (method in ("GET", "WS")), (method, path)
    described = {
        (path, method.upper())
        for path, methods in api.get("/openapi.json").json()["paths"].items()
        for method in methods
    }
    declared = {(path.replace(":path", ""), method) for path, method in needs}
    assert described <= declared


def test_the_reference_has_each_route_with_its_scope_and_whose_devices_it_is_about():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "access.md").read_text()
    words = {"own": ("its devices", "–"), "device": ("the device",), "system": ("all devices",)}
    for route in (route for module in _ROUTES for route in module.router.routes):
        needs, (method,) = needs_of(route), getattr(route, "methods", None) or ["WS"]
        name = f"`{method} {route.path.replace(':path', '')}`"
        (row,) = [line for line in page.splitlines() if line.startswith("| `") and name in line]
        scope, of = [cell.strip() for cell in row.split("|")[2:4]]
        if needs.scope is None:
            assert scope == "open"
        else:
            assert scope.startswith("read" if needs.scope == "metrics" else needs.scope), name
            assert of in words[needs.over], name


def test_the_file_that_the_reference_shows_is_one(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "reference" / "access.md").read_text()
    (shown,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    path = tmp_path / "access.json"
    path.write_text(shown)
    assert [account.name for account in file.read(path)] == ["office", "anna"]


def test_a_route_that_says_nothing_is_not_served():
    router = APIRouter()
    router.get("/api/secrets")(lambda: "all of them")
    with pytest.raises(RuntimeError, match="/api/secrets"):
        check_declared(router.routes)
