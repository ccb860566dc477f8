"""Commands of tokens and live messages to them: through a served API to a running flow, and back."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.api.conftest import Api, wait_for
from tests.api.people import People, demanding, some
from tests.brokers import Mosquitto
from tests.flows import Device, Flow

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def broker(tmp_path_factory) -> Iterator[Mosquitto]:
    made = Mosquitto(tmp_path_factory.mktemp("broker"))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def flow(broker, tmp_path_factory) -> Iterator[Flow]:
    made = Flow(tmp_path_factory.mktemp("flow") / "data", broker.port).start()
    yield made
    made.kill()


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> People:
    made = People(tmp_path_factory.mktemp("access") / "access.json")
    made.token("operator", "command", some("site1", "site4"))
    made.token("owner", "admin", some("site1"))
    made.token("reader", "read", some("site1"))
    made.token("north", "read", some(groups=("north",)))
    made.token("all")
    return made


@pytest.fixture(scope="module")
def devices(broker, flow) -> Iterator[dict[str, Device]]:
    made = {name: Device(broker.port, name) for name in ("site1", "site2")}
    yield made
    for device in made.values():
        device.close()


@pytest.fixture(scope="module")
def api(people, broker, flow, devices) -> Iterator[Api]:
    given = {"data": flow.data, "mqtt_broker": "127.0.0.1", "mqtt_port": broker.port}
    with demanding(people, flow.store, live=True, **given) as made:
        first = people.bearer("first")
        wait_for(lambda: made.get("/api/pipeline", headers=first).status_code == 200, "the flow to answer")

        def known() -> bool:
            for device in devices.values():
                device.reading()
            return len(made.get("/api/devices", headers=first).json()) == 2

        wait_for(lambda: made.get("/api/devices", headers=first).status_code == 200, "the store")
        wait_for(known, "both devices to be stored")
        yield made


def put(api: Api, people: People, name: str, device_id: str, body: dict, key: str | None = None):
    headers = people.bearer(name) | ({"Idempotency-Key": key} if key else {})
    return api.put(f"/api/devices/{device_id}", json=body, headers=headers)


def audit(flow: Flow) -> list[tuple[str, str, str]]:
    with closing(sqlite3.connect(f"file:{flow.store}?mode=ro", uri=True)) as db:
        return db.execute("SELECT id, by, outcome FROM command").fetchall()


def group_of(api: Api, people: People, device_id: str) -> str:
    return api.get(f"/api/devices/{device_id}/status", headers=people.bearer("first")).json()["metadata"]["group"]


def test_the_audit_has_the_accounts_name_whatever_the_body_claims(api, people, flow):
    assert put(api, people, "operator", "site1", {"name": "Cabin"}, "by-operator").status_code == 200
    assert put(api, people, "first", "site1", {"name": "Cabin"}, "by-first").status_code == 200
    letter = api.post("/api/dead-letters/1/retry", json={"by": "somebody"}, headers=people.bearer("operator"))
    assert letter.status_code == 404
    said = {key: by for key, by, _ in audit(flow)}
    assert (said["by-operator"], said["by-first"]) == ("operator", "api")


def test_a_command_that_is_sent_again_has_one_effect_and_another_may_not_look_it_up(api, people, flow):
    once = put(api, people, "operator", "site1", {"name": "Mill"}, "replay-1")
    again = put(api, people, "operator", "site1", {"name": "Mill"}, "replay-1")
    assert once.status_code == again.status_code == 200 and once.json() == again.json()
    assert [key for key, *_ in audit(flow)].count("replay-1") == 1
    assert put(api, people, "reader", "site1", {"name": "Mill"}, "replay-1").status_code == 403
    assert put(api, people, "owner", "site2", {"name": "Mill"}, "replay-1").status_code == 404
    other = put(api, people, "operator", "site4", {"name": "Mill"}, "replay-1")
    assert other.status_code == 409 and "already used" in other.json()["detail"]


def test_a_group_is_set_by_an_admin_and_stays_through_what_others_write(api, people):
    assert put(api, people, "operator", "site1", {"name": "Cabin", "group": "north"}).status_code == 403
    assert put(api, people, "owner", "site1", {"name": "Cabin", "group": "north"}).status_code == 200
    assert group_of(api, people, "site1") == "north"
    for body in ({"name": "Hut"}, {"name": "Hut", "group": "north"}, {"valid_from": "1970-01-01T00:00:00Z"}):
        assert put(api, people, "operator", "site1", body).status_code == 200
        assert group_of(api, people, "site1") == "north"
    assert put(api, people, "first", "site1", {"name": "Hut"}).status_code == 200
    assert group_of(api, people, "site1") == "north"
    listed = api.get("/api/devices", headers=people.bearer("north")).json()
    assert [(device["device_id"], device["group"]) for device in listed] == [("site1", "north")]
    assert put(api, people, "first", "site1", {"group": "no / group"}).status_code == 422


def test_a_device_that_is_one_of_an_accounts_may_be_described_before_it_speaks(api, people):
    assert put(api, people, "operator", "site4", {"name": "Barn"}).status_code == 200
    assert (
        api.get("/api/devices/site4/status", headers=people.bearer("operator")).json()["metadata"]["name"]
        == "Barn"
    )
    assert put(api, people, "operator", "site5", {"name": "Barn"}).status_code == 404


def heard(ws, *expected: str) -> set[str]:
    """Listen until those have spoken, and then a while for others."""
    told: set[str] = set()
    with pytest.raises(TimeoutError):
        while True:
            told.add(json.loads(ws.recv(1.0 if told.issuperset(expected) else 20)).get("device_id", ""))
    return told


def test_live_messages_are_of_its_own_devices_alone_and_follow_its_groups(api, people, devices):
    assert put(api, people, "first", "site1", {"group": "north"}).status_code == 200
    url = f"ws://127.0.0.1:{api.port}/ws"

    def listen(name: str):
        return connect(url, subprotocols=["bearer", people.tokens[name]])

    def speak() -> None:
        for device in devices.values():
            device.reading()

    with listen("all") as everything, listen("reader") as one, listen("north") as group:
        wait_for(lambda: len(api.context.hub.clients) == 3, "three listeners")
        speak()
        assert heard(everything, "site1", "site2") == {"site1", "site2"}
        assert heard(one, "site1") == heard(group, "site1") == {"site1"}
        assert put(api, people, "first", "site1", {"group": ""}).status_code == 200
        assert put(api, people, "first", "site2", {"group": "north"}).status_code == 200
        clients = api.context.hub.clients
        wait_for(lambda: any(client.own == {"site2"} for client in clients), "the group to be followed")
        speak()
        assert heard(everything, "site1", "site2") == {"site1", "site2"}
        assert (heard(one, "site1"), heard(group, "site2")) == ({"site1"}, {"site2"})


def test_a_websocket_of_a_revoked_token_is_closed(api, people):
    people.token("leaver")
    access = api.context.access
    wait_for(lambda: access.resolve(people.tokens["leaver"]), "the new token")
    with connect(f"ws://127.0.0.1:{api.port}/ws", subprotocols=["bearer", people.tokens["leaver"]]) as ws:
        ws.send("?")
        assert '"pong"' in ws.recv(10)
        people.remove("leaver")
        with pytest.raises(ConnectionClosed) as end:
            while True:
                ws.recv(10)
        assert (end.value.rcvd.code, end.value.rcvd.reason) == (1008, "log in again")


def test_a_trace_is_of_ones_own_device(api, people, devices):
    headers = people.bearer("reader")
    for other in ("site2", "site8"):
        assert api.get(f"/api/pipeline/trace/{other}", headers=headers).status_code == 404
    api.context.flow.trace("site1", None)
    devices["site1"].reading()
    assert api.get("/api/pipeline/trace/site1", headers=headers).status_code == 200


def test_only_an_admin_forgets_a_device(api, people):
    operator, owner = people.bearer("operator"), people.bearer("owner")
    assert api.delete("/api/devices/site1", headers=operator).status_code == 403
    assert api.delete("/api/devices/site2", headers=owner).status_code == 404
    assert api.delete("/api/devices/site1", headers=owner).status_code == 200
    assert api.get("/api/devices/site1/status", headers=owner).status_code == 404
