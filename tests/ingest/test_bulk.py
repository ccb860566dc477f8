"""The bulk reader against paho's own, fed the same bytes in the same pieces."""

import logging
import socket
import struct
import threading
from itertools import pairwise

import msgspec
import paho.mqtt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from paho.mqtt.client import _ConnectionState as ConnectionState

from flows.ingest import connection
from flows.ingest.bulk import CHUNK, BulkClient
from flows.ingest.connection import KEEPALIVE_S, Connection
from flows.settings import load_settings
from tests.effort import examples
from tests.ingest.conftest import wait_for

CONNACK, SUBACK, PINGRESP = b"\x20\x02\x00\x00", b"\x90\x03\x00\x01\x01", b"\xd0\x00"


def packet(first, body, padding=0):
    """Make a packet; padding: bytes more than needed for its length."""
    rest, length = len(body), b""
    while rest > 127 or padding > 0:
        padding -= rest <= 127
        length += bytes([rest & 127 | 128])
        rest >>= 7
    return bytes([first]) + length + bytes([rest]) + body


def publish(topic, payload, qos=1, packet_id=1, retain=False, dup=False, padding=0):
    body = struct.pack("!H", len(topic)) + topic + (struct.pack("!H", packet_id) if qos else b"") + payload
    return packet(0x30 | dup << 3 | qos << 1 | retain, body, padding)


@pytest.fixture(scope="module", autouse=True)
def broker_that_never_closes():
    """The far ends of these connections stay open when we leave: nobody waits for them to close."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "LEAVE_S", 0.0)
        yield


class Session:
    """A connection of one reader to a broker that says what it is told; keeps what came of it."""

    def __init__(self, reader):
        self.connection = Connection(load_settings(mqtt_reader=reader), self)
        near, self.far = socket.socketpair()
        self.connection._client._create_socket = lambda: near
        self.events, self._unacknowledged = [], []
        self.connection.keep_up()

    def on_connected(self, session_present):
        self.events.append(("connected", session_present))

    def on_subscribed(self):
        self.events.append("subscribed")

    def on_lost(self):
        self.events.append("lost")
        self._unacknowledged.clear()

    def on_messages(self, messages):
        self.events += [msgspec.structs.replace(one, arrived=0) for one in messages]
        self._unacknowledged += [one.packet_id for one in messages if one.qos]

    def feed(self, data):
        """Send what the connection takes of it, a round for each 32 kB; then it acknowledges, as ingest does."""
        for at in range(0, len(data), 32_768):
            if self.connection.fileno() is None:
                return
            self.far.sendall(data[at : at + 32_768])
            self.round()

    def round(self):
        try:
            self.connection.receive(2_000, 4_000_000)
        except Exception as error:
            self.events.append(("raised", type(error)))
            self.connection._client._sock_close()
        if self._unacknowledged:
            safe, self._unacknowledged = self._unacknowledged, []
            self.connection.acknowledge(safe)
        if self.connection.fileno() is None:
            self.events.append("closed")

    def finish(self):
        """End from the broker's side; returns what came and what the broker got."""
        self.far.shutdown(socket.SHUT_WR)
        if self.connection.fileno() is not None:
            self.round()
        self.far.setblocking(False)
        sent = b""
        try:
            while more := self.far.recv(1 << 20):
                sent += more
        except ConnectionResetError:
            pass
        self.far.close()
        return self.events, sent, self.connection.problem, self.connection.ping_answered


def outcome(reader, pieces):
    session = Session(reader)
    for piece in pieces:
        session.feed(piece)
    return session.finish()


def pieces_of(stream, cuts):
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[begin:end] for begin, end in pairwise(places)]


topics = (
    st.sampled_from([b"heatpump/site1/data", b"heatpump/site2/status/online", b"heatpump/site1/commands"])
    | st.text(max_size=12).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.binary(max_size=12)
    | st.sampled_from([b"t" * 300, b"t" * 65_535])
)
payloads = st.binary(max_size=40) | st.sampled_from(
    [bytes(n) for n in (100, 127, 128, 600, 16_400, CHUNK, CHUNK + 1)]
)
publishes = st.builds(
    publish,
    topics,
    payloads,
    st.sampled_from([0, 1, 1, 1]),
    st.integers(0, 65_535),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0, 0, 0, 1, 2]),
)
others = (
    st.sampled_from([PINGRESP, b"\xc0\x00", b"\xd0\x01\x00", SUBACK, b"\x90\x03\x00\x01\x80", b"\x90\x02\x00\x01"])
    | st.sampled_from([CONNACK, b"\x20\x02\x01\x00", b"\x20\x02\x00\x05", b"\x20\x02\x00\x01", b"\xe0\x00"])
    | st.builds(
        lambda kind, body: packet(kind, body),
        st.sampled_from([0x40, 0x50, 0x62, 0x70, 0xB0]),
        st.binary(max_size=4),
    )
    | st.builds(publish, topics, payloads, st.sampled_from([2, 3]), st.integers(0, 3))
    | st.builds(lambda mid: packet(0x62, struct.pack("!H", mid)), st.integers(0, 3))
    | st.builds(
        lambda first, body: packet(first, body), st.sampled_from([0x30, 0x32, 0x3B]), st.binary(max_size=6)
    )
    | st.sampled_from([b"\x30\x80\x80\x80\x80\x01", b"\x32\xff\xff\xff\x7f"])
    | st.binary(max_size=5)
)
streams = st.builds(
    lambda greeting, packets: greeting + b"".join(packets),
    st.sampled_from([CONNACK, CONNACK + SUBACK, b""]),
    st.lists(publishes | publishes | publishes | others, max_size=12),
)


@given(streams, st.lists(st.integers(0, 1 << 20), max_size=6))
@example(CONNACK + publish(b"a", b"") * 3, list(range(30)))
@example(publish(b"a", bytes(CHUNK + 1)) + publish(b"a", b"b"), [1, 2, 3, 4, 70_000])
@example(b"\x00\x85" + publish(b"a", bytes(20)) * 9, [2])
@settings(max_examples=examples(150), deadline=None)
def test_any_bytes_in_any_pieces_give_the_same_messages_answers_and_end_with_both_readers(stream, cuts):
    pieces = pieces_of(stream, cuts)
    assert outcome("bulk", pieces) == outcome("stock", pieces)


@pytest.mark.parametrize("reader", ["bulk", "stock"])
@pytest.mark.parametrize("suback", [b"\x90\x03\x00\x01\x80", b"\x90\x02\x00\x01"])
def test_a_broker_that_refuses_the_subscription_is_left_and_named(reader, suback):
    events, sent, problem, _ = outcome(reader, [CONNACK + suback])
    assert events == [("connected", False), "lost", "closed"]
    assert sent.endswith(b"\xe0\x00")
    assert "refuses the subscription to heatpump/#" in problem


def test_more_than_a_chunk_at_once_comes_whole_and_in_order():
    sent = [b"%d " % n * 150 for n in range(3_000)]
    stream = CONNACK + b"".join(publish(b"heatpump/a/data", one, packet_id=n + 1) for n, one in enumerate(sent))
    session = Session("bulk")
    feeder = threading.Thread(target=session.far.sendall, args=(stream,))
    feeder.start()
    wait_for(lambda: session.round() or len(session.events) == 3_001, "all messages")
    feeder.join()
    assert [one.payload for one in session.events[1:]] == sent
    acks = session.finish()[1][-4 * 3_000 :]
    assert acks == b"".join(b"\x40\x02" + struct.pack("!H", n + 1) for n in range(3_000))


def test_a_round_ends_with_the_chunk_that_is_enough():
    session = Session("bulk")
    one = publish(b"heatpump/a/data", bytes(600))
    session.far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_000_000)
    session.far.setblocking(False)
    sent = session.far.send(one * 1_000)
    session.connection.receive(1, 4_000_000)
    assert 1 <= len(session.events) <= min(CHUNK, sent) // len(one) + 1
    session.finish()


def test_acknowledgements_that_the_socket_does_not_take_at_once_follow():
    session, ids = Session("bulk"), list(range(1, 65_536)) * 4
    session.far.setblocking(False)
    session.connection.acknowledge(ids)
    assert session.connection.wants_write
    got = b""
    while session.connection.wants_write:
        got += session.far.recv(1 << 20)
        session.connection.write()
    got += session.finish()[1]
    assert got[-4 * len(ids) :] == b"".join(b"\x40\x02" + struct.pack("!H", one) for one in ids)


@pytest.mark.parametrize("reader", ["bulk", "stock"])
def test_of_bytes_behind_the_end_of_a_connection_none_is_taken_then_or_in_the_next(reader):
    session = Session(reader)
    client = session.connection._client
    session.feed(CONNACK)
    client._state = ConnectionState.MQTT_CS_DISCONNECTING  # in which paho calls even a broken packet no error
    session.feed(publish(b"a", b"whole") + b"\xf0\x00" + publish(b"a", b"behind what ends it"))
    session.far.close()
    near, session.far = socket.socketpair()
    client._create_socket = lambda: near
    client.reconnect()
    session.feed(publish(b"a", b"anew"))
    events = session.finish()[0]
    assert [one.payload for one in events if isinstance(one, msgspec.Struct)] == [b"whole", b"anew"]


@pytest.mark.parametrize("reader", ["bulk", "stock"])
def test_a_broker_that_answers_no_ping_is_left_unless_it_still_sends_messages(reader):
    session = Session(reader)
    session.feed(CONNACK + SUBACK)
    session.connection.ping()
    session.connection._client._ping_t -= KEEPALIVE_S + 1  # so long ago
    session.feed(publish(b"heatpump/a/data", b"{}"))
    session.connection.keep_up()
    assert session.connection.fileno() is not None
    session.connection.last_message -= KEEPALIVE_S + 1
    session.connection.keep_up()
    assert session.connection.fileno() is None
    assert "Keep alive timeout" in session.finish()[2]


@pytest.mark.parametrize(("version", "bulk"), [("2.2.0", True), ("2.2.1", False), ("3.0.0", False)])
def test_with_another_paho_the_stock_reader_reads_and_the_log_says_what_to_do(version, bulk, monkeypatch, caplog):
    monkeypatch.setattr(paho.mqtt, "__version__", version)
    with caplog.at_level(logging.WARNING):
        connection = Connection(load_settings(), None)
    assert isinstance(connection._client, BulkClient) is bulk
    assert ("HEATPUMP_MQTT_READER=stock" in caplog.text) is not bulk


def test_the_stock_reader_is_to_be_had_by_setting():
    assert not isinstance(Connection(load_settings(mqtt_reader="stock"), None)._client, BulkClient)
