"""The simulator: a coherent device, on any Python from 3.8, that a broker's absence does not stop."""

import ast
import csv
import getpass
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest

from tests.brokers import Rumqttd, free_port
from tests.scripts import simulated
from tests.scripts.simulated import SCRIPT, device, rows

DEADLINE_S = 15.0


@pytest.fixture(scope="module")
def simulator() -> Any:
    return simulated.simulator()


def test_it_is_written_in_python_3_8() -> None:
    ast.parse(SCRIPT.read_text(), feature_version=(3, 8))


def test_it_imports_nothing_but_the_standard_library_and_paho() -> None:
    imports = [
        node for node in ast.walk(ast.parse(SCRIPT.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in imports if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) == {"paho"}


def pythons() -> list[list[str]]:
    """This Python without any package, and 3.8 where there is one."""
    installed = [*map(str, Path.home().glob(".pyenv/versions/3.8.*/bin/python")), "/usr/bin/python3.8"]
    return [[sys.executable, "-I", "-S"], *([path, "-I"] for path in installed if Path(path).exists())]


@pytest.mark.slow
@pytest.mark.parametrize("python", pythons(), ids=lambda words: Path(words[0]).resolve().name)
def test_without_any_package_it_writes_the_same_csv(python: list[str]) -> None:
    words = ["-W", "error", str(SCRIPT), "--csv", "--seed", "3", "--start", "2026-01-10", "--end", "2026-01-11"]
    alone = subprocess.run([*python, *words], capture_output=True, check=True, text=True)
    assert alone.stderr == ""
    here = device(seed=3, start_ms=1_768_003_200_000)
    table = list(csv.DictReader(io.StringIO(alone.stdout)))
    assert len(table) == 8640
    for cells, row in zip(table, rows(here, 1, 10.0, 1_768_003_200_000), strict=True):
        assert {name: float(text) for name, text in cells.items()} == row


@pytest.mark.parametrize(
    ("name", "value", "level"),
    [("voltage", 230, 0), ("voltage", 245, 1), ("voltage", 210, 2), ("pressure_low", 40, 1), ("current", 15, 2)],
)
def test_alert_levels_are_those_of_the_firmware(simulator, name: str, value: float, level: int) -> None:
    assert simulator.alert_level(name, value) == level


class Listener:
    """What a broker passes on, in order."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="listener", clean_session=False)
        self._subscribed = threading.Event()
        self._client.on_connect = lambda client, *_: client.subscribe("heatpump/#", qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _c, _u, m: self.heard.append((m.topic, m.payload, m.retain))
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._subscribed.wait(DEADLINE_S)

    def payloads(self, topic: str) -> list[bytes]:
        return [payload for name, payload, _ in list(self.heard) if name == f"heatpump/site1/{topic}"]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def listen() -> Iterator[Callable[[int], Listener]]:
    listeners: list[Listener] = []

    def make(port: int) -> Listener:
        listeners.append(Listener(port))
        return listeners[-1]

    yield make
    for listener in listeners:
        listener.close()


@pytest.fixture
def simulate() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the script as a process."""
    started: list[subprocess.Popen[str]] = []

    def start(*args: str, **env: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), "--device-id", "site1", *args],
            env={"PATH": os.environ["PATH"], **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.slow
def test_it_publishes_readings_and_status_and_says_goodbye(any_broker, listen, simulate) -> None:
    listener = listen(any_broker.port)
    process = simulate("--port", str(any_broker.port), "--interval", "0.1")
    until(lambda: len(listener.payloads("data")) >= 3)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=5)
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


@pytest.mark.slow
def test_its_last_will_says_offline_when_it_is_killed(mosquitto, listen, simulate) -> None:
    listener = listen(mosquitto.port)
    process = simulate("--port", str(mosquitto.port), "--interval", "0.1")
    until(lambda: listener.payloads("status/online") == [b"true"])
    process.kill()
    until(lambda: listener.payloads("status/online") == [b"true", b"false"])


@pytest.mark.slow
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
    assert process.wait(5) == 0
    assert len({at for at in times() if lost_ms < at < back_ms}) >= 3


@pytest.mark.slow
def test_without_a_broker_it_says_so_and_tries_again_until_there_is_one(mosquitto, listen, simulate) -> None:
    mosquitto.kill()
    process = simulate("--port", str(mosquitto.port), "--interval", "0.1")
    assert process.stderr is not None
    line = process.stderr.readline()
    assert f"no broker at 127.0.0.1:{mosquitto.port} (Connection refused); trying again in 1 s" in line
    mosquitto.start()
    listener = listen(mosquitto.port)
    until(lambda: listener.payloads("data"))


@pytest.mark.slow
def test_a_broker_that_refuses_it_ends_it_with_one_sentence(tmp_path: Path, simulate) -> None:
    port, config = free_port(), tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous false\nuser {getpass.getuser()}\n")
    broker = subprocess.Popen(
        ["/usr/sbin/mosquitto", "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process = simulate("--port", str(port), MQTT_PASSWORD="wrong")
        _, errors = process.communicate(timeout=10)
    finally:
        broker.kill()
        broker.wait()
    assert process.returncode == 1
    assert f"the broker at 127.0.0.1:{port} refuses this device: check --user and --password" in errors
    assert "Traceback" not in errors


@pytest.mark.slow
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
        assert f"connected to 127.0.0.1:{broker.port}\n" in [accepted.stdout.readline() for _ in range(3)]
        accepted.send_signal(signal.SIGTERM)
        _, errors = accepted.communicate(timeout=5)
        assert (accepted.returncode, errors) == (0, "")
    finally:
        broker.stop()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--interval", "0"], "--interval: 0 is not from 0.1 to 3600 seconds"),
        (["--interval", "often"], "argument --interval: invalid float value: 'often'"),
        (["--port", "99999"], "--port: 99999 is not from 1 to 65535"),
        (["--device-id", "a/b"], "--device-id: 'a/b' must be 1 to 64 letters, digits, _ . or -"),
        (["--broker", ""], "--broker: must name a host"),
    ],
)
def test_wrong_arguments_end_it_with_code_2_and_one_sentence(args: list[str], sentence: str, simulate) -> None:
    process = simulate(*args)
    _, errors = process.communicate(timeout=5)
    assert process.returncode == 2
    assert sentence in errors and "Traceback" not in errors
