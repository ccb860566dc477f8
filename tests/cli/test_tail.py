"""heatpump tail: what arrives and what is refused, through losses of the connection."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.brokers import Mosquitto, free_port
from tests.cli.heatpump import HEATPUMP, Running
from tests.flows import Device, Flow, wait_for

pytestmark = pytest.mark.slow


class Place:
    """A flow, an API that comes and goes, a device, and tails."""

    def __init__(self, folder: Path, mosquitto: Mosquitto) -> None:
        self._folder, self._running = folder, []
        self.flow, self.device = Flow(folder / "data", mosquitto.port).start(), Device(mosquitto.port)
        self.api_port = free_port()
        self._settings: dict[str, Any] = {
            "HEATPUMP_DATA": self.flow.data,
            "HEATPUMP_API_PORT": self.api_port,
            "MQTT_BROKER": "127.0.0.1",
            "MQTT_PORT": mosquitto.port,
        }

    def run(self, *arguments: str, **settings: Any) -> Running:
        log = self._folder / f"{len(self._running)}.log"
        self._running.append(Running([*HEATPUMP, *arguments], log, **self._settings, **settings))
        return self._running[-1]

    def api(self, **settings: Any) -> Running:
        api = self.run("api", **settings)
        wait_for(lambda: self.answers(api))
        return api

    def answers(self, api: Running) -> bool:
        assert api.process.poll() is None, api.said
        try:
            return httpx.get(f"http://127.0.0.1:{self.api_port}/api/health", verify=False).json()["mqtt_connected"]
        except httpx.HTTPError:
            return False

    def close(self) -> None:
        for one in self._running:
            one.clean_up()
        self.device.close()
        self.flow.kill()


@pytest.fixture
def place(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Place]:
    here = Place(tmp_path, mosquitto)
    yield here
    here.close()


def until_shown(tail: Running, act: Callable[[], None], pattern: str) -> None:
    """Act again and again until it shows: what is live reaches only those who listen already."""

    def shown() -> bool:
        act()
        try:
            tail.until_it_says(pattern, 0.5)
        except AssertionError:
            assert tail.process.poll() is None, tail.said
            return False
        return True

    wait_for(shown)


def test_readings_and_dead_letters_are_shown_and_a_lost_connection_is_told_and_found_again(place):
    tail = place.run("tail")
    tail.until_it_says(rf"^heatpump tail: the API does not answer at 127\.0\.0\.1:{place.api_port}; trying again$")
    api = place.api()
    tail.until_it_says("^heatpump tail: connected$")
    until_shown(tail, place.device.reading, r"^\d\d:\d\d:\d\d  site1         inlet 30\.5 °C$")
    place.device.send(b"{")
    tail.until_it_says(r"^\d\d:\d\d:\d\d  site1         dead: not_json: ")
    assert api.end() == 0
    tail.until_it_says("^heatpump tail: connection lost: the API does not answer")
    place.device.send(b"[1]")
    place.api()
    tail.until_it_says("^heatpump tail: connected again$")
    tail.until_it_says(r"  site1         dead: not_an_object: ")
    assert tail.said.count("dead: not_json") == 1
    assert tail.end(signal.SIGINT) == 0
    assert "Traceback" not in tail.said


def test_programs_get_a_json_object_a_line_of_the_one_device_they_asked_for(place):
    place.api()
    tail = place.run("tail", "site1", "--json")
    tail.until_it_says("connected")

    def both_speak() -> None:
        for device_id in ("site2", "site1"):
            place.device.device_id = device_id
            place.device.reading()

    place.device.device_id = "site2"
    place.device.send(b"{")
    until_shown(tail, both_speak, '^{"type": "sensor_data"')
    place.device.send(b"{")
    tail.until_it_says('^{"type": "dead_letter"')
    events = [json.loads(line) for line in tail.said.splitlines() if line.startswith("{")]
    assert {event["device_id"] for event in events} == {"site1"}
    assert events[0]["data"]["temperature"] == {"inlet": 30.5}
    assert events[-1]["reason"] == "not_json"


def test_what_a_device_sends_neither_reaches_the_terminal_unescaped_nor_ends_the_tail(place):
    place.api()
    tails = place.run("tail"), place.run("tail", "--json")
    for tail in tails:
        tail.until_it_says("connected")
    for digits in (400, 5_000):
        inlet = f'{{"inlet":30.5,"outlet":1{"0" * digits},"ambient":"\x9b2J"}}'
        payload = f'{{"temperature":{inlet},"\x9b31m":"\\u009b2J\\u001b]0;x"}}'.encode()
        until_shown(tails[0], lambda payload=payload: place.device.send(payload), "site1")
    place.device.send(b'{"device":"\\u001b[2J"}')
    for tail in tails:
        tail.until_it_says("device_mismatch")
        until_shown(tail, place.device.reading, "30.5")
        assert tail.process.poll() is None and not set(tail.said) & {"\x1b", "\x9b"}


def test_an_api_that_asks_for_a_token_gets_the_one_of_the_data_folder_and_a_wrong_one_ends_it(place):
    place.api(HEATPUMP_API_HOST="0.0.0.0")
    tail = place.run("tail")
    tail.until_it_says("connected")
    wrong = place.run("tail", HEATPUMP_API_TOKEN="wrong")
    assert wrong.process.wait(60) == 2
    assert wrong.said.startswith("heatpump: the token: '…' is not the API's token: HEATPUMP_API_TOKEN")
