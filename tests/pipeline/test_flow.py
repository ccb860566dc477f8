"""The flow as its users meet it: a process, a broker, a store, and what goes wrong with them."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error

import pytest

from flows.mqtt import leave
from tests.brokers import Mosquitto
from tests.flows import Device, Flow, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def flow(tmp_path, mosquitto):
    flow = Flow(tmp_path / "data", mosquitto.port)
    yield flow
    flow.kill()


@pytest.fixture
def device(mosquitto):
    device = Device(mosquitto.port)
    yield device
    device.close()


def test_a_published_reading_is_stored_with_what_follows_from_it(flow, device):
    flow.start()
    device.send(
        {"temperature": {"inlet": 30, "outlet": 35}, "hydraulic": {"flow": 12}, "electrical": {"power": 900}}
    )
    wait_for(flow.readings, lambda count: count == 1)
    stored = flow.read(lambda reader: reader.readings("site1", 0, 2**43, 10))[0]
    assert stored.values["delta_t"] == 5.0 and stored.clock == "arrival"
    assert flow.stop() == 0


def test_nothing_is_lost_or_doubled_when_the_flow_is_killed_between_and_during_messages(flow, device):
    start = time.time_ns() // 1_000_000 - 3_600_000
    sent = 0
    for _ in range(4):
        flow.start()
        for _ in range(200):
            sent += 1
            device.send({"timestamp": start + sent * 1000, "electrical": {"power": sent}})
            if sent % 200 == 150:
                flow.kill()
    flow.kill()
    flow.start()
    wait_for(flow.readings, lambda count: count == sent)
    rows = flow.read(lambda reader: reader.raw_columns("site1", 0, 2**43, ["power"], 5000))
    assert rows.values["power"] == [float(n) for n in range(1, sent + 1)]


def test_dirty_input_becomes_dead_letters_and_the_next_good_reading_arrives(flow, device):
    flow.start()
    for payload in (os.urandom(200), b"{}", b"x" * 300_000, b"[" * 50_000):
        device.send(payload)
    device.send(b"{}", topic="nonsense")
    device.reading()
    wait_for(flow.readings, lambda count: count == 1)
    letters = wait_for(
        lambda: flow.read(lambda reader: reader.dead_letters(None, None, None, 50)), lambda found: len(found) == 5
    )
    assert sorted(letter.reason for letter in letters) == [
        "bad_topic",
        "empty",
        "not_json",
        "not_json",
        "too_large",
    ]
    (large,) = [letter for letter in letters if letter.reason == "too_large"]
    assert (large.size, len(large.body)) == (300_000, 16_384)
    sums = flow.ask("/pipeline")["conservation"]
    nothing = {"duplicate": 0, "dropped": 0, "in_flight": 0, "unexplained": 0}
    assert sums == {"received": 5, "stored": 1, "dead": 4, **nothing}


def test_of_a_flood_of_dead_letters_a_hundred_bodies_are_kept_and_all_are_counted(flow, device):
    flow.start()
    for _ in range(150):
        device.send(b"{}")
    counts = wait_for(
        lambda: flow.read(lambda reader: reader.dead_letter_counts(None, 0, 2**43)),
        lambda found: sum(row.count for row in found) == 150,
    )
    assert {row.reason for row in counts} == {"empty"}
    kept = flow.read(lambda reader: reader.dead_letters(None, None, None, 500))
    assert len(kept) == sum(min(row.count, 100) for row in counts)


def test_two_flows_on_one_folder_the_second_says_who_has_it(flow):
    flow.start()
    second = subprocess.run(
        [sys.executable, "-m", "flows.cli.app", "flow"],
        env=flow._environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert second.returncode == 2
    assert f"in use by process {flow.process.pid}" in second.stderr and "Traceback" not in second.stderr


def test_a_store_locked_for_a_while_costs_nothing_and_sigterm_still_ends_it(flow, device):
    flow.start()
    device.reading()
    wait_for(flow.readings, lambda count: count == 1)
    locker = sqlite3.connect(flow.store, isolation_level=None)
    locker.execute("BEGIN EXCLUSIVE")
    for _ in range(20):
        device.reading()
    wait_for(flow.health, lambda health: bool(health["store_waiting"]))
    assert flow.stop() == 0
    locker.execute("ROLLBACK")
    locker.close()
    flow.start()
    wait_for(flow.readings, lambda count: count == 21)


def test_a_stopped_flow_or_broker_makes_nobody_offline_and_true_silence_does(tmp_path, mosquitto, device):
    # Twice the fewest ticks: until a reading is sent and stored, a busy machine needs some of them.
    flow = Flow(tmp_path / "data", mosquitto.port, offline_ticks=10)
    try:
        flow.start()
        other = Device(mosquitto.port, "site2")
        for publisher in (device, other):
            publisher.reading()
        wait_for(flow.readings, lambda count: count == 2)
        flow.signal(signal.SIGSTOP)
        time.sleep(11)  # longer than the limit: this is the outage itself, not a wait for a condition
        flow.signal(signal.SIGCONT)
        mosquitto.pause()
        time.sleep(11)
        mosquitto.resume()
        wait_for(flow.health, lambda health: bool(health and health["connected"]))
        for publisher in (device, other):
            publisher.reading()
        wait_for(flow.readings, lambda count: count == 4)
        assert flow.alerts("device_offline") == []
        wait_for(lambda: flow.alerts("device_offline"), lambda states: states == ["raised", "raised"])
        device.reading()
        wait_for(lambda: sorted(flow.alerts("device_offline")), lambda states: states == ["cleared", "raised"])
        other.close()
    finally:
        flow.kill()


def test_a_full_disk_stops_acknowledging_says_so_and_goes_on_when_there_is_room(tmp_path, mosquitto, device):
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=50m", "tmpfs", str(folder)], check=True)
    flow = Flow(folder / "data", mosquitto.port)
    flow.log = tmp_path / "flow.log"
    try:
        flow.start()
        device.reading()
        wait_for(flow.readings, lambda count: count == 1)
        filler = folder / "filler"
        filler.write_bytes(b"x" * max(0, shutil.disk_usage(folder).free - 500_000))
        wait_for(flow.health, lambda health: bool(health and health["full"]))
        for _ in range(50):
            device.reading()
        assert "MB are free" in flow.health()["problem"]
        filler.unlink()
        wait_for(flow.readings, lambda count: count == 51)
    finally:
        flow.kill()
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_command_takes_effect_once_and_survives_a_kill(flow, device):
    flow.start()
    device.reading(electrical={"current": 13.0})
    wait_for(lambda: flow.alerts("current"), lambda states: states == ["raised"])
    alert_id = flow.read(lambda reader: reader.alerts(None, 0, 2**43, 1))[0].last.id
    command = {"id": "c-1", "by": "me", "name": "alert_ack", "body": {"alert_id": alert_id}}
    assert flow.ask("/commands", command)["seq"] > 0
    flow.kill()
    flow.start()
    outcome = wait_for(lambda: flow.read(lambda reader: reader.command("c-1")), lambda found: found is not None)
    assert outcome.outcome == "done"
    flow.ask("/commands", command)
    device.reading(electrical={"current": 1.0})
    wait_for(lambda: flow.alerts("current"), lambda states: states == ["cleared"])
    assert flow.read(lambda reader: reader.alert(alert_id)).acknowledged_by == "me"


def test_live_readings_and_transitions_are_published_while_fresh(flow, device, mosquitto):
    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion

    heard: list[tuple[str, dict]] = []
    listener = mqtt.Client(CallbackAPIVersion.VERSION2)
    listener.on_message = lambda _c, _d, message: heard.append((message.topic, json.loads(message.payload)))
    listener.connect("127.0.0.1", mosquitto.port)
    listener.subscribe("heatpump-live/#", 1)
    listener.loop_start()
    try:
        flow.start()
        wait_for(lambda: [topic for topic, _ in heard if topic == "heatpump-live/pipeline"])
        device.send({"timestamp": time.time_ns() // 1_000_000, "electrical": {"voltage": 251, "nested": 1}})
        wait_for(
            lambda: {topic for topic, _ in heard} >= {"heatpump-live/site1/reading", "heatpump-live/site1/alert"}
        )
        bodies = dict(heard)
        assert bodies["heatpump-live/site1/reading"]["voltage"] == 251.0
        assert bodies["heatpump-live/site1/reading"]["data"]["electrical"] == {"voltage": 251, "nested": 1}
        assert bodies["heatpump-live/site1/alert"]["alert_type"] == "voltage_high"
        for _ in range(2):
            heard.clear()
            device.send({"boot_id": "b", "seq": 7, "electrical": {"voltage": 230}})
            wait_for(lambda: ("heatpump-live/site1/ack", {"boot_id": "b", "seq": 7}) in heard)
    finally:
        leave(listener)


@pytest.mark.parametrize("name", ["command_port", "offline_ticks", "epoch_ms"])
def test_a_wrong_setting_is_one_sentence_and_exit_code_2(tmp_path, name):
    flow = Flow(tmp_path / "data", 1, **{name: "many"})
    flow.launch()
    assert flow.ended() == 2
    text = flow.log.read_text()
    assert f"HEATPUMP_{name.upper()}" in text and "many" in text and "Traceback" not in text


def test_a_journal_that_vanished_is_refused_not_replaced(flow, device):
    flow.start()
    device.reading()
    wait_for(flow.readings, lambda count: count == 1)
    assert flow.stop() == 0
    shutil.rmtree(flow.data / "journal")
    flow.launch()
    assert flow.ended() == 2
    assert "is gone" in flow.log.read_text()
    assert not (flow.data / "journal").exists() or not list((flow.data / "journal").iterdir())


def test_without_a_broker_it_waits_and_commands_are_still_taken(tmp_path):
    broker = Mosquitto(tmp_path / "mosquitto")
    flow = Flow(tmp_path / "data", broker.port)
    try:
        flow.launch()
        wait_for(flow.health, lambda health: health is not None and not health["connected"])
        body = {"device_id": "site1", "name": "Home"}
        flow.ask("/commands", {"id": "c-1", "by": "me", "name": "device_put", "body": body})
        wait_for(lambda: flow.read(lambda reader: reader.device("site1")), lambda found: found is not None)
        broker.start()
        wait_for(flow.health, lambda health: bool(health and health["connected"]))
    finally:
        flow.kill()
        broker.stop()


def test_the_private_port_tells_nothing_without_its_token(flow):
    flow.start()
    (flow.data / "secrets" / "command-token").write_text("wrong\n")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        flow.ask("/pipeline")
