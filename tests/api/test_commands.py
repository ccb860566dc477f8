"""Commands and the pipeline's counters: through the API to a running flow and back out of the store."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from api import commands
from flows.mqtt import leave
from flows.settings import load_settings
from tests.api.conftest import Api, running, wait_for
from tests.brokers import Mosquitto

pytestmark = pytest.mark.slow


class RunningFlow:
    """A flow in a process of its own, with its broker, a device that speaks, and the API beside it."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.broker = Mosquitto(folder / "broker")
        self.broker.start()
        self.start()
        self.device = mqtt.Client(CallbackAPIVersion.VERSION2)
        self.device.connect(self.broker.host, self.broker.port)
        self.device.loop_start()

    def start(self) -> None:
        environment = {
            **os.environ,
            "MQTT_BROKER": self.broker.host,
            "MQTT_PORT": str(self.broker.port),
            "HEATPUMP_EPOCH_MS": "200",
            "HEATPUMP_MIN_FREE_MB": "1",
        }
        command = [sys.executable, "-m", "flows.cli.app", "flow", "--data", str(self.data)]
        with open(self.data.parent / "flow.log", "ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def send(self, **payload) -> None:
        payload["timestamp"] = time.time_ns() // 1_000_000
        self.device.publish("heatpump/site1/data", json.dumps(payload), 1).wait_for_publish(10)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def close(self) -> None:
        self.stop()
        leave(self.device)
        self.broker.stop()


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFlow]:
    running_flow = RunningFlow(tmp_path_factory.mktemp("flow"))
    yield running_flow
    running_flow.close()


@pytest.fixture(scope="module")
def api(flow: RunningFlow) -> Iterator[Api]:
    settings = load_settings(data=flow.data, mqtt_broker=flow.broker.host, mqtt_port=flow.broker.port)
    with running(settings, settings.store_path, live=True) as running_api:
        wait_for(lambda: running_api.get("/api/pipeline").status_code == 200, "the flow to answer")
        wait_for(
            # A flow that has much to do at its start may still answer too late: a problem, without a journal.
            lambda: running_api.get("/api/pipeline").json().get("journal", {}).get("connected"),
            "the flow's subscription",
        )
        flow.send(electrical={"voltage": 251.0}, temperature={"inlet": 30.0})
        wait_for(
            lambda: running_api.get("/api/devices/site1/status").status_code == 200, "the reading to be stored"
        )
        yield running_api


def test_the_pipelines_counters_are_the_flows_own(api):
    pipeline = api.get("/api/pipeline").json()
    assert {"nodes", "backlog", "conservation", "journal", "dirty"} <= set(pipeline)
    assert [node["step"] for node in pipeline["nodes"]][:1] == ["decode"]


def test_with_everything_running_health_says_so(api):
    wait_for(lambda: api.get("/api/health").json()["flow_running"], "the flow to be heard")
    health = api.get("/api/health").json()
    assert (health["status"], health["problems"]) == ("healthy", [])


def test_metadata_is_answered_when_it_is_stored(api):
    answer = api.put(
        "/api/devices/site1",
        json={
            "name": "Cabin",
            "timezone": "Europe/Oslo",
            "refrigerant": "R290",
            "limits": {"current": {"warning": 9.0}},
            "valid_from": "2026-01-01T01:00:00+01:00",
        },
    )
    assert answer.status_code == 200
    assert answer.json()["outcome"] == "done"
    status = api.get("/api/devices/site1/status").json()
    assert status["metadata"]["name"] == "Cabin"
    assert status["metadata"]["valid_from"] == "2026-01-01T00:00:00.000Z"
    assert status["limits"]["current"]["high"]["warning"] == 9.0
    assert api.get("/api/devices/site1/series?resolution=1d").json()["timezone"] == "Europe/Oslo"


def test_a_device_may_be_described_before_it_speaks(api):
    assert api.put("/api/devices/site9", json={"name": "Barn"}).status_code == 200
    listed = {device["device_id"]: device for device in api.get("/api/devices").json()}
    assert listed["site9"] == {"device_id": "site9", "is_online": False, "last_seen": None, "name": "Barn"}


@pytest.mark.parametrize(
    ("body", "field", "allowed"),
    [
        ({"refrigerant": "R12"}, "refrigerant", "must be empty or one of R22"),
        ({"timezone": "Europe/Atlantis"}, "timezone", "must be an IANA time zone"),
        ({"timezone": "../../etc/passwd"}, "timezone", "must be an IANA time zone"),
        ({"glycol_percent": 31}, "glycol_percent", "must be 0 … 30"),
        ({"carnot_fraction": 0}, "carnot_fraction", "must be greater than 0"),
        ({"spf_boundary": "H5"}, "spf_boundary", "must be '', 'H1'"),
        ({"valid_from": "2026-01-01T00:00:00"}, "valid_from", "must have timezone info"),
        ({"colour": "red"}, "colour", "is no field here; there are name, location, timezone"),
        ({"limits": {"current": {"low": 1}}}, "limits.current.low", "there are warning, critical"),
        ({"limits": {"humidity": {"warning": 1}}}, "limits.humidity", "must be one of voltage_high"),
        ({"limits": {"voltage_high": {"warning": 260}}}, "limits.voltage_high.warning", "critical, which is 250"),
        ({"limits": {"voltage_low": {"critical": 220}}}, "limits.voltage_low.warning", "critical, which is 220"),
        ({"limits": {"current": {"warning": "hot"}}}, "limits.current.warning", "must be a valid number"),
        ([], "body", "must be a JSON object"),
    ],
)
def test_metadata_that_cannot_be_is_refused_by_field(api, body, field, allowed):
    answer = api.put("/api/devices/site1", json=body)
    assert answer.status_code == 422
    assert answer.json()["field"] == field
    assert allowed in answer.json()["allowed"]


@pytest.mark.parametrize(
    ("body", "media", "field", "allowed"),
    [
        (b'{"name": "Cabin"}', "text/plain", "Content-Type", "must be application/json"),
        (b'{"name": ', "application/json", "body", "must be JSON ("),
        (b"", "application/json", "body", "is required"),
    ],
)
def test_a_body_that_is_no_json_is_refused_in_words(api, body, media, field, allowed):
    answer = api.put("/api/devices/site1", content=body, headers={"Content-Type": media})
    assert answer.status_code == 422
    assert answer.json()["field"] == field
    assert allowed in answer.json()["allowed"]


def test_half_a_surrogate_pair_is_refused_and_shown_escaped(api):
    answer = api.put(
        "/api/devices/site1", content=b'{"name":"\\ud800"}', headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422 and answer.json()["value"] == "\\ud800"


def test_a_device_id_that_no_topic_can_have_is_refused(api):
    answer = api.put("/api/devices/-x", json={})
    assert (answer.status_code, answer.json()["field"]) == (422, "device_id")


def test_an_alert_is_acknowledged_by_name_and_once(api):
    wait_for(lambda: api.get("/api/alerts").json(), "the alert to be stored")
    alert = api.get("/api/alerts?device_id=site1").json()[0]
    assert (alert["alert_type"], alert["alert_level"]) == ("voltage_high", "critical")
    path = f"/api/alerts/{alert['id']}/ack"
    first = api.post(path, json={"by": "Anna"}, headers={"Idempotency-Key": "ack-1"})
    assert (first.status_code, first.json()["outcome"]) == (200, "done")
    assert api.get("/api/alerts").json()[0]["acknowledged_by"] == "Anna"
    again = api.post(path, json={"by": "Anna"}, headers={"Idempotency-Key": "ack-1"})
    assert again.json() == first.json()
    twice = api.post(path)
    assert (twice.status_code, twice.json()["outcome"]) == (409, "refused")
    assert twice.json()["detail"]


def test_a_key_that_was_used_for_another_command_is_refused(api):
    headers = {"Idempotency-Key": "put-1"}
    assert api.put("/api/devices/site8", json={"name": "One"}, headers=headers).status_code == 200
    other = api.put("/api/devices/site8", json={"name": "Two"}, headers=headers)
    assert other.status_code == 409
    assert "already used" in other.json()["detail"]
    assert api.get("/api/devices/site8/status").json()["metadata"]["name"] == "One"


def test_a_forgotten_device_is_gone(api):
    assert api.put("/api/devices/site7", json={}).status_code == 200
    assert api.delete("/api/devices/site7").status_code == 200
    assert api.get("/api/devices/site7/status").status_code == 404
    assert api.delete("/api/devices/site7").status_code == 404


def test_what_is_not_stored_in_time_is_answered_202_and_can_be_asked_again(api, flow, monkeypatch):
    """The store is held by another: the flow journals the command, its effect comes later."""
    import sqlite3

    monkeypatch.setattr(commands, "PATIENCE_S", 0.5)
    other = sqlite3.connect(flow.data / "store.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    headers = {"Idempotency-Key": "late-1"}
    pending = api.put("/api/devices/site6", json={"name": "Late"}, headers=headers)
    assert (pending.status_code, pending.json()["outcome"]) == (202, "pending")
    assert "Idempotency-Key late-1" in pending.json()["detail"]
    wait_for(
        lambda: "waits for the store" in str(api.get("/api/health").json()["problems"]), "the store's trouble"
    )
    other.close()
    wait_for(lambda: not api.get("/api/health").json()["problems"], "the end of the trouble")
    monkeypatch.undo()
    done = api.put("/api/devices/site6", json={"name": "Late"}, headers=headers)
    assert (done.status_code, done.json()["outcome"]) == (200, "done")


def test_without_the_flow_commands_and_counters_are_503_and_reads_go_on(api, flow):
    flow.stop()
    for answer in (
        api.get("/api/pipeline"),
        api.put("/api/devices/site1", json={}),
        api.delete("/api/devices/site1"),
    ):
        assert answer.status_code == 503
        assert "the flow is not running" in answer.json()["detail"]
        assert answer.headers["retry-after"] == "2"
    assert api.get("/api/devices/site1/readings/latest").json()["voltage"] == 251.0
    flow.start()
    wait_for(lambda: api.get("/api/pipeline").status_code == 200, "the flow to come back")
    flow.process.kill()
    flow.process.wait(60)
    answer = api.get("/api/pipeline")
    assert answer.status_code == 503
    assert "does not answer on its port" in answer.json()["detail"]
