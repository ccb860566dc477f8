"""Live messages: from a real broker to WebSockets, bounded for each."""

import json
import socket
import threading
from collections.abc import Iterator

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from api.live import MOST_BYTES, MOST_MESSAGES, Client, Hub
from flows.mqtt import leave
from flows.settings import load_settings
from tests.api.conftest import Api, running, wait_for
from tests.brokers import Mosquitto

READING = {
    "time": "2026-02-02T12:00:00.000Z",
    "device_id": "site1",
    "temp_inlet": 45.2,
    "data": {"device": "site1", "temperature": {"inlet": 45.2}, "valid": {"temp_inlet": True}},
}
CHANGE = {
    "time": "2026-02-02T12:00:01.000Z",
    "id": "site1/voltage_high/8192",
    "order": 8192,
    "device_id": "site1",
    "alert_type": "voltage_high",
    "at": 1_770_033_601_000,
    "arrived": 1_770_033_601_100,
    "level": "warning",
    "state": "raised",
    "value": 246.5,
    "message": "voltage 246.5 V",
    "since": 1_770_033_601_000,
    "by": "",
}


class FlowsVoice:
    """Publishes under heatpump-live/ as the flow does."""

    def __init__(self, broker: Mosquitto) -> None:
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        wait_for(self.client.is_connected, "the publisher's connection")

    def say(self, topic: str, body: object, qos: int = 1) -> None:
        self.client.publish(f"heatpump-live/{topic}", json.dumps(body), qos).wait_for_publish(60)

    def close(self) -> None:
        leave(self.client)


@pytest.fixture
def live(filled, mosquitto) -> Iterator[Api]:
    settings = load_settings(data=filled.path.parent, mqtt_broker="127.0.0.1", mqtt_port=mosquitto.port)
    with running(settings, filled.path, live=True) as api:
        wait_for(lambda: api.context.feed.connected, "the API's subscription")
        yield api


@pytest.fixture
def voice(mosquitto) -> Iterator[FlowsVoice]:
    speaker = FlowsVoice(mosquitto)
    yield speaker
    speaker.close()


def joined(api: Api, clients: int) -> None:
    wait_for(lambda: len(api.context.hub.clients) == clients, f"{clients} WebSockets")


@pytest.mark.slow
def test_readings_and_alerts_reach_every_client_as_the_contract_says(live, voice):
    with connect(f"ws://127.0.0.1:{live.port}/ws") as one, connect(f"ws://127.0.0.1:{live.port}/api/ws") as two:
        joined(live, 2)
        voice.say("site1/reading", READING, qos=0)
        voice.say("site1/alert", CHANGE)
        for ws in (one, two):
            assert json.loads(ws.recv(60)) == {
                "type": "sensor_data",
                "device_id": "site1",
                "data": READING["data"],
                "timestamp": "2026-02-02T12:00:00.000Z",
            }
            assert json.loads(ws.recv(60)) == {
                "type": "alert",
                "device_id": "site1",
                "alert_type": "voltage_high",
                "level": "warning",
                "value": 246.5,
                "message": "voltage 246.5 V",
                "timestamp": "2026-02-02T12:00:01.000Z",
                "id": "site1/voltage_high/8192",
                "state": "raised",
            }
    joined(live, 0)


@pytest.mark.slow
def test_what_cannot_be_read_is_passed_over_and_the_next_message_arrives(live, voice):
    with connect(f"ws://127.0.0.1:{live.port}/ws") as ws:
        joined(live, 1)
        voice.say("site1/reading", {"no": "reading"})
        voice.say("site1/other", READING)
        voice.say("site1/alert", [1])
        voice.say("site1/reading", READING)
        assert json.loads(ws.recv(60))["type"] == "sensor_data"


@pytest.mark.slow
def test_any_message_of_a_client_is_answered_pong(live):
    with connect(f"ws://127.0.0.1:{live.port}/ws") as ws:
        for message in ("ping", '{"type":"ping"}', b"\x00\xff", ""):
            ws.send(message)
            answer = json.loads(ws.recv(60))
            assert answer["type"] == "pong"
            assert answer["timestamp"].endswith("Z")


@pytest.mark.slow
def test_health_follows_the_broker_and_the_flow(live, voice, mosquitto):
    def health() -> dict:
        return live.get("/api/health").json()

    assert (health()["status"], health()["mqtt_connected"], health()["flow_running"]) == ("healthy", True, False)
    voice.say("pipeline", {"at": 1, "nodes": []})
    wait_for(lambda: health()["flow_running"], "the flow to be heard")
    mosquitto.kill()
    wait_for(lambda: not health()["mqtt_connected"], "the broker's loss to be seen")
    assert (health()["status"], health()["flow_running"]) == ("degraded", False)
    mosquitto.start()
    wait_for(lambda: health()["status"] == "healthy", "the subscription to come back")
    with connect(f"ws://127.0.0.1:{live.port}/ws") as ws:
        joined(live, 1)
        again = FlowsVoice(mosquitto)
        again.say("site1/reading", READING)
        assert json.loads(ws.recv(60))["device_id"] == "site1"
        again.close()


@pytest.mark.slow
def test_a_client_that_does_not_read_is_dropped_and_the_others_hear_everything(live, voice):
    """Its share of memory is bounded, and it holds up nobody."""
    body = {**READING, "data": {"padding": "x" * 20_000}}
    url = f"ws://127.0.0.1:{live.port}/ws"
    heard = []
    stalled = socket.socket()
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stalled.connect(("127.0.0.1", live.port))
    with connect(url, sock=stalled, max_queue=1) as slow, connect(url, max_queue=None) as quick:
        joined(live, 2)
        reader = threading.Thread(target=lambda: heard.extend(quick.recv(60) for _ in range(500)))
        reader.start()
        for number in range(500):
            # However slow this machine is, the quick one stays far within its own bound.
            wait_for(lambda number=number: len(heard) > number - 100, "the quick one to read")
            voice.say("site1/reading", body, qos=0)
        joined(live, 1)
        reader.join(60)
        assert len(heard) == 500
        with pytest.raises(ConnectionClosed) as end:
            while True:
                slow.recv(60)
        assert end.value.rcvd is not None
        assert end.value.rcvd.code == 1013


def test_a_queue_holds_no_more_than_its_bounds():
    import asyncio

    async def scene() -> None:
        hub, client, heavy = Hub(), Client(), Client()
        hub.clients |= {client, heavy}
        for _ in range(MOST_MESSAGES):
            client.put("x")
        assert not client.overflowed.is_set()
        assert await client.get() == "x"
        client.put("x")
        assert not client.overflowed.is_set()
        client.put("x")
        assert client.overflowed.is_set()
        heavy.put("x" * MOST_BYTES)
        assert not heavy.overflowed.is_set()
        heavy.put("x")
        assert heavy.overflowed.is_set()

    asyncio.run(scene())
