"""The command port under ill use: bounded connections, threads and memory, and the flow's ingest goes on."""

import json
import random
import socket
import threading
import time
from contextlib import ExitStack, closing

import psutil
import pytest

from flows import http_port
from flows.journal.reader import JournalReader
from flows.model.frame import FrameKind
from tests.ingest.conftest import run_ingest, settings, wait_for  # noqa: F401 (fixtures)

pytestmark = pytest.mark.slow
GOOD = json.dumps({"id": "c", "by": "me", "name": "device_put", "body": {"device_id": "site1"}}).encode()


@pytest.fixture
def ingest(run_ingest):  # noqa: F811
    with run_ingest() as running:
        yield running


@pytest.fixture
def connect(ingest):
    """Open connections, closed at the end."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(socket.create_connection(("127.0.0.1", ingest.port.port), timeout=60))


@pytest.fixture
def head(settings):  # noqa: F811
    """The head of an authorised request."""
    token = (settings.data / "secrets" / "command-token").read_text().strip()
    return lambda line, length=0: (
        f"{line} HTTP/1.1\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n".encode()
    )


def answers(connection: socket.socket, least: int) -> list[bytes]:
    """Read so many answers' first lines, or what comes until the end."""
    data = b""
    while data.count(b"HTTP/1.1 ") < least or not data.endswith(b"}"):
        some = connection.recv(65_536)
        if not some:
            break
        data += some
    return [part[:3] for part in data.split(b"HTTP/1.1 ")[1:]]


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(65_536) == b""
    except ConnectionError:
        return True


def still_takes_commands(connect, head) -> bool:
    with closing(connect()) as fresh:
        fresh.sendall(head("POST /commands", len(GOOD)) + GOOD)
        return answers(fresh, 1) == [b"202"]


def test_pipelined_requests_are_answered_in_order(connect, head):
    connection = connect()
    connection.sendall(head("GET /health") + head("POST /commands", len(GOOD)) + GOOD + head("GET /nothing"))
    assert answers(connection, 3) == [b"200", b"202", b"404"]
    assert is_closed(connection)


def test_connections_and_threads_have_a_bound_and_those_that_leave_make_room(connect, head):
    before = threading.active_count()
    crowd = [connect() for _ in range(100)]
    crowd[-1].settimeout(60)
    assert is_closed(crowd[-1])
    assert threading.active_count() <= before + http_port.MOST_CONNECTIONS
    for connection in crowd:
        connection.close()
    wait_for(lambda: threading.active_count() <= before, "the threads to end")
    assert still_takes_commands(connect, head)


def test_who_sends_a_request_byte_by_byte_for_ever_is_cut_off(connect, head, monkeypatch):
    monkeypatch.setattr(http_port, "IDLE_S", 1.0)
    slow = [connect() for _ in range(10)]
    deadline = time.monotonic() + 60
    while slow:
        assert time.monotonic() < deadline, "still served"
        for connection in list(slow):
            try:
                connection.sendall(b"X")
                connection.settimeout(0.01)
                closed = connection.recv(1000) == b""
            except TimeoutError:
                closed = False
            except ConnectionError:
                closed = True
            if closed:
                slow.remove(connection)
    assert still_takes_commands(connect, head)


def test_a_body_that_is_cut_off_is_no_command(connect, head, settings):  # noqa: F811
    connection = connect()
    connection.sendall(head("POST /commands", len(GOOD) + 5) + GOOD)
    connection.shutdown(socket.SHUT_WR)
    assert answers(connection, 1) == [b"400"]
    with JournalReader(settings.data / "journal", 0) as reader:
        assert FrameKind.COMMAND not in {frame.kind for frame in reader.read(1000)}


def test_noise_and_huge_requests_cost_no_memory_and_no_thread(connect, head, ingest, caplog):
    rng, before = random.Random(1), threading.active_count()
    resident = psutil.Process().memory_info().rss
    heads = [
        b"POST /commands HTTP/1.1\r\n",
        b"GET /",
        b"POST /history HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n",
        b"",
    ]
    for number in range(300):
        with closing(connect()) as connection:
            noise = rng.choice(
                (rng.randbytes(500), b"A" * 300_000, b"X: y\r\n" * 500, b"\r\n\r\n", head("GET /health")[:40])
            )
            try:
                connection.sendall(heads[number % len(heads)] + noise)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65_536):
                    pass
            except OSError:
                pass  # refused while we were sending
    wait_for(lambda: threading.active_count() <= before, "the threads to end")
    assert psutil.Process().memory_info().rss - resident < 50_000_000
    assert still_takes_commands(connect, head)
    assert ingest.health()["commands"] == 1
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
