"""The simulator: a coherent device, on any Python from 3.8, that a broker's absence does not stop."""

import ast
import csv
import getpass
import io
import json
import os
import re
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

from flows.demo.simulated import SCRIPT
from flows.model.frame import Frame, FrameKind
from flows.mqtt import leave
from flows.nodes.decode import parse_reading
from flows.nodes.payload import decode_payload
from flows.nodes.validate import Params, all_spans, check
from tests.brokers import Rumqttd, free_port
from tests.cli.heatpump import heatpump
from tests.flows import Flow, wait_for
from tests.scripts import simulated
from tests.scripts.simulated import device, rows

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


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("leak", "'leak' is not NAME[:size][@start[..end]] with one of low_charge"),
        ("low_charge:2", "the severity 2 of low_charge is not above 0 and at most 1"),
        ("low_charge:1.2.3", "'1.2.3' in 'low_charge:1.2.3' is no number"),
        ("low_charge@yesterday", "'yesterday' is no time such as 2026-01-31T12:00 (UTC) or -3d"),
        ("low_charge@2026-01-02..2026-01-01", "'low_charge@2026-01-02..2026-01-01' ends before it starts"),
        ("curve_raised:99", "99 K of curve_raised is not from -10 to 15"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_with_a_sentence(text: str, sentence: str, simulator) -> None:
    script = simulator
    with pytest.raises(ValueError) as error:
        script.parse_change(text, 0, {**script.FAULTS, **script.EVENTS})
    assert str(error.value).startswith(sentence)


def test_spans_and_times_are_read_as_people_write_them(simulator) -> None:
    script = simulator
    assert script.parse_change("dropout:0.2@2026-01-01T12:00:00Z..+2h", 1_767_268_800_000, script.FAULTS) == (
        *("dropout", 0.2, 1_767_268_800_000, 1_767_276_000_000),
    )
    assert script.parse_time("2026-01-01T13:00+01:00", 0) == script.parse_time("2026-01-01T12:00", 0)
    assert script.parse_time("-3d", 3 * 86_400_000) == 0 and script.parse_span("90min") == 5_400_000


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
    _, errors = process.communicate(timeout=60)
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
    assert process.wait(60) == 0
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
        _, errors = process.communicate(timeout=60)
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
        _, errors = accepted.communicate(timeout=60)
        assert (accepted.returncode, errors) == (0, "")
    finally:
        broker.stop()


@pytest.mark.slow
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


@pytest.mark.slow
def test_many_devices_share_a_connection_and_all_say_goodbye(any_broker, listen, simulate) -> None:
    listener = listen(any_broker.port)
    process = simulate(
        "--port", str(any_broker.port), "--interval", "1", "--devices", "60", "--device-id", "house08"
    )
    names = [f"house{number}" for number in range(8, 68)]
    until(lambda: all(len(listener.payloads("data", name)) >= 2 for name in names))
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert output.count("connected to") == 1
    for name in names:
        until(lambda name=name: listener.payloads("status/online", name) == [b"true", b"false"])
        times = [json.loads(payload)["timestamp"] for payload in listener.payloads("data", name)]
        assert {b - a for a, b in pairwise(times)} == {1000}


@pytest.mark.slow
def test_hundreds_of_devices_are_played_over_one_connection(mosquitto, listen, simulate) -> None:
    listener = listen(mosquitto.port, qos=0)
    options = ("--devices", "400", "--interval", "60", "--start", "2026-01-10", "--end", "2026-01-10T00:02")
    process = simulate("--port", str(mosquitto.port), *options, "--speed", "1000000", "--seed", "1")
    _, errors = process.communicate(timeout=40)
    assert (process.returncode, errors) == (0, "")
    until(lambda: sum(topic.endswith("/online") for topic, _, _ in list(listener.heard)) == 800)
    times: dict[str, list[int]] = {}
    for topic, payload, _ in listener.heard:
        if topic.endswith("/data"):
            times.setdefault(topic.split("/")[1], []).append(json.loads(payload)["timestamp"])
    assert set(times) == {f"site{number}" for number in range(1, 401)}
    assert {b - a for a, b in times.values()} == {60_000}


@pytest.mark.slow
def test_ten_thousand_devices_of_one_process_all_send_valid_readings(simulator) -> None:
    args = simulator.parse(["--devices", "10000", "--seed", "1", "--start", "2026-01-10"])
    devices = simulator.make_devices(args, args.start_ms)
    assert len({each.device_id for each in devices}) == 10_000
    spans, removed, fields = all_spans(Params()), Counter(), Counter()
    for each in devices:
        message = json.dumps(each.reading(args.start_ms + 90_000)).encode()
        frame = Frame(1, FrameKind.MESSAGE, args.start_ms)
        parsed = parse_reading(message, each.device_id, 1, frame, decode_payload(message))
        fields[len(check(parsed, spans, removed).values)] += 1
    assert not removed
    assert set(fields) == {16, 22, 24}  # cottage, terrace with tank and heater, villa with counters too


@pytest.mark.slow
def test_with_speed_it_hurries_from_its_start_to_now_and_goes_on_in_real_time(mosquitto, listen, simulate) -> None:
    listener = listen(mosquitto.port)
    simulate("--port", str(mosquitto.port), "--start=-10min", "--speed", "600", "--interval", "1")
    until(lambda: len(listener.payloads("data")) >= 603)
    caught_up_ms = time.time() * 1000
    until(lambda: json.loads(listener.payloads("data")[-1])["timestamp"] > caught_up_ms)
    heard_ms = time.time() * 1000
    times = [json.loads(payload)["timestamp"] for payload in listener.payloads("data")]
    assert {b - a for a, b in pairwise(times)} == {1000}
    assert times[-1] < heard_ms + 100  # it does not hurry on into the future


@pytest.mark.slow
def test_with_speed_and_no_start_it_starts_a_day_ago(mosquitto, listen, simulate) -> None:
    listener = listen(mosquitto.port)
    process = simulate("--port", str(mosquitto.port), "--speed", "1e5", "--interval", "900", "--end=-1h")
    process.communicate(timeout=60)
    assert process.returncode == 0
    until(lambda: len(listener.payloads("data")) == 92)
    assert abs(json.loads(listener.payloads("data")[0])["timestamp"] - (time.time() - 86400) * 1000) < 20_000


@pytest.mark.slow
def test_with_since_it_goes_on_where_an_earlier_history_of_the_seed_ended(simulate) -> None:
    words = ("--csv", "--seed", "1", "--interval", "300", "--end", "2026-01-11")
    whole, _ = simulate(*words, "--start", "2026-01-01").communicate(timeout=60)
    rest, _ = simulate(*words, "--since", "2026-01-01", "--start", "2026-01-10").communicate(timeout=60)
    assert rest.splitlines()[1:] == whole.splitlines()[-288:]


@pytest.mark.slow
def test_the_import_takes_every_row_of_its_csv_with_its_mapping(tmp_path: Path, simulate) -> None:
    words = ("--csv", "--profile", "villa", "--start", "2026-01-01", "--end", "2026-01-03", "--interval", "300")
    for name, more in (("readings.csv", ()), ("mapping.toml", ("--mapping",))):
        output, errors = simulate(*words, "--seed", "1", *more).communicate(timeout=60)
        assert errors == ""
        (tmp_path / name).write_text(output)
    report = heatpump(
        *("import", "csv", str(tmp_path / "readings.csv"), "--device", "site1", "--dry-run"),
        *("--map", str(tmp_path / "mapping.toml"), "--data", str(tmp_path)),
    )
    assert report.returncode == 0, report.stderr
    assert re.search(r"to take +576 readings\nrefused +0\nmonth", report.stdout)


@pytest.mark.slow
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
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0 and "Traceback" not in errors
    finally:
        flow.kill()


@pytest.mark.slow
def test_backfill_without_a_flow_ends_with_a_sentence(tmp_path: Path, simulate) -> None:
    process = simulate("--backfill", "1h", HEATPUMP_DATA=str(tmp_path))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the history of site1 could not be imported; does the flow run (scripts/up)?" in errors


@pytest.mark.slow
def test_backfill_without_the_heatpump_command_says_what_to_do(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.symlink_to(Path(sys.executable).resolve())
    done = subprocess.run(
        [python, str(SCRIPT), "--backfill", "1h"], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}
    )
    assert done.returncode == 1
    assert "--backfill needs the heatpump command, beside this Python or on the PATH" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--interval", "0"], "--interval: 0 is not from 0.1 to 3600 seconds"),
        (["--interval", "often"], "argument --interval: invalid float value: 'often'"),
        (["--port", "99999"], "--port: 99999 is not from 1 to 65535"),
        (["--device-id", "a/b"], "--device-id: 'a/b' must be 1 to 64 letters, digits, _ . or -"),
        (["--broker", ""], "--broker: must name a host"),
        (["--devices", "0"], "--devices: 0 is not from 1 to 100000"),
        (["--speed", "0"], "--speed: 0 is not from 0.01 to 1000000"),
        (["--start", "soon"], "--start: 'soon' is no time such as 2026-01-31T12:00 (UTC) or -3d"),
        (["--start", "2026-01-02", "--end", "2026-01-01"], "--end: is not after the start"),
        (
            ["--since", "2026-01-02", "--start", "2026-01-01"],
            "--since: must be before the start, at most ten years",
        ),
        (["--backfill", "all"], "--backfill: 'all' is no length such as 14d, 36h or 10min"),
        (["--backfill", "1d", "--speed", "2"], "--backfill: goes on live from now"),
        (["--csv", "--devices", "2"], "--csv: writes one device, not --devices"),
        (["--fault", "rust"], "--fault: 'rust' is not NAME[:size][@start[..end]] with one of low_charge"),
        (["--event", "curve_raised:30"], "--event: 30 K of curve_raised is not from -10 to 15"),
    ],
)
def test_wrong_arguments_end_it_with_code_2_and_one_sentence(args: list[str], sentence: str, simulate) -> None:
    process = simulate(*args)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert sentence in errors and "Traceback" not in errors
