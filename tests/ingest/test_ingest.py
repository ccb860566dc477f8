import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

from flows.ingest.connection import topic_text
from flows.journal.reader import describe
from flows.model.frame import FrameKind, Start, start_of, tick_of
from tests.brokers import Mosquitto, Rumqttd
from tests.ingest.conftest import PATIENCE_S, Device, wait_for

pytestmark = pytest.mark.slow


def connected(ingest):
    wait_for(lambda: ingest.health()["connected"], "the subscription")
    return ingest


def test_messages_are_journaled_as_sent_behind_a_start(
    any_broker, any_reader, run_ingest, device, frames, payloads
):
    with run_ingest() as ingest:
        connected(ingest)
        device.deliver(b"one", b"", b"\xff\x00", qos=1)
        device.deliver(b"true", topic="heatpump/site1/status/online", retain=True)
        device.deliver(b"zero", qos=0)
        wait_for(lambda: len(payloads()) == 5, "five messages")
    journaled = frames()
    assert [frame.seq for frame in journaled] == list(range(1, len(journaled) + 1))
    assert start_of(journaled[0]) == Start(1, journaled[0].arrived, version="test")
    assert payloads() == [b"one", b"", b"\xff\x00", b"true", b"zero"]
    first, online = frames(FrameKind.MESSAGE)[0], frames(FrameKind.MESSAGE)[3]
    assert (first.topic, first.qos, first.dup, first.packet_id > 0) == ("heatpump/site1/data", 1, False, True)
    assert abs(first.arrived - time.time() * 1000) < 60_000
    assert online.topic == "heatpump/site1/status/online"


def test_what_is_published_while_ingest_is_down_arrives_after(any_broker, run_ingest, device, payloads):
    with run_ingest() as ingest:
        connected(ingest)
    sent = [b"%d" % n for n in range(300)]
    device.deliver(*sent)
    with run_ingest():
        wait_for(lambda: len(payloads()) >= 300, "the queued messages")
        device.deliver(b"last")
        wait_for(lambda: payloads()[-1] == b"last", "the newest message")
    assert payloads() == [*sent, b"last"]


def test_many_at_once_are_journaled_once_and_in_order(any_broker, any_reader, run_ingest, device, payloads):
    sent = [b"%d " % n * 120 for n in range(3_000)]
    with run_ingest() as ingest:
        connected(ingest)
        published = [device.publish(one) for one in sent]
        for one in published:
            one.wait_for_publish(PATIENCE_S)
        wait_for(lambda: ingest.health()["messages"] >= len(sent), "all messages")
        device.deliver(b"last")
        wait_for(lambda: payloads()[-1] == b"last", "the newest message")
    assert payloads() == [*sent, b"last"]


def test_ingest_finds_a_broker_that_comes_later_and_one_that_comes_back(mosquitto, run_ingest, payloads, device):
    device.close()
    mosquitto.stop()
    with run_ingest() as ingest:
        assert not ingest.health()["connected"]
        mosquitto.start()
        connected(ingest)
        mosquitto.kill()
        wait_for(lambda: not ingest.health()["connected"], "the loss of the connection")
        assert str(mosquitto.port) in ingest.health()["problem"]
        mosquitto.start()
        connected(ingest)
        assert ingest.health()["problem"] == ""


def run_child(settings, broker, *more):
    command = [sys.executable, "-m", "tests.ingest.child", str(settings.data), str(broker.port), *more]
    with open(settings.data.parent / "child.log", "ab") as log:
        return subprocess.Popen(command, stderr=log, start_new_session=True)


def test_killed_again_and_again_ingest_loses_nothing_and_journals_each_message_once(
    any_broker, settings, run_ingest, device, payloads
):
    with run_ingest() as ingest:
        connected(ingest)
    chance, sent, number = random.Random(4), [], 0
    for _ in range(6):
        child, before, kill_at = run_child(settings, any_broker, "slow"), len(payloads()), float("inf")
        while time.monotonic() < kill_at:
            for _ in range(4):
                sent.append(device.publish(b"%d" % number))
                number += 1
            time.sleep(0.01)
            if kill_at == float("inf") and len(payloads()) > before:  # it is at work
                kill_at = time.monotonic() + chance.uniform(0.2, 1.0)
        child.kill()
        child.wait(60)
    for one in sent:
        one.wait_for_publish(PATIENCE_S)
    with run_ingest():
        wait_for(lambda: len(set(payloads())) == number, f"all of {number} messages")
    counts = Counter(payloads())
    assert set(counts) == {b"%d" % n for n in range(number)}
    assert {payload: count for payload, count in counts.items() if count > 1} == {}
    assert payloads() == [b"%d" % n for n in range(number)]
    assert b"sent again" in (settings.data.parent / "child.log").read_bytes()


def test_over_a_wire_that_is_cut_again_and_again_each_message_is_journaled_once(
    wire, any_reader, run_ingest, device, payloads
):
    def slow_sync(handle):
        os.fdatasync(handle)
        time.sleep(0.05)  # so that cuts fall between sync and acknowledgement

    chance, sent = random.Random(8), []
    with run_ingest(sync=slow_sync) as ingest:
        connected(ingest)
        for _ in range(6):
            cut_at = time.monotonic() + chance.uniform(0.3, 0.6)
            while time.monotonic() < cut_at:
                sent += [device.publish(b"%d" % (len(sent) + n)) for n in range(4)]
                time.sleep(0.01)
            wire.cut()
        for one in sent:
            one.wait_for_publish(PATIENCE_S)
        wait_for(lambda: len(set(payloads())) == len(sent), f"all of {len(sent)} messages")
        assert ingest.health()["redeliveries"] > 0
    assert payloads() == [b"%d" % n for n in range(len(sent))]


def test_a_failing_fdatasync_ends_the_process_and_the_broker_still_has_the_messages(
    any_broker, settings, run_ingest, device, payloads
):
    with run_ingest() as ingest:
        connected(ingest)
    device.deliver(b"one", b"two")
    child = run_child(settings, any_broker, "fail")
    assert child.wait(PATIENCE_S) == 1
    assert b"Input/output error" in (settings.data.parent / "child.log").read_bytes()
    assert payloads() == []
    with run_ingest():
        wait_for(lambda: len(payloads()) >= 2, "the messages again")
    assert payloads() == [b"one", b"two"]


def test_a_second_counts_only_while_subscribed(mosquitto, run_ingest, device, ticks):
    device.close()
    mosquitto.stop()
    with run_ingest() as ingest:
        time.sleep(1.5)  # a second without a broker
        assert ticks() == []
        mosquitto.start()
        connected(ingest)
        wait_for(lambda: len(ticks()) >= 2, "two seconds")
    counted, began = len(ticks()), time.monotonic()
    with run_ingest() as ingest:
        connected(ingest)
        wait_for(lambda: len(ticks()) >= counted + 2, "two more seconds")
        assert time.monotonic() - began > 1.5
    assert ticks() == list(range(1, len(ticks()) + 1))


STOPPED_S = 2.3


def check_no_second_counts(pause, resume, ticks):
    pause()
    before = len(ticks())
    time.sleep(STOPPED_S)  # the stop itself
    stopped, began = len(ticks()), time.monotonic()
    assert stopped - before <= 1, "more than the second that was under way"
    resume()
    wait_for(lambda: len(ticks()) > stopped + 1, "seconds after the stop")
    counted, passed = len(ticks()) - stopped, time.monotonic() - began
    assert counted <= passed + 1.0
    assert ticks() == list(range(1, len(ticks()) + 1))


@pytest.fixture
def ticks(frames):
    return lambda: [tick_of(frame).n for frame in frames(FrameKind.TICK)]


def test_no_second_counts_while_the_broker_is_stopped(any_broker, run_ingest, ticks):
    with run_ingest():
        wait_for(ticks, "the first second")
        check_no_second_counts(any_broker.pause, any_broker.resume, ticks)


def test_no_second_counts_while_ingest_is_stopped(mosquitto, settings, ticks):
    child = run_child(settings, mosquitto)
    wait_for(lambda: (settings.data / "journal").exists() and ticks(), "the first second")
    stop, go_on = (lambda what=what: os.kill(child.pid, what) for what in (signal.SIGSTOP, signal.SIGCONT))
    check_no_second_counts(stop, go_on, ticks)
    child.kill()
    child.wait(60)


def test_an_oversized_payload_is_kept_as_its_head(any_broker, any_reader, run_ingest, device, frames):
    body = bytes(range(256)) * 1_200
    with run_ingest() as ingest:
        connected(ingest)
        device.deliver(body, bytes(256 * 1024), b"next")
        wait_for(lambda: len(frames(FrameKind.MESSAGE)) == 3, "three messages")
        assert ingest.health()["oversized"] == 1
    cut, whole, _ = frames(FrameKind.MESSAGE)
    assert (cut.payload, cut.original_bytes) == (body[:16_384], len(body))
    assert (len(whole.payload), whole.original_bytes) == (256 * 1024, 0)


def test_commands_to_devices_are_acknowledged_but_not_journaled(any_broker, run_ingest, device, payloads):
    with run_ingest() as ingest:
        connected(ingest)
        device.deliver(b"reboot", topic="heatpump/site1/commands")
        device.deliver(b"reading")
        wait_for(lambda: payloads() == [b"reading"], "the reading")
        wait_for(lambda: ingest.health()["skipped"] == 1, "the command")
    with run_ingest() as ingest:
        connected(ingest)
        device.deliver(b"second")
        wait_for(lambda: payloads() == [b"reading", b"second"], "the second reading")
        assert ingest.health()["skipped"] == 0


def test_a_full_journal_acknowledges_nothing_until_there_is_room(any_broker, run_ingest, device, payloads):
    with run_ingest() as ingest:
        connected(ingest)
        ingest.journal._min_free_bytes = 1 << 60
        wait_for(lambda: ingest.health()["full"], "the disk to be full")
        assert "HEATPUMP_MIN_FREE_MB" in ingest.health()["problem"]
        assert not ingest.health()["connected"]
        device.deliver(b"waits at the broker")
        assert payloads() == []
        ingest.journal._min_free_bytes = 1
        wait_for(lambda: payloads() == [b"waits at the broker"], "the message")
        assert not ingest.health()["full"]


def test_a_stopped_ingest_leaves_nothing_for_the_next_to_take_again(any_broker, run_ingest, device, payloads):
    sent = [b"%d" % n for n in range(50)]
    with run_ingest() as ingest:
        connected(ingest)
        device.deliver(*sent)
        wait_for(lambda: len(payloads()) == 50, "the messages")
    with run_ingest() as ingest:
        connected(ingest)
        device.deliver(b"new")
        wait_for(lambda: payloads()[-1] == b"new", "the new message")
        assert ingest.health()["redeliveries"] == 0
    assert payloads() == [*sent, b"new"]


class ForgetfulMosquitto(Mosquitto):
    """Saves nothing while it runs: it takes an acknowledgement in microseconds."""

    autosave = "autosave_interval 60"


@pytest.mark.parametrize("make", [ForgetfulMosquitto, Rumqttd])
def test_nor_does_one_that_is_stopped_while_messages_come(
    make, any_reader, tmp_path, settings, run_ingest, payloads
):
    broker, over, sent = make(tmp_path / "broker"), threading.Event(), []
    broker.start()
    settings.mqtt_port = broker.port
    device = Device(broker)

    def publish():
        while not over.wait(0.001):
            sent.extend([device.publish(b"%d" % (len(sent) + n)) for n in range(4)])

    publishing = threading.Thread(target=publish)
    with run_ingest() as ingest:
        connected(ingest)
        publishing.start()
        wait_for(lambda: ingest.health()["messages"] > 100, "the first messages")
    before = len(payloads())
    wait_for(lambda: len(sent) > before, "more messages")
    over.set()
    publishing.join()
    for one in sent:
        one.wait_for_publish(PATIENCE_S)
    with run_ingest() as ingest:
        connected(ingest)
        wait_for(lambda: len(payloads()) >= len(sent), "the rest")
        assert ingest.health()["redeliveries"] == 0
    assert payloads() == [b"%d" % n for n in range(len(sent))]
    device.close()
    broker.stop()


def test_health_speaks_of_the_journal(mosquitto, run_ingest, device, settings, payloads):
    with run_ingest() as ingest:
        connected(ingest)
        device.deliver(b"one")
        wait_for(lambda: ingest.health()["messages"] == 1, "the message")
        health = ingest.health()
        info = describe(settings.data / "journal")
    assert (health["journal_id"], health["first_seq"]) == (info.journal_id, 1)
    assert health["last_message_s"] < PATIENCE_S
    assert 0 < health["sync_ms_p50"] <= health["sync_ms_p99"]
    assert health["bytes"] > 0
    assert health["free_bytes"] > 0


def test_a_broker_that_refuses_us_is_named_with_what_to_check(tmp_path, settings, run_ingest):
    strict = Mosquitto(tmp_path / "strict", allow_anonymous=False)
    strict.start()
    settings.mqtt_port = strict.port
    with run_ingest() as ingest:
        wait_for(lambda: "refuses" in ingest.health()["problem"], "the refusal")
        assert "authorized" in ingest.health()["problem"]
    strict.stop()
    closing = Rumqttd(tmp_path / "closing", user="someone", password="secret")
    closing.start()
    settings.mqtt_port = closing.port
    with run_ingest() as ingest:
        wait_for(lambda: "MQTT_PASSWORD" in ingest.health()["problem"], "the refusal")
    closing.stop()


@pytest.mark.parametrize(
    ("topic", "text"),
    [(b"heatpump/caf\xc3\xa9/data", "heatpump/café/data"), (b"heatpump/a\xff\xff/data", "heatpump/a??/data")],
)
def test_a_topic_that_is_no_utf_8_names_no_device(topic, text):
    assert topic_text(topic) == text
