"""The simulator before a broker: what it publishes, and that the broker's absence does not stop it."""

import getpass
import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest

from flows.mqtt import leave
from tests.brokers import Rumqttd, free_port
from tests.flows import Flow, wait_for

pytestmark = pytest.mark.slow
DEADLINE_S = 120.0


class Listener:
    """What a broker passes on, in order."""

    def __init__(self, port: int, qos: int = 1) -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="listener", clean_session=False)
        self._subscribed = threading.Event()
        self._client.on_connect = lambda client, *_: client.subscribe("heatpump/#", qos=qos)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _c, _u, m: self.heard.append((m.topic, m.payload, m.retain))
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._subscribed.wait(DEADLINE_S)

    def payloads(self, topic: str, device_id: str = "site1") -> list[bytes]:
        return [payload for name, payload, _ in list(self.heard) if name == f"heatpump/{device_id}/{topic}"]

    def close(self) -> None:
        leave(self._client)


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    listeners: list[Listener] = []

    def make(port: int, qos: int = 1) -> Listener:
        listeners.append(Listener(port, qos))
        return listeners[-1]

    yield make
    for listener in listeners:
        listener.close()


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_it_publishes_readings_and_status_and_says_goodbye(any_broker, listen, simulate) -> None:
    listener = listen(any_broker.port)
    process = simulate("--port", str(any_broker.port), "--interval", "0.1")
    until(lambda: len(listener.payloads("data")) >= 3)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0 and errors == ""
    until(lambda: listener.payloads("status/online") == [b"true", b"false"])
    reading = json.loads(listener.payloads("data")[0])
    assert abs(reading["timestamp"] - time.time() * 1000) < 60_000
    assert listener.payloads("status/version") == [b"1.1.0"]
    assert listener.payloads("status/simulated") == [b"true"]
    assert -80 < int(listener.payloads("status/rssi")[0]) < -50
    late = listen(any_broker.port) if any_broker.name == "mosquitto" else None
    if late:
        until(lambda: ("heatpump/site1/status/online", b"false", True) in late.heard)


def test_its_last_will_says_offline_when_it_is_killed(mosquitto, listen, simulate) -> None:
    listener = listen(mosquitto.port)
    process = simulate("--port", str(mosquitto.port), "--interval", "0.1")
    until(lambda: listener.payloads("status/online") == [b"true"])
    process.kill()
    until(lambda: listener.payloads("status/online") == [b"true", b"false"])


def test_what_it_measures_while_the_broker_is_away_arrives_later_with_its_own_time(
    mosquitto, listen, simulate
) -> None:
    process = simulate("--port", str(mosquitto.port), "--interval", "0.2")
    listener = listen(mosquitto.port)
    until(lambda: listener.payloads("data"))
    mosquitto.kill()
    assert process.stderr is not None
    assert "lost the broker" in process.stderr.readline()
    lost_ms = time.time() * 1000
    until(lambda: time.time() * 1000 > lost_ms + 1000)  # readings are measured in the meantime
    back_ms = time.time() * 1000
    mosquitto.start()

    def times() -> list[int]:
        return [json.loads(payload)["timestamp"] for payload in listener.payloads("data")]

    until(lambda: times()[-1] > back_ms)
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 0
    assert len({at for at in times() if lost_ms < at < back_ms}) >= 3


def test_without_a_broker_it_says_so_and_tries_again_until_there_is_one(mosquitto, listen, simulate) -> None:
    mosquitto.kill()
    process = simulate("--port", str(mosquitto.port), "--interval", "0.1")
    assert process.stderr is not None
    line = process.stderr.readline()
    assert f"no broker at 127.0.0.1:{mosquitto.port} (Connection refused); trying again in 1 s" in line
    mosquitto.start()
    listener = listen(mosquitto.port)
    until(lambda: listener.payloads("data"))


def test_a_broker_that_refuses_it_ends_it_with_one_sentence(tmp_path: Path, simulate) -> None:
    port, config = free_port(), tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous false\nuser {getpass.getuser()}\n")
    broker = subprocess.Popen(
        ["/usr/sbin/mosquitto", "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process = simulate("--port", str(port), MQTT_PASSWORD="wrong")
        _, errors = process.communicate(timeout=300)
    finally:
        broker.kill()
        broker.wait()
    assert process.returncode == 1
    assert f"the broker at 127.0.0.1:{port} refuses this device: check --user and --password" in errors
    assert "Traceback" not in errors


def test_a_broker_that_closes_without_a_word_has_it_ask_for_the_password_and_go_on_trying(
    tmp_path: Path, simulate
) -> None:
    broker = Rumqttd(tmp_path, "site1", "right")
    broker.start()
    try:
        process = simulate("--port", str(broker.port), MQTT_PASSWORD="wrong")
        assert process.stderr is not None
        sentence = f"the broker at 127.0.0.1:{broker.port} closes the connection unasked; is MQTT_PASSWORD right?"
        assert [process.stderr.readline() for _ in range(2)] == [f"simulate_device.py: {sentence}\n"] * 2
        accepted = simulate("--port", str(broker.port), "--interval", "0.1", MQTT_PASSWORD="right")
        assert accepted.stdout is not None
        # Readings are printed from the start on, connected or not.
        assert f"connected to 127.0.0.1:{broker.port}\n" in iter(accepted.stdout.readline, "")
        accepted.send_signal(signal.SIGTERM)
        _, errors = accepted.communicate(timeout=300)
        assert (accepted.returncode, errors) == (0, "")
    finally:
        broker.stop()


def test_several_devices_have_names_profiles_and_last_wills_of_their_own(mosquitto, listen, simulate) -> None:
    listener = listen(mosquitto.port)
    process = simulate("--port", str(mosquitto.port), "--interval", "0.2", "--devices", "3")
    names = ["site1", "site2", "site3"]
    until(lambda: all(len(listener.payloads("data", name)) >= 2 for name in names))
    first = [json.loads(listener.payloads("data", name)[0]) for name in names]
    assert [reading["device"] for reading in first] == names
    assert ["dhw" in reading["temperature"] for reading in first] == [True, True, False]
    process.kill()
    for name in names:
        until(lambda name=name: listener.payloads("status/online", name) == [b"true", b"false"])
        assert listener.payloads("status/simulated", name) == [b"true"]


def test_many_devices_share_a_connection_and_all_say_goodbye(any_broker, listen, simulate) -> None:
    listener = listen(any_broker.port)
    process = simulate(
        "--port", str(any_broker.port), "--interval", "1", "--devices", "60", "--device-id", "house08"
    )
    names = [f"house{number}" for number in range(8, 68)]
    until(lambda: all(len(listener.payloads("data", name)) >= 2 for name in names))
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (0, "")
    assert output.count("connected to") == 1
    for name in names:
        until(lambda name=name: listener.payloads("status/online", name) == [b"true", b"false"])
        times = [json.loads(payload)["timestamp"] for payload in listener.payloads("data", name)]
        assert {b - a for a, b in pairwise(times)} == {1000}


def test_hundreds_of_devices_are_played_over_one_connection(mosquitto, listen, simulate) -> None:
    listener = listen(mosquitto.port, qos=0)
    options = ("--devices", "400", "--interval", "60", "--start", "2026-01-10", "--end", "2026-01-10T00:02")
    process = simulate("--port", str(mosquitto.port), *options, "--speed", "1000000", "--seed", "1")
    _, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (0, "")
    until(lambda: sum(topic.endswith("/online") for topic, _, _ in list(listener.heard)) == 800)
    times: dict[str, list[int]] = {}
    for topic, payload, _ in listener.heard:
        if topic.endswith("/data"):
            times.setdefault(topic.split("/")[1], []).append(json.loads(payload)["timestamp"])
    assert set(times) == {f"site{number}" for number in range(1, 401)}
    assert {b - a for a, b in times.values()} == {60_000}


def test_with_speed_it_hurries_from_its_start_to_now_and_goes_on_in_real_time(mosquitto, listen, simulate) -> None:
    listener = listen(mosquitto.port)
    simulate("--port", str(mosquitto.port), "--start=-10min", "--speed", "600", "--interval", "1")
    until(lambda: len(listener.payloads("data")) >= 603)
    caught_up_ms = time.time() * 1000
    until(lambda: json.loads(listener.payloads("data")[-1])["timestamp"] > caught_up_ms)
    times = [json.loads(payload)["timestamp"] for payload in listener.payloads("data")]
    heard_ms = time.time() * 1000
    assert {b - a for a, b in pairwise(times)} == {1000}
    assert times[-1] < heard_ms + 100  # it does not hurry on into the future


def test_with_speed_and_no_start_it_starts_a_day_ago(mosquitto, listen, simulate) -> None:
    listener = listen(mosquitto.port)
    began = time.time()
    process = simulate("--port", str(mosquitto.port), "--speed", "1e5", "--interval", "900", "--end=-1h")
    process.communicate(timeout=300)
    ended = time.time()
    assert process.returncode == 0
    until(lambda: len(listener.payloads("data")) == 92)
    first_s = json.loads(listener.payloads("data")[0])["timestamp"] / 1000
    assert began - 86400 - 1 < first_s < ended - 86400 + 1


def test_backfill_imports_its_history_and_goes_on_live_with_the_same_house(
    tmp_path: Path, mosquitto, simulate
) -> None:
    flow = Flow(tmp_path / "data", mosquitto.port).start()
    try:
        words = ("--port", str(mosquitto.port), "--backfill", "2d", "--interval", "60", "--seed", "4")
        process = simulate(*words, HEATPUMP_DATA=str(flow.data))
        before = wait_for(flow.readings, lambda stored: stored >= 2881)
        assert before - 2880 <= 5

        def stored(reader: Any) -> list[Any]:
            return reader.rollups("site1", "1h", 0, 1 << 43, 1000)

        hours = flow.read(stored)
        assert sum(row.count for row in hours) >= 2880 - 60  # the last hour is open
        raw = flow.read(lambda reader: reader.readings("site1", 0, 1 << 43, 5000))
        times = sorted(row.at for row in raw)
        assert {b - a for a, b in pairwise(times)} == {60_000}
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0 and "Traceback" not in errors
    finally:
        flow.kill()
