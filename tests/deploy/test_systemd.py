"""The units for a bare machine: systemd takes them, they may do nothing but their work, and they do it."""

import json
import re
import shutil
import subprocess
import urllib.request

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from flows.mqtt import leave
from flows.settings import Settings
from tests.deploy.runner import VENV, Machine, needed
from tests.deploy.units import UNITS, Box, one, read
from tests.flows import wait_for

SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
MOST_EXPOSED = 2.0
"""Of systemd's scale from 0 (nothing can be done from within) to 10."""

systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")


def secrets() -> dict[str, str]:
    """Every secret that a unit loads, each of 32 characters of its own."""
    sources = {
        credential.rpartition("/")[2] for name in SERVICES for credential in read(name)["Service.LoadCredential"]
    }
    return {name: f"{name.lower()}-".ljust(40, "x") for name in sources} | {
        "INFLUXDB_TOKEN": "",
        "HEATPUMP_API_TOKEN": "",
    }


def test_every_credential_is_the_value_of_a_setting_and_comes_from_a_file_of_that_kind():
    variables = {name for field in Settings.model_fields.values() for name in field.validation_alias.choices}
    assert SERVICES
    for name in SERVICES:
        for credential in read(name)["Service.LoadCredential"]:
            key, _, source = credential.partition(":")
            assert key in variables
            assert re.fullmatch(r"/etc/heat-pump/secrets/\w+", source)


def test_what_installs_them_makes_every_secret_that_they_load():
    script = (UNITS / "install.sh").read_text()
    assert [name for name in secrets() if not re.search(rf"\b{name}\b", script)] == []


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_what_installs_them_is_plain_shell():
    done = subprocess.run(["shellcheck", UNITS / "install.sh"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_environment_of_a_unit_is_a_setting():
    variables = {name for field in Settings.model_fields.values() for name in field.validation_alias.choices}
    for name in SERVICES:
        for assignments in read(name)["Service.Environment"]:
            for assignment in assignments.split():
                assert assignment.partition("=")[0] in variables | {"PYTHONUNBUFFERED", "MOSQUITTO_HOME"}
    shown = re.findall(r"^#?([A-Z_]+)=", (UNITS / "heat-pump.env").read_text(), re.MULTILINE)
    assert shown and set(shown) <= variables


def test_the_target_wants_what_runs_and_nothing_twice():
    wanted = one(read("heat-pump.target"), "Unit.Wants").split()
    running = [name for name in SERVICES if one(read(name), "Service.Type") != "oneshot"]
    assert sorted(wanted) == running
    memory = [int(one(read(name), "Service.MemoryMax").removesuffix("M")) for name in running]
    assert sum(memory) <= 1_800


@systemd
@pytest.mark.slow
@pytest.mark.parametrize("name", SERVICES)
def test_systemd_finds_little_to_attack(name):
    done = subprocess.run(
        [
            "systemd-analyze",
            "security",
            "--offline=true",
            f"--threshold={MOST_EXPOSED * 10:.0f}",
            "--no-pager",
            UNITS / name,
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


@systemd
@needed()
@pytest.mark.slow
def test_systemd_finds_no_mistake_in_the_units():
    """At the paths of the how-to: verify looks whether what is started is there."""
    units = sorted(path.name for path in UNITS.iterdir() if path.suffix in (".service", ".timer", ".target"))
    box = ["bwrap", "--ro-bind", "/", "/", "--tmpfs", "/opt", "--dev", "/dev"]
    box += ["--ro-bind", VENV / "bin", "/opt/heat-pump/bin"]
    box += ["--ro-bind", UNITS.parent / "mosquitto", "/opt/heat-pump/mosquitto"]
    box += ["--ro-bind", UNITS, "/opt/units"]
    for folder in ("/run", "/tmp", "/var/tmp"):
        box += ["--tmpfs", folder]
    done = subprocess.run(
        [*box, "systemd-analyze", "verify", "--man=no", *(f"/opt/units/{name}" for name in units)],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    """Broker, flow, API and pages as their units start them."""
    folder = tmp_path_factory.mktemp("systemd")
    environment = {"MQTT_BROKER": "127.0.0.1", "HEATPUMP_METRICS_PORT": "9464", "HEATPUMP_MIN_FREE_MB": "1"}
    with Machine(folder / "machine") as machine:
        made = Box(machine, folder / "etc", environment)
        for name, value in secrets().items():
            made.secret(name, value + "\n" if value else "")
        done = machine.run(made.container("heat-pump-accounts.service"))
        assert done.returncode == 0, done.stderr
        for name in ("mqtt", "flow", "api", "panel"):
            machine.start(made.container(f"heat-pump-{name}.service"))
        wait_for(lambda: ready(machine, "flow"))
        wait_for(lambda: ready(machine, "api") and ready(machine, "panel"))
        yield made


def ready(machine: Machine, name: str) -> bool:
    running = machine.running[f"heat-pump-{name}.service"]
    assert running.ended is None, running.said
    return running.run("/opt/heat-pump/bin/heatpump", "healthy", name, "--ready").returncode == 0


def get(url: str, token: str = "") -> str:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode()


def send(*readings: dict) -> None:
    """Publish with the shared account, as an older device does: it tries until the broker has it."""
    device = mqtt.Client(CallbackAPIVersion.VERSION2)
    device.username_pw_set("heatpump", secrets()["MQTT_PASSWORD"])
    device.connect_async("127.0.0.1")
    device.reconnect_delay_set(max_delay=1)
    device.loop_start()
    for reading in readings:
        wait_for(device.is_connected)
        sent = device.publish("heatpump/site1/data", json.dumps(reading), 1)
        wait_for(sent.is_published)
    leave(device)


@pytest.fixture
def total(box):
    return lambda: json.loads(get("http://127.0.0.1:8000/api/stats"))["total_readings"]


@needed("mosquitto")
@pytest.mark.slow
def test_what_the_units_start_takes_a_reading_to_the_api_with_credentials_alone(box, total):
    before = total()
    send({"temperature": {"inlet": 30}})
    wait_for(total, lambda now: now == before + 1)
    for running in box.machine.running.values():
        environment = f"/proc/{running.pid}/environ"
        with open(environment, "rb") as file:
            assert not any(value.encode() in file.read() for value in secrets().values() if value)
        assert not any(value in running.said for value in secrets().values() if value)


@needed("mosquitto")
@pytest.mark.slow
def test_each_of_them_started_again_alone_loses_nothing_and_hangs_nobody(box, total):
    machine, before = box.machine, total()
    for number, name in enumerate(("flow", "api", "panel", "mqtt")):
        send({"temperature": {"inlet": 20.0 + number}})
        running = machine.running[f"heat-pump-{name}.service"]
        running.kill() if name in ("flow", "api") else running.stop()
        machine.start(running.container)
        if name != "mqtt":
            send({"temperature": {"inlet": 40.0 + number}})
        wait_for(lambda: all(ready(machine, each) for each in ("flow", "api", "panel")))
    wait_for(total, lambda now: now == before + 7)


@needed("mosquitto")
@pytest.mark.slow
def test_another_password_and_token_are_taken_at_the_next_start(box, total):
    machine, before = box.machine, total()
    send({"temperature": {"inlet": 50}})
    assert "heatpump_mqtt_connected 1.0" in get(
        "http://127.0.0.1:9464/metrics", secrets()["HEATPUMP_METRICS_TOKEN"]
    )
    for name in ("HEATPUMP_MQTT_FLOW_PASSWORD", "HEATPUMP_METRICS_TOKEN"):
        box.secret(name, "another-one-of-more-than-16-characters\n")
    assert machine.run(box.container("heat-pump-accounts.service")).returncode == 0
    send({"temperature": {"inlet": 51}})
    machine.running["heat-pump-flow.service"].stop()
    send({"temperature": {"inlet": 52}})
    machine.start(box.container("heat-pump-flow.service"))
    wait_for(lambda: ready(machine, "flow"))
    wait_for(total, lambda now: now == before + 3)
    found = get("http://127.0.0.1:9464/metrics", "another-one-of-more-than-16-characters")
    assert "heatpump_mqtt_connected 1.0" in found
    with pytest.raises(urllib.error.HTTPError, match="401"):
        get("http://127.0.0.1:9464/metrics", secrets()["HEATPUMP_METRICS_TOKEN"])
