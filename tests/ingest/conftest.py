import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from flows.ingest.subscriber import Ingest
from flows.journal.reader import JournalReader
from flows.journal.writer import Journal
from flows.model.frame import Frame, FrameKind, Start
from flows.mqtt import leave
from flows.settings import Settings, load_settings

PATIENCE_S = 120.0


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Wait until a condition holds; fail naming it after a while."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {what}"
        time.sleep(0.01)


class Device:
    """An MQTT client that publishes as a device does and knows what the broker has acknowledged."""

    def __init__(self, broker) -> None:
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
        self.client.max_inflight_messages_set(200)
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        wait_for(self.client.is_connected, "the device's connection")

    def publish(self, payload, topic="heatpump/site1/data", qos=1, retain=False):
        return self.client.publish(topic, payload, qos, retain)

    def deliver(self, *payloads, **given) -> None:
        """Publish and wait until the broker has acknowledged all."""
        for sent in [self.publish(payload, **given) for payload in payloads]:
            sent.wait_for_publish(PATIENCE_S)
            assert sent.is_published()

    def close(self) -> None:
        leave(self.client)


class Wire:
    """A TCP connection to the broker that can be cut: listens on `port`, carries bytes both ways."""

    def __init__(self, broker) -> None:
        self._broker, self._open, self._closing = broker, [], False
        self._listener = socket.create_server((broker.host, 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while not self._closing:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection((self._broker.host, self._broker.port))
            self._open += [near, far]
            for pair in ((near, far), (far, near)):
                self._threads.append(threading.Thread(target=self._carry, args=pair))
                self._threads[-1].start()

    def _carry(self, source, target) -> None:
        try:
            while data := source.recv(65_536):
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            end.close()

    def cut(self) -> None:
        """Cut what is connected now."""
        for end in self._open:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._open.clear()

    def close(self) -> None:
        self._closing = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(PATIENCE_S)


@pytest.fixture
def wire(any_broker, settings):
    """The only way from ingest to the broker."""
    made = Wire(any_broker)
    settings.mqtt_port = made.port
    yield made
    made.close()


@pytest.fixture
def settings(tmp_path, request) -> Settings:
    """Settings for the broker of the test; without one, a port where nobody listens."""
    broker = next((request.getfixturevalue(n) for n in BROKERS if n in request.fixturenames), None)
    return load_settings(
        data=tmp_path / "data",
        mqtt_broker="127.0.0.1",
        mqtt_port=broker.port if broker else 1,
        min_free_mb=1,
    )


@pytest.fixture(params=["bulk", "stock"])
def any_reader(request, settings) -> str:
    """Run the test with either reader."""
    settings.mqtt_reader = request.param
    return request.param


BROKERS = ("any_broker", "mosquitto", "rumqttd")


@pytest.fixture
def device(request) -> Iterator[Device]:
    """A device at the test's broker."""
    made = Device(next(request.getfixturevalue(n) for n in BROKERS if n in request.fixturenames))
    yield made
    made.close()


@pytest.fixture
def run_ingest(settings):
    """Run ingest for the length of a with block: yields it; its journal is `ingest.journal`."""

    @contextmanager
    def run(**journal_settings):
        journal = Journal.open(settings.data / "journal", min_free_bytes=1, **journal_settings)
        ingest = Ingest(settings, journal, Start(0, 0, version="test"))
        ingest.journal = journal
        ingest.start()
        try:
            yield ingest
        finally:
            ingest.stop()
            journal.close()

    return run


@pytest.fixture
def frames(settings) -> Callable[..., list[Frame]]:
    """Read the journal of the test, all of it or one kind."""

    def read(kind: FrameKind | None = None) -> list[Frame]:
        with JournalReader(settings.data / "journal", 0) as reader:
            return [frame for frame in reader.read(1_000_000) if kind in (None, frame.kind)]

    return read


@pytest.fixture
def payloads(frames) -> Callable[[], list[bytes]]:
    """Read the payloads of the journaled messages."""
    return lambda: [frame.payload for frame in frames(FrameKind.MESSAGE)]
