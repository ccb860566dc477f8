"""`heatpump up` with everything real: the embedded broker, the flow, the API, the pages."""

import json
import os
import re
import shlex
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest

from flows.mqtt import leave
from tests.brokers import Mosquitto, free_port
from tests.cli.heatpump import HEATPUMP, Running, Up, alive, heatpump
from tests.flows import wait_for

pytestmark = pytest.mark.slow

READING = b'{"temperature":{"inlet":45},"electrical":{"voltage":230}}'
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def up(tmp_path: Path) -> Iterator:
    started: list[Up] = []

    def start(*arguments: str, **settings: Any) -> Up:
        started.append(Up(tmp_path / "data", *arguments, **settings))
        return started[-1]

    yield start
    for one in started:
        one.clean_up()


def status(running: Up) -> dict[str, dict[str, Any]]:
    done = heatpump("status", "--json", "--data", running.data)
    return {process["name"]: process for process in json.loads(done.stdout)["processes"]}


def readings(running: Up, device: str) -> list[dict[str, Any]]:
    """Ask the API; an unknown device has none yet."""
    url = f"http://127.0.0.1:{running.api_port}/api/devices/{device}/readings"
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            assert error.code == 404
        return []


def log_in(port: int, transport: str = "tcp", password: str = "") -> mqtt.Client | None:
    """Connect as a device would; None if the broker refuses."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, transport=transport)
    if password:
        client.username_pw_set("heatpump", password)
    answered, accepted = threading.Event(), []

    def on_connect(_client, _data, _flags, reason, _properties):
        accepted.append(not reason.is_failure)
        answered.set()

    client.on_connect, client.on_disconnect = on_connect, lambda *_: answered.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert answered.wait(60)
    if accepted == [True]:
        return client
    leave(client)
    return None


def publish(client: mqtt.Client, device: str) -> None:
    client.publish(f"heatpump/{device}/data", READING, qos=1).wait_for_publish(60)


def test_up_ends_with_a_page_an_address_a_curl_that_answers_and_a_simulator_line_that_works(up):
    running = up()
    address, curl, simulator = running.until_ready()
    page = running.said.splitlines()[-4]
    assert page == f"http://127.0.0.1:{running.panel_port}/"
    with urllib.request.urlopen(page, timeout=60) as answer:
        assert answer.status == 200 and "heatpump" in answer.read().decode()
    assert address.startswith(f"API: http://127.0.0.1:{running.api_port} ")
    answer = subprocess.run(shlex.split(curl), capture_output=True, text=True, timeout=60)
    assert json.loads(answer.stdout)["status"] == "healthy"
    device = subprocess.Popen(simulator, shell=True, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        stored = wait_for(lambda: readings(running, "site1"))
    finally:
        os.killpg(device.pid, signal.SIGTERM)
        device.wait(60)
    assert stored[0]["device_id"] == "site1"


def test_status_tells_of_each_process_and_sigterm_ends_all(up):
    running = up()
    running.until_ready()
    processes = status(running)
    assert list(processes) == ["broker", "flow", "api", "panel"]
    assert processes["broker"]["port"] == running.mqtt_port and processes["api"]["port"] == running.api_port
    assert processes["panel"]["port"] == running.panel_port
    for process in processes.values():
        assert process["healthy"] and process["restarts"] == 0 and process["problem"] == ""
        assert alive(process["pid"]) and process["since"] > 1.7e12
    assert running.end() == 0 and "did not stop" not in running.said
    assert not any(alive(process["pid"]) for process in processes.values())
    assert heatpump("status", "--data", running.data).returncode == 1


def test_a_tail_finds_the_api_by_the_data_folder_though_it_waited_elsewhere_before(up, tmp_path):
    elsewhere = free_port()
    command = [*HEATPUMP, "tail", "--data", str(tmp_path / "data")]
    tail = Running(command, tmp_path / "tail.log", HEATPUMP_API_PORT=elsewhere)
    try:
        tail.until_it_says(f"the API does not answer at 127.0.0.1:{elsewhere}; trying again$")
        up().until_ready()
        tail.until_it_says("^heatpump tail: connected$")
    finally:
        tail.clean_up()


def test_nothing_outlives_a_killed_up(up):
    running = up()
    running.until_ready()
    pids = [process["pid"] for process in status(running).values()]
    running.end(signal.SIGKILL)
    wait_for(lambda: not any(map(alive, pids)))


def test_every_killed_process_comes_back_and_readings_are_stored_again(up):
    running = up()
    running.until_ready()
    for name, before in status(running).items():
        os.kill(before["pid"], signal.SIGKILL)
        running.until_it_says(f"^{name} ended by SIGKILL; starting it again in 0.5 s$")
        running.until_it_says(f"^{name} is ready again$")
    after = wait_for(lambda: status(running), lambda all_: all(process["healthy"] for process in all_.values()))
    assert {name: process["restarts"] for name, process in after.items()} == dict.fromkeys(
        ("broker", "flow", "api", "panel"), 1
    )
    device = log_in(running.mqtt_port)
    publish(device, "site2")
    leave(device)
    wait_for(lambda: readings(running, "site2"))


def test_a_second_up_and_a_second_flow_on_one_folder_are_refused_with_the_pid_of_the_first(up):
    running = up()
    running.until_ready()
    options = ("--mqtt-port", "--mqtt-ws-port", "--api-port", "--panel-port")
    ports = [word for option in options for word in (option, free_port())]
    second = heatpump("up", "--data", running.data, *ports)
    assert second.returncode == 2
    assert f"in use by process {running.process.pid}: stop it, or choose another with --data" in second.stderr
    flow = heatpump("flow", "--data", running.data, "--mqtt-port", running.mqtt_port)
    assert flow.returncode == 2
    assert f"in use by process {status(running)['flow']['pid']}" in flow.stderr


def test_a_flow_that_refuses_ends_up_with_its_sentence_and_code_2(up, tmp_path):
    running = up(HEATPUMP_GRAPH=tmp_path / "nowhere.toml")
    assert running.process.wait(60) == 2
    assert re.search(
        "^flow: heatpump: HEATPUMP_GRAPH: '.*nowhere.toml' cannot be read", running.said, re.MULTILINE
    )


def test_lan_asks_for_a_generated_password_and_prints_the_lines_for_a_device(up):
    running = up("--lan")
    running.until_ready()
    lines = dict(re.findall(r"^#define (\w+) (.+)$", running.said, re.MULTILINE))
    assert list(lines) == ["MQTT_BROKER", "MQTT_PORT", "MQTT_USER", "MQTT_PASS", "DEVICE_ID"]
    assert (lines["MQTT_PORT"], lines["MQTT_USER"]) == (str(running.mqtt_port), '"heatpump"')
    password = lines["MQTT_PASS"].strip('"')
    secret = running.data / "secrets" / "mqtt-password"
    assert secret.read_text().strip() == password and len(password) >= 20
    assert secret.stat().st_mode & 0o777 == 0o600
    for port, transport in ((running.mqtt_port, "tcp"), (running.ws_port, "websockets")):
        assert log_in(port, transport) is None
        assert log_in(port, transport, "wrong") is None
        device = log_in(port, transport, password)
        assert device is not None
        publish(device, transport)
        leave(device)
        wait_for(lambda device_id=transport: readings(running, device_id))
    commands = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert password not in commands
    assert all(process["healthy"] for process in status(running).values())


def test_a_password_of_ones_own_is_demanded_and_status_needs_not_know_it(up):
    running = up(MQTT_PASSWORD='of "mine" \\ é')
    running.until_ready()
    assert log_in(running.mqtt_port) is None
    leave(log_in(running.mqtt_port, password='of "mine" \\ é'))
    assert status(running)["broker"]["healthy"]


def test_an_api_for_the_network_is_announced_with_where_its_token_is(up):
    running = up(HEATPUMP_API_HOST="0.0.0.0")
    running.until_ready()
    path = running.data / "secrets" / "api-token"
    assert f"the API asks for a token (Authorization: Bearer …): the one in {path}\n" in running.said
    assert path.read_text().strip() and status(running)["api"]["healthy"]


def test_a_broker_of_ones_own_is_used_instead(up, mosquitto: Mosquitto):
    running = up("--mqtt-port", str(mosquitto.port), MQTT_BROKER="127.0.0.1")
    running.until_ready()
    assert list(status(running)) == ["flow", "api", "panel"]
    device = log_in(mosquitto.port)
    publish(device, "site3")
    leave(device)
    wait_for(lambda: readings(running, "site3"))


def test_doctor_finds_nothing_wrong_while_all_runs(up):
    running = up()
    running.until_ready()
    done = heatpump("doctor", "--data", running.data, HEATPUMP_MIN_FREE_MB=1)
    assert done.returncode == 0, done.stdout
    for subject in ("broker: answers", "flow: healthy", "api: healthy", "panel: healthy", "journal: ", "store: "):
        assert f"ok    {subject}" in done.stdout
