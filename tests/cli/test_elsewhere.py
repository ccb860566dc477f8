"""Tools where the flow is not found by a data folder, but by HEATPUMP_FLOW_URL: they work, or say why not."""

import json

import pytest

from flows.errors import FlowDown
from flows.flow_port import FlowPort
from flows.settings import load_settings
from tests.brokers import Mosquitto, free_port
from tests.cli.heatpump import heatpump
from tests.flows import Flow, wait_for

pytestmark = pytest.mark.slow
TOKEN = "0123456789abcdef-of-the-command-port"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A flow that listens for commands where it is told to, and the environment of another container."""
    folder = tmp_path_factory.mktemp("elsewhere")
    broker, port = Mosquitto(folder / "broker"), free_port()
    flow = Flow(folder / "data", broker.port, command_host="0.0.0.0", command_port=port, metrics_port=0)
    flow._environment["HEATPUMP_COMMAND_TOKEN"] = TOKEN
    environment = {
        "HEATPUMP_FLOW_URL": f"http://127.0.0.1:{port}",
        "HEATPUMP_COMMAND_TOKEN": TOKEN,
        "MQTT_BROKER": "127.0.0.1",
        "MQTT_PORT": broker.port,
        "HEATPUMP_API_PORT": free_port(),
        "HEATPUMP_PANEL_PORT": free_port(),
    }
    try:
        broker.start()
        flow.launch()
        asked = FlowPort(load_settings(data=flow.data, command_token=TOKEN))
        wait_for(lambda: is_subscribed(asked))
        yield folder, environment
    finally:
        flow.kill()
        broker.stop()


def is_subscribed(port: FlowPort) -> bool:
    try:
        return bool(port.health()["connected"])
    except FlowDown:
        return False


def test_doctor_finds_the_flow_and_its_journal_is_not_looked_for_here(site):
    folder, environment = site
    done = heatpump("doctor", "--json", "--data", folder / "nowhere", **environment)
    found = {finding["subject"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert found["flow"]["found"] == "healthy"
    gone = {**environment, "HEATPUMP_FLOW_URL": f"http://127.0.0.1:{free_port()}"}
    done = heatpump("doctor", "--json", "--data", folder / "nowhere", **gone)
    found = {finding["subject"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert found["flow"]["state"] == "wrong" and "does not answer at http://127.0.0.1" in found["flow"]["found"]


def test_history_is_imported_over_the_address_of_the_flow(site, tmp_path):
    _, environment = site
    (tmp_path / "old.csv").write_text("time,power\n2026-01-05T00:00:00Z,1000\n2026-01-05T00:01:00Z,1100\n")
    (tmp_path / "map.toml").write_text(
        '[source]\ntime = "time"\n\n[quantity.power]\nfield = "power"\nunit = "W"\n'
    )
    done = heatpump(
        "import",
        "csv",
        tmp_path / "old.csv",
        "--device",
        "old",
        "--map",
        tmp_path / "map.toml",
        "--data",
        tmp_path / "nowhere",
        **environment,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "taken              2 readings" in done.stdout


def test_a_recording_and_a_status_say_where_they_can_be_had(site, tmp_path):
    _, environment = site
    done = heatpump("record", tmp_path / "day.hpr", "--data", tmp_path / "nowhere", **environment)
    assert (done.returncode, "run this where the flow runs" in done.stderr) == (2, True), done.stderr
    done = heatpump("status", "--data", tmp_path / "nowhere", **environment)
    assert (done.returncode, "heatpump doctor" in done.stdout) == (1, True)


def test_a_wrong_token_is_a_sentence_and_shown_nowhere(site, tmp_path):
    _, environment = site
    wrong = {**environment, "HEATPUMP_COMMAND_TOKEN": "another-of-more-than-16"}
    done = heatpump("doctor", "--json", "--data", tmp_path / "nowhere", **wrong)
    assert "refuses our token at http://127.0.0.1" in done.stdout
    assert "another-of-more-than-16" not in done.stdout + done.stderr
