"""heatpump replay: what goes over MQTT, what goes into a journal, and how mistakes read."""

import getpass
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from typer.testing import CliRunner

from flows.cli.replay import replay
from flows.errors import ConfigError
from flows.model.frame import FrameKind, start_of, tick_of
from flows.model.times import DAY_MS
from flows.mqtt import leave
from flows.sources.played_csv import PlayedCsv
from flows.sources.recording import readings
from flows.sources.replay import shift_to_now
from tests.brokers import free_port
from tests.recorded import RECORDING, ms

DEADLINE_S = 120.0
SHORT = "time_utc,power_in_w,flow_temp_c\n2024-10-10T00:00:30Z,20,30\n2024-10-10T00:01:00Z,,31\n2024-10-10T00:02:00Z,,32\n"


@pytest.fixture
def run():
    app = typer.Typer()
    app.command()(replay)

    def invoke(*args: str):
        return CliRunner().invoke(app, list(args), catch_exceptions=True)

    return invoke


@pytest.fixture
def short(tmp_path: Path) -> Path:
    path = tmp_path / "day.csv"
    path.write_text(SHORT)
    return path


class Heard:
    """What a broker passes on."""

    def __init__(self, port: int) -> None:
        self.messages: list[tuple[str, bytes]] = []
        subscribed = threading.Event()
        self.client = Client(CallbackAPIVersion.VERSION2, client_id="listener")
        self.client.on_connect = lambda client, *_: client.subscribe("heatpump/#", qos=1)
        self.client.on_subscribe = lambda *_: subscribed.set()
        self.client.on_message = lambda _c, _u, m: self.messages.append((m.topic, m.payload))
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert subscribed.wait(DEADLINE_S)

    def until_offline(self) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not (self.messages and self.messages[-1][1] == b"false"):
            assert time.monotonic() < deadline, "the device did not go offline in time"
            time.sleep(0.02)


@pytest.fixture
def heard(any_broker) -> Iterator[Heard]:
    listener = Heard(any_broker.port)
    yield listener
    leave(listener.client)


@pytest.mark.slow
def test_over_mqtt_every_reading_arrives_in_order_between_online_and_offline(run, any_broker, heard) -> None:
    result = run(
        str(RECORDING), "--port", str(any_broker.port), "--device-id", "daikin", "--speed", "1e9", "--keep-time"
    )
    assert result.exit_code == 0, result.output
    assert (
        "3931 readings from 2024-10-10T00:00:30.000Z to 2024-10-11T09:23:00.000Z sent as daikin" in result.output
    )
    heard.until_offline()
    (first, online), *data, (last, offline) = heard.messages
    assert (first, online) == ("heatpump/daikin/status/online", b"true")
    assert (last, offline) == ("heatpump/daikin/status/online", b"false")
    assert {topic for topic, _ in data} == {"heatpump/daikin/data"}
    expected = [{"device": "daikin", "timestamp": at, **payload} for at, payload in readings(RECORDING)]
    assert [json.loads(payload) for _, payload in data] == expected


@pytest.mark.slow
def test_over_mqtt_times_move_by_whole_days_to_the_newest_past(run, mosquitto, short) -> None:
    listener = Heard(mosquitto.port)
    before = time.time() * 1000
    result = run(str(short), "--port", str(mosquitto.port), "--speed", "1e9")
    assert result.exit_code == 0, result.output
    assert "sent as day to 127.0.0.1" in result.output and "moved by" in result.output
    listener.until_offline()
    leave(listener.client)
    times = [json.loads(payload)["timestamp"] for topic, payload in listener.messages if topic.endswith("/data")]
    recorded = [at for at, _ in readings(short)]
    assert {(at - was) % DAY_MS for at, was in zip(times, recorded, strict=True)} == {0}
    assert before - DAY_MS < times[-1] <= time.time() * 1000


@pytest.mark.slow
def test_speed_is_how_many_times_faster_the_recording_plays(run, mosquitto, short) -> None:
    began = time.monotonic()
    result = run(str(short), "--port", str(mosquitto.port), "--speed", "90")
    assert result.exit_code == 0, result.output
    assert time.monotonic() - began >= 1.0  # 90 s of recording


@pytest.mark.slow
def test_readings_that_a_flow_would_refuse_as_too_old_are_announced(run, mosquitto, short) -> None:
    result = run(str(short), "--port", str(mosquitto.port), "--speed", "1e9", "--keep-time")
    assert "a flow that keeps raw readings for 30d refuses the older ones" in result.output


def test_a_recording_of_this_moment_is_not_moved_and_one_of_the_future_moves_back() -> None:
    now = round(time.time() * 1000)
    assert shift_to_now(now - 1000) == 0
    assert shift_to_now(now + DAY_MS // 2) == -DAY_MS


def test_the_journal_has_every_reading_arrive_at_its_event_time_with_the_seconds_between(short) -> None:
    played = PlayedCsv(short, "site1")
    frames = list(played.frames())
    first = ms("2024-10-10T00:00:30Z")
    kinds = [(frame.kind.name, frame.arrived - first) for frame in frames]
    assert kinds == [
        ("START", 0), ("MESSAGE", 0), ("TICK", 30_000), ("MESSAGE", 30_000), ("TICK", 90_000), ("MESSAGE", 90_000),
        ("TICK", 91_000),
    ]  # fmt: skip
    assert [tick_of(frame).n for frame in frames if frame.kind is FrameKind.TICK] == [30, 90, 91]
    assert [frame.seq for frame in frames] == [1, 2, 3, 4, 5, 6, 7]
    assert (played.first_seq, played.last_seq) == (1, 7)
    assert start_of(frames[0]).raw_retention_ms > 50 * 365 * DAY_MS
    assert frames[1].topic == "heatpump/site1/data"
    assert json.loads(frames[1].payload)["timestamp"] == first


def test_the_same_recording_and_device_give_the_same_journal_and_others_another(short) -> None:
    def journal_id(device_id: str) -> str:
        return PlayedCsv(short, device_id).journal_id

    one, other = journal_id("site1"), journal_id("site2")
    assert one == journal_id("site1") != other
    short.write_text(SHORT.replace(",20,", ",21,"))
    assert len({one, other, journal_id("site1"), journal_id("site2")}) == 4


def test_a_broker_that_is_away_is_named(run, short) -> None:
    port = free_port()
    result = run(str(short), "--port", str(port))
    assert isinstance(result.exception, ConfigError)
    assert f"broker: '127.0.0.1:{port}' cannot be reached (Connection refused): is it running?" in str(
        result.exception
    )


def test_a_mistake_in_the_file_shows_before_anything_is_sent(run, short) -> None:
    short.write_text(SHORT + "2024-10-10T00:03:00Z,lots,\n")
    result = run(str(short), "--port", str(free_port()))
    assert "day.csv line 5, column power_in_w: 'lots' must be a number" in str(result.exception)


def test_a_file_name_that_is_no_device_id_asks_for_one(run, short) -> None:
    path = short.rename(short.with_name("my day.csv"))
    result = run(str(path))
    assert "--device-id: 'my day' must be 1 to 64 letters, digits" in str(result.exception)


@pytest.mark.parametrize("speed", ["0", "-1", "fast"])
def test_a_speed_that_is_none_is_refused_with_code_2(run, short, speed: str) -> None:
    result = run(str(short), "--speed", speed)
    assert result.exit_code == 2
    assert "--speed" in result.output


@pytest.mark.slow
def test_a_broker_that_refuses_the_login_is_one_sentence(run, short, tmp_path) -> None:
    port, config = free_port(), tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous false\nuser {getpass.getuser()}\n")
    broker = subprocess.Popen(["/usr/sbin/mosquitto", "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        until_listening(port)
        result = run(str(short), "--port", str(port))
    finally:
        broker.kill()
        broker.wait()
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception).startswith(f"broker: '127.0.0.1:{port}' refuses: ")
    assert str(result.exception).endswith("see --user and MQTT_PASSWORD")


def until_listening(port: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline, "the broker did not start in time"
        time.sleep(0.02)
