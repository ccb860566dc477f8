"""The simulator: a coherent device, on any Python from 3.8, that a broker's absence does not stop."""

import ast
import getpass
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest

from flows.model.frame import Frame, FrameKind
from flows.nodes.decode import parse_reading
from flows.nodes.validate import Params, all_spans, check
from tests.brokers import Rumqttd, free_port

SCRIPT = Path(__file__).parents[2] / "scripts" / "simulate_device.py"
NOW_S = 1_770_000_000
DEADLINE_S = 15.0


def load() -> Any:
    spec = importlib.util.spec_from_file_location("simulate_device", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def simulator() -> Any:
    return load()


@pytest.fixture(scope="module")
def day(simulator) -> list[dict[str, Any]]:
    """A day of readings, one in ten seconds."""
    pump = simulator.HeatPump(1, NOW_S)
    return [pump.reading("site1", NOW_S + n * 10) for n in range(8640)]


def test_it_is_written_in_python_3_8() -> None:
    ast.parse(SCRIPT.read_text(), feature_version=(3, 8))


def test_it_imports_nothing_but_the_standard_library_and_paho() -> None:
    imports = [
        node for node in ast.walk(ast.parse(SCRIPT.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in imports if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) == {"paho"}


def test_a_reading_holds_everything_that_the_contract_shows_and_nothing_implausible(day) -> None:
    assert set(day[0]) == {
        *("device", "timestamp", "version", "temperature", "electrical", "pressure", "hydraulic"),
        *("status", "alerts", "valid"),
    }
    assert day[0]["timestamp"] == NOW_S * 1000
    spans, removed = all_spans(Params()), Counter()
    for reading in day[::60]:
        frame = Frame(1, FrameKind.MESSAGE, reading["timestamp"])
        parsed = parse_reading(json.dumps(reading).encode(), "site1", 1, frame, plain=True)
        fields = len(parsed.values)
        assert len(check(parsed, spans, removed).values) == fields == 14
    assert not removed


def test_the_same_seed_at_the_same_times_gives_the_same_readings(simulator, day) -> None:
    again, other = simulator.HeatPump(1, NOW_S), simulator.HeatPump(2, NOW_S)
    assert [again.reading("site1", NOW_S + n * 10) for n in range(100)] == day[:100]
    assert [other.reading("site1", NOW_S + n * 10) for n in range(100)] != day[:100]


def test_the_compressor_cycles_and_defrosts_now_and_then_in_the_cold(day) -> None:
    status = [reading["status"] for reading in day]
    starts = sum(now["compressor"] and not before["compressor"] for before, now in pairwise(status))
    defrosts = sum(now["defrost"] and not before["defrost"] for before, now in pairwise(status))
    assert 6 <= starts <= 24
    assert 2 <= defrosts <= 12
    cold = [reading for reading in day if reading["status"]["defrost"]]
    assert max(reading["temperature"]["ambient"] for reading in cold) < 6.0
    assert min(reading["temperature"]["outlet"] - reading["temperature"]["inlet"] for reading in cold) < -2.0


def test_power_is_voltage_times_current_times_power_factor(simulator, day) -> None:
    for reading in day[::60]:
        electrical = reading["electrical"]
        product = electrical["voltage"] * electrical["current"] * simulator.POWER_FACTOR
        assert electrical["power"] == pytest.approx(product, abs=0.01)


def test_pressures_follow_temperatures_and_meet_at_rest(day) -> None:
    warm = [
        r
        for r in day
        if r["status"]["compressor"] and not r["status"]["defrost"] and r["electrical"]["power"] > 1800
    ]
    rest = [r for r in day if r["electrical"]["power"] < 20 and r["temperature"]["compressor"] < 9]
    assert len(warm) > 500 and len(rest) > 500
    assert all(r["pressure"]["high"] > 2.5 * r["pressure"]["low"] for r in warm)
    assert all(abs(r["pressure"]["high"] - r["pressure"]["low"]) < 5 for r in rest)


def test_a_day_has_the_cop_of_a_real_machine_and_no_alert(day) -> None:
    heat = sum(
        r["hydraulic"]["flow"] / 60 * 4186 * (r["temperature"]["outlet"] - r["temperature"]["inlet"]) for r in day
    )
    assert 2.5 < heat / sum(r["electrical"]["power"] for r in day) < 4.0
    assert not any(level for reading in day for level in reading["alerts"].values())


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
    assert listener.payloads("status/version") == [b"1.0.0"]
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
