"""A recording of a journal, replayed over MQTT: what devices sent, at its pace, and nothing else."""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from flows.journal.recording import Head, write_recording
from flows.model.frame import Frame, FrameKind, Start, start_payload, tick_payload
from flows.model.times import DAY_MS, now_ms
from flows.mqtt import leave
from tests.brokers import free_port
from tests.cli.heatpump import HEATPUMP, heatpump
from tests.flows import wait_for

pytestmark = pytest.mark.slow

MESSAGE, TICK, COMMAND, START, HISTORY = FrameKind
AT = 1_770_000_000_000


class Heard:
    """What a broker passes on, and when."""

    def __init__(self, port: int) -> None:
        self.messages: list[tuple[float, MQTTMessage]] = []
        subscribed = threading.Event()
        self.client = Client(CallbackAPIVersion.VERSION2, client_id="listener")
        self.client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self.client.on_subscribe = lambda *_: subscribed.set()
        self.client.on_message = lambda _c, _u, message: self.messages.append((time.monotonic(), message))
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert subscribed.wait(120)

    def close(self) -> None:
        leave(self.client)


@pytest.fixture
def heard(any_broker) -> Iterator[Heard]:
    listener = Heard(any_broker.port)
    yield listener
    listener.close()


def reading(number: int, at: int = AT) -> bytes:
    return b'{"timestamp":%d,"seq":%d,"electrical":{"power":%d.50}}' % (at, number, number)


def recording(tmp_path: Path, frames: list[Frame]) -> Path:
    path = tmp_path / "a.hpr"
    write_recording(path, Head("a" * 32, 0, 1 << 50, (), "1"), frames, lambda _: None)
    return path


def everything(at: int = AT) -> list[Frame]:
    return [
        Frame(1, START, at, payload=start_payload(Start(0, 0))),
        Frame(2, MESSAGE, at, "heatpump/a/status/online", b"true", 1),
        Frame(3, MESSAGE, at, "heatpump/a/data", reading(1, at), 1),
        Frame(4, MESSAGE, at, "heatpump/b/data", b"[" + reading(2, at) + b"," + reading(3, 7000) + b"]", 0),
        Frame(5, TICK, at, payload=tick_payload(1)),
        Frame(6, MESSAGE, at, "heatpump/a/data", reading(4, at), 1, retain=True),
        Frame(7, COMMAND, at, payload=b'{"id":"1","by":"x","name":"device_forget","body":{"device_id":"a"}}'),
        Frame(8, MESSAGE, at, "heatpump/a/data", b"[" + b"0" * 16_000, 1, original_bytes=300_000),
        Frame(9, HISTORY, at, "heatpump/a/history", b"chunk"),
        Frame(10, MESSAGE, at, "heatpump/b/alerts", b'{"type":"x","level":"warning","timestamp":%d}' % at, 1),
        Frame(11, MESSAGE, at, "heatpump/a/data", b"{ not json \xff", 1),
        Frame(12, MESSAGE, at, "heatpump/a/status/online", b"false", 1),
    ]


def test_messages_come_as_devices_sent_them_and_nothing_else_does(tmp_path, any_broker, heard) -> None:
    done = heatpump("replay", recording(tmp_path, everything()), "--port", any_broker.port, "--speed", "1e9")
    assert done.returncode == 0, done.stderr
    assert "6 messages from 2026-02-02T02:40:00.000Z" in done.stdout
    assert "not sent: 1 retained copies" in done.stderr
    assert "not sent: 1 cut off for their length" in done.stderr
    wait_for(lambda: len(heard.messages), lambda count: count >= 6)
    sent = [frame for frame in everything() if frame.seq in (2, 3, 4, 10, 11, 12)]
    got = [message for _, message in heard.messages]
    assert [(m.topic, m.payload, m.retain) for m in got] == [(frame.topic, frame.payload, False) for frame in sent]
    if any_broker.name == "mosquitto":  # rumqttd gives each message the QoS of the subscription
        assert [message.qos for message in got] == [frame.qos for frame in sent]


def test_unix_times_move_to_now_by_whole_days_where_asked(tmp_path, mosquitto) -> None:
    listener = Heard(mosquitto.port)
    file, before = recording(tmp_path, everything()), now_ms()
    done = heatpump("replay", file, "--port", mosquitto.port, "--speed", "1e9", "--shift-to-now")
    wait_for(lambda: len(listener.messages), lambda count: count >= 6)
    listener.close()
    assert done.returncode == 0, done.stderr
    data = [json.loads(m.payload) for _, m in listener.messages if m.topic == "heatpump/b/data"]
    moved = data[0][0]["timestamp"]
    assert (moved - AT) % DAY_MS == 0 and before - DAY_MS < moved <= now_ms()
    assert data[0][1] == json.loads(reading(3, 7000))  # since its boot
    days = (moved - AT) // DAY_MS
    assert f"moved by {days} days" in done.stdout
    payloads = {m.payload for _, m in listener.messages}
    assert reading(1, moved) in payloads  # byte for byte, but for the time
    assert b"{ not json \xff" in payloads
    assert b'{"type":"x","level":"warning","timestamp":%d}' % moved in payloads


def test_messages_keep_their_distances_divided_by_the_speed(tmp_path, mosquitto) -> None:
    listener = Heard(mosquitto.port)
    gaps = [0, 0, 3_000, 1_000, 6_000]
    frames, at = [], AT
    for number, gap in enumerate(gaps, 1):
        at += gap
        frames.append(Frame(number, MESSAGE, at, "heatpump/a/data", reading(number), 1))
    began = time.monotonic()
    done = heatpump("replay", recording(tmp_path, frames), "--port", mosquitto.port, "--speed", "5")
    wait_for(lambda: len(listener.messages), lambda count: count == 5)
    listener.close()
    assert done.returncode == 0, done.stderr
    assert "a flow that keeps raw readings for 30d refuses the older ones" in " ".join(done.stderr.split())
    times = [when for when, _ in listener.messages]
    for number in range(1, 5):  # none comes before its time; a busy machine may be late, with the first one too
        assert times[number] - began >= sum(gaps[1 : number + 1]) / 5_000


def test_ctrl_c_ends_it_with_what_was_sent_acknowledged(tmp_path, mosquitto) -> None:
    listener = Heard(mosquitto.port)
    frames = [Frame(n, MESSAGE, AT + n * 1_000, "heatpump/a/data", reading(n), 1) for n in range(1, 1_000)]
    command = [
        *HEATPUMP,
        "replay",
        str(recording(tmp_path, frames)),
        "--port",
        str(mosquitto.port),
        "--speed",
        "20",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: len(listener.messages), lambda count: count >= 3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert " of 999 messages from " in out and "then stopped" in out
    sent = int(out.split()[0])
    wait_for(lambda: len(listener.messages), lambda count: count >= sent)
    listener.close()
    assert [m.payload for _, m in listener.messages] == [frame.payload for frame in frames[:sent]]


def test_a_broker_that_is_away_is_named(tmp_path) -> None:
    done = heatpump("replay", recording(tmp_path, everything()), "--port", free_port())
    assert done.returncode == 2
    assert "cannot be reached (Connection refused): is it running?" in done.stderr
