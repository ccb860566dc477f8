"""heatpump doctor: what it finds of broker, secrets and clock, and where a device's readings stop."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import paho.mqtt.publish
import paho.mqtt.subscribe
import pytest

from flows.cli.findings_broker import version_finding
from flows.cli.findings_machine import clock
from flows.journal.writer import Journal
from flows.model.frame import FrameKind
from tests.brokers import Mosquitto, Rumqttd, free_port
from tests.cli.heatpump import heatpump
from tests.flows import Device, Flow, wait_for


class DefaultQueue(Mosquitto):
    """Mosquitto as Debian ships it: it queues 1 000 messages for a session that is away."""

    @property
    def config(self) -> str:
        return super().config.replace("max_queued_messages 1000000\n", "")


class Restricted(Mosquitto):
    """A broker whose ACL grants our topics alone."""

    @property
    def config(self) -> str:
        (self.folder / "acl").write_text("topic readwrite heatpump/#\ntopic readwrite heatpump-live/#\n")
        return f"{super().config}acl_file {self.folder}/acl\n"


def examined(broker: Mosquitto | Rumqttd, data: Path, **settings) -> tuple[int, dict[str, dict[str, str]]]:
    """Run doctor on a broker and a folder that is not there; findings by subject."""
    broker.start()
    try:
        where = {"MQTT_BROKER": "127.0.0.1", "MQTT_PORT": broker.port}
        ports = {"HEATPUMP_API_PORT": free_port(), "HEATPUMP_PANEL_PORT": free_port()}
        done = heatpump("doctor", "--json", "--data", data, **where, **ports, **settings)
        if isinstance(broker, Mosquitto):
            assert not left_behind(broker)
    finally:
        broker.stop()
    if isinstance(broker, Mosquitto):  # it saves its sessions as it ends
        assert b"heatpump-doctor" not in (broker.folder / "mosquitto.db").read_bytes()
    answer = json.loads(done.stdout)
    assert answer["well"] == (done.returncode == 0)
    return done.returncode, {finding["subject"]: finding for finding in answer["findings"]}


def left_behind(broker: Mosquitto) -> bool:
    """Whether doctor left a retained message: it would come before the one that we retain ourselves."""
    end = "heatpump/end/status/end"
    paho.mqtt.publish.single(end, b"end", qos=1, retain=True, port=broker.port)
    message = paho.mqtt.subscribe.simple(["heatpump-doctor/#", end], port=broker.port, msg_count=1)
    return message.topic != end


@pytest.mark.slow
def test_a_broker_that_drops_what_a_flow_that_is_away_should_get_is_found_by_trying(tmp_path):
    code, found = examined(DefaultQueue(tmp_path / "broker"), tmp_path / "data")
    assert code == 1
    assert found["broker, queue"]["found"] == "of 1100 messages for a session that was away it kept 1000"
    assert "max_queued_messages 1000000" in found["broker, queue"]["remedy"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Mosquitto, Rumqttd])
def test_a_broker_that_keeps_what_it_should_is_well_and_what_was_tried_leaves_nothing_behind(tmp_path, kind):
    code, found = examined(kind(tmp_path / "broker"), tmp_path / "data")
    assert code == 0
    assert found["broker, queue"]["state"] == "ok"
    assert found["broker, queue"]["found"].startswith("kept all 1100 messages")
    told = "mosquitto version 2." if kind is Mosquitto else "it does not tell its version"
    assert told in found["broker"]["found"]


@pytest.mark.slow
def test_a_login_that_may_not_try_is_told_that_it_is_not_known(tmp_path):
    code, found = examined(Restricted(tmp_path / "broker"), tmp_path / "data")
    assert (code, found["broker, queue"]["state"]) == (0, "note")
    assert "is not known" in found["broker, queue"]["found"]


@pytest.mark.parametrize(
    ("version", "state"),
    [
        ("mosquitto version 2.0.11", "note"),
        ("mosquitto version 2.0.13", "ok"),
        ("mosquitto version 2.1.0", "ok"),
        ("EMQX 5.8.0", "ok"),
    ],
)
def test_a_mosquitto_that_overshoots_is_named(version, state):
    finding = version_finding(version, "answers at here:1883", False)
    assert (finding.state, version in finding.found) == (state, True)


def test_a_clock_behind_the_journal_or_a_journal_behind_the_clock_is_wrong():
    now = time.time_ns() // 1_000_000
    states = [next(clock(arrived, True)).state for arrived in (now + 60_000, now - 60_000)]
    assert states == ["wrong", "wrong"]
    assert next(clock(now - 60_000, False)).state != "wrong"
    assert next(clock(now, True)).state != "wrong"


@pytest.mark.slow
def test_secrets_that_others_can_read_and_a_journal_of_the_future_are_wrong(tmp_path):
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "command-token").write_text("x\n")
    (secrets / "command-token").chmod(0o640)
    with closing(Journal.open(tmp_path / "journal", min_free_bytes=1)) as journal:
        journal.append(
            FrameKind.MESSAGE, time.time_ns() // 1_000_000 + 3_600_000, topic="heatpump/a/data", payload=b"{}"
        )
        journal.commit()
    ports = {name: free_port() for name in ("MQTT_PORT", "HEATPUMP_MQTT_WS_PORT", "HEATPUMP_API_PORT")}
    done = heatpump("doctor", "--data", tmp_path, HEATPUMP_PANEL_PORT=free_port(), HEATPUMP_MIN_FREE_MB=1, **ports)
    assert done.returncode == 1
    assert f"wrong secrets: {secrets / 'command-token'} is open to its group (640)\n      chmod 600" in done.stdout
    assert "wrong clock: " in done.stdout and "is in the past" in done.stdout


@pytest.fixture
def flow(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Flow]:
    made = Flow(tmp_path / "data", mosquitto.port).start()
    yield made
    made.kill()


@pytest.mark.slow
def test_a_flow_that_runs_without_up_is_asked_how_it_is(flow, mosquitto):
    ports = {"HEATPUMP_API_PORT": free_port(), "HEATPUMP_PANEL_PORT": free_port()}
    where = {"MQTT_BROKER": "127.0.0.1", "MQTT_PORT": mosquitto.port, "HEATPUMP_MIN_FREE_MB": 1}
    done = heatpump("doctor", "--data", flow.data, **ports, **where)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\nok    flow: healthy\n" in done.stdout and "nothing runs" not in done.stdout
    assert (
        "\nok    secrets: for this user alone\n" in done.stdout and "\nok    journal: frames 1 to " in done.stdout
    )


@pytest.mark.slow
def test_a_device_is_followed_to_the_first_broken_link(flow, mosquitto):
    port = free_port()

    def follow(*more: str):
        where = {"HEATPUMP_API_PORT": port, "MQTT_BROKER": "127.0.0.1", "MQTT_PORT": mosquitto.port}
        return heatpump("doctor", "--device", "site1", *more, "--data", flow.data, **where)

    nothing = follow()
    assert nothing.returncode == 1
    assert nothing.stdout.startswith("Nothing has come from site1.\n  ok      broker     the flow is subscribed\n")
    assert nothing.stdout.endswith(f"--device-id site1 --broker 127.0.0.1 --port {mosquitto.port}`.\n")
    device = Device(mosquitto.port)
    device.send(b"{")
    refused = wait_for(follow, lambda done: "\n  broken  decoded    dead: not_json\n" in done.stdout)
    assert refused.returncode == 1 and "`heatpump dead-letters list --device site1` shows" in refused.stdout
    device.reading()
    unseen = wait_for(lambda: json.loads(follow("--json").stdout), lambda walk: walk["broken"] != "decoded")
    assert unseen["broken"] == "shown" and "the API does not answer at 127.0.0.1" in unseen["sentence"]
    device.close()
    flow.stop()
    assert "  broken  broker     the flow is not running" in follow().stdout
