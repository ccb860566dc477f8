"""The walk through a running flow: docs/reference/api.md."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from flows.settings import load_settings
from tests.api.conftest import Api, running
from tests.brokers import Mosquitto
from tests.flows import Device, Flow, wait_for

DAY_MS = 86_400_000


class Place:
    """A flow, the API beside it, and devices."""

    def __init__(self, flow: Flow, broker: Mosquitto, api: Api) -> None:
        self.flow, self._broker, self._api = flow, broker, api
        self._devices: list[Device] = []

    def device(self, device_id: str) -> Device:
        self._devices.append(Device(self._broker.port, device_id))
        return self._devices[-1]

    def walk(self, device_id: str | None = None) -> dict:
        path = "/api/walk" if device_id is None else f"/api/devices/{device_id}/walk"
        return self._api.get(path).raise_for_status().json()

    def until_broken(self, link: str | None, device_id: str | None = None) -> dict:
        return wait_for(lambda: self.walk(device_id), lambda found: found["broken"] == link)

    def close(self) -> None:
        for device in self._devices:
            device.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("walk")
    broker = Mosquitto(folder / "broker")
    broker.start()
    flow = Flow(folder / "data", broker.port)
    settings = load_settings(data=flow.data, mqtt_broker="127.0.0.1", mqtt_port=broker.port)
    try:
        flow.start()
        wait_for(flow.store.exists)
        with running(settings, flow.store, live=True) as api:
            here = Place(flow, broker, api)
            yield here
            here.close()
    finally:
        flow.kill()
        broker.stop()


@pytest.mark.slow
def test_the_walk_follows_a_site_from_its_first_minute_on(place):
    empty = place.until_broken("message")
    assert empty["device_id"] is None and empty["sentence"] == "No device has sent anything yet."
    assert [(link["link"], link["state"]) for link in empty["links"]][:3] == [
        ("broker", "ok"),
        ("connected", "unknown"),
        ("message", "broken"),
    ]

    device = place.device("site1")
    device.send(b"{")
    refused = place.until_broken("decoded", "site1")
    assert refused["links"][3]["detail"] == "dead: not_json"
    assert place.walk()["sentence"].startswith("site1's messages arrive, but the newest was refused: not_json")

    device.reading()
    well = place.until_broken(None, "site1")
    assert {link["state"] for link in well["links"]} == {"ok"}
    assert place.walk()["sentence"].startswith("site1's reading of ")

    device.send(b"true", "status/online", retain=True)
    wait_for(lambda: place.walk("site1")["links"][1]["detail"], lambda said: said == "status/online is true")
    device.send(b"false", "status/online", retain=True)
    left = wait_for(lambda: place.walk("site1"), lambda found: "last spoke" in found["sentence"])
    assert (left["broken"], left["remedy"][:21]) == ("connected", "Look at its power, it")
    device.reading()
    odd = wait_for(lambda: place.walk("site1"), lambda found: "says that it is offline" in found["sentence"])
    assert odd["broken"] == "connected" and "heatpump/site1/status/online" in odd["remedy"]


@pytest.mark.slow
def test_a_reading_dated_days_ago_is_stored_but_not_shown_where_one_looks(place):
    place.device("site2").send(
        {"timestamp": time.time_ns() // 1_000_000 - 3 * DAY_MS, "temperature": {"inlet": 30}}
    )
    assert "3 d before it arrived" in place.until_broken("shown", "site2")["sentence"]


@pytest.mark.slow
def test_a_device_that_is_connected_and_silent_and_one_that_nobody_knows_are_told_apart(place):
    place.device("site3").send(b"true", "status/online", retain=True)
    silent = wait_for(lambda: place.walk("site3"), lambda found: found["links"][1]["state"] == "ok")
    assert (silent["broken"], silent["sentence"]) == ("message", "Nothing has come from site3.")
    nobody = place.walk("site33")
    assert nobody["links"][1]["state"] == "unknown"
    assert nobody["remedy"].startswith("Known are site3")


@pytest.mark.slow
def test_what_waits_for_a_locked_store_is_named_and_called_not_lost(place):
    device = place.device("site5")
    device.reading()
    place.until_broken(None, "site5")
    with closing(sqlite3.connect(place.flow.store, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        device.reading()
        waiting = place.until_broken("stored", "site5")
        other.execute("ROLLBACK")
    assert "Nothing is lost: " in waiting["sentence"]
    place.until_broken(None, "site5")


@pytest.mark.slow
def test_a_flow_that_is_gone_is_the_first_broken_link(place):
    place.device("site4").reading()
    place.until_broken(None, "site4")
    assert place.flow.stop() == 0
    gone = place.until_broken("broker", "site4")
    assert gone["sentence"].startswith("Nothing can arrive: the flow ") and "heatpump up" in gone["remedy"]
    place.flow.start()
    place.until_broken(None, "site4")


def test_a_store_served_by_itself_says_that_nothing_is_known_of_a_broker(api):
    found = api.get("/api/devices/site1/walk").json()
    assert found["links"][0] == {
        "link": "broker",
        "state": "unknown",
        "detail": "a store is served by itself, without broker and flow",
    }
    assert found["broken"] is None


def test_an_id_that_no_device_can_have_is_refused(api):
    assert api.get("/api/devices/a%20b/walk").status_code == 422
