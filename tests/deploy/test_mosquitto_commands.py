"""The commands of the deployed broker, as people run them: device, accounts, doctor."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator

import pytest

from flows.accounts.handout import fingerprint
from tests.cli.heatpump import HEATPUMP, clean_environment, heatpump
from tests.deploy.deployed_mosquitto import FLOW_ID, PASSWORDS, DeployedMosquitto
from tests.flows import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def broker() -> Iterator[DeployedMosquitto]:
    made = DeployedMosquitto()
    yield made.start()
    made.close()


def run(broker: DeployedMosquitto, *words: object, **settings: object) -> subprocess.CompletedProcess[str]:
    given = {
        "HEATPUMP_DATA": broker.home / "no-data",
        "HEATPUMP_MQTT_ACCOUNTS": broker.home / "accounts",
        "HEATPUMP_MQTT_LOG": broker.home / "log" / "mosquitto.log",
        **settings,
    }
    return heatpump(*words, **given)


def defines(text: str) -> dict[str, str]:
    return {name: value.strip('"') for name, value in re.findall(r"^#define (\w+) (.*)$", text, re.MULTILINE)}


def test_what_device_add_prints_lets_the_device_in(broker):
    done = run(broker, "device", "add", "site1", "--host", "broker.example")
    assert done.returncode == 0, done.stderr
    config = defines(done.stdout)
    assert list(config) == ["MQTT_BROKER", "MQTT_PORT", "MQTT_USER", "MQTT_PASS", "DEVICE_ID"]
    assert config["MQTT_BROKER"] == "broker.example" and config["MQTT_PORT"] == "1883"
    wait_for(lambda: broker.admits(config["MQTT_USER"], password=config["MQTT_PASS"]))
    again = run(broker, "device", "add", "site1")
    assert again.returncode == 2 and "--renew" in again.stderr and again.stdout == ""


def test_as_json_with_tls_it_has_all_that_a_program_needs(broker):
    done = run(
        broker, "device", "add", "site1", "site2", "--json", "--ca", broker.ca, HEATPUMP_MQTT_ADDRESS="b.example"
    )
    first, second = json.loads(done.stdout)
    assert (first["device_id"], second["device_id"], first["port"]) == ("site1", "site2", 8883)
    print_of_ca = fingerprint(broker.ca.read_text())
    assert first["address"] == f"mqtts://site1:{first['password']}@b.example:8883?ca=sha256:{print_of_ca}"
    wait_for(lambda: broker.admits("site2", number=8883, password=second["password"]))


def test_the_list_says_since_when_and_who_shares(broker):
    run(broker, "device", "add", "site1")
    old = broker.client("heatpump", "old-esp")
    old.close()
    listed = json.loads(run(broker, "device", "list", "--json").stdout)
    assert [line["device_id"] for line in listed["devices"]] == ["site1"]
    assert listed["shared"] == "heatpump"
    assert [client["client_id"] for client in listed["shared_clients"]] == ["old-esp"]
    assert "old-esp from 127.0.0.1" in run(broker, "device", "list").stdout
    assert run(broker, "device", "revoke", "site1").stdout == "site1 has no account any more\n"
    assert "is ended" in run(broker, "accounts", "per-device").stdout
    assert json.loads(run(broker, "device", "list", "--json").stdout) == {
        "devices": [],
        "shared": None,
        "shared_clients": [],
    }


def test_sync_watches_until_it_is_told_to_end(broker, tmp_path):
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name, value in PASSWORDS.items():
        (secrets / name).write_text(value)
    environment = clean_environment(
        HEATPUMP_DATA=tmp_path / "data", HEATPUMP_MQTT_ACCOUNTS=broker.home / "accounts", HEATPUMP_SECRETS=secrets
    )
    command = [*HEATPUMP, "accounts", "sync", "--watch"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as watching:
        try:
            (secrets / "new").write_text("another")
            (secrets / "new").rename(secrets / "HEATPUMP_MQTT_API_PASSWORD")
            wait_for(lambda: broker.admits("heatpump-api", password="another"))
        finally:
            watching.send_signal(signal.SIGTERM)
        assert watching.wait(60) == 0


def test_doctor_tries_the_flows_account_and_names_who_shares(broker):
    broker.client("heatpump", "old-esp").close()
    login = {"MQTT_BROKER": "localhost", "MQTT_PORT": broker.ports[8884], "HEATPUMP_MQTT_CA": broker.ca}
    as_flow = {"MQTT_USER": "heatpump-flow", "MQTT_PASSWORD": PASSWORDS["HEATPUMP_MQTT_FLOW_PASSWORD"]}
    found = findings(broker, **login, **as_flow, HEATPUMP_MQTT_CLIENT_ID=FLOW_ID)
    assert found["broker, queue"]["state"] == "ok"
    assert "broker, rights" not in found
    assert "old-esp (127.0.0.1)" in found["broker, accounts"]["found"]
    assert found["broker, accounts"]["state"] == "note"

    as_api = {"MQTT_USER": "heatpump-api", "MQTT_PASSWORD": PASSWORDS["HEATPUMP_MQTT_API_PASSWORD"]}
    assert "may not write heatpump-live/#" in findings(broker, **login, **as_api)["broker, rights"]["found"]
    wrong = findings(broker, **login, MQTT_USER="heatpump-flow", MQTT_PASSWORD="wrong")["broker"]
    assert "refuses the login" in wrong["found"] and wrong["state"] == "wrong"


def findings(broker: DeployedMosquitto, **settings: object) -> dict[str, dict[str, str]]:
    done = run(broker, "doctor", "--json", **settings)
    return {finding["subject"]: finding for finding in json.loads(done.stdout)["findings"]}
