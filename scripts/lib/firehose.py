"""Publishes prepared packets as fast as its owner lets it, for next to no CPU: one socket, large writes.

As a process of its own: `python scripts/lib/firehose.py PORT FOLDER`, where `prepare` has filled the folder. How
many messages may be sent stands in the folder's `gate`; the owner raises it as the store comes along, so that the
broker never holds more than a window. Ends when all are acknowledged and prints its seconds of CPU.
"""

import mmap
import resource
import select
import socket
import struct
import subprocess
import sys
import time
from array import array
from collections.abc import Iterable
from pathlib import Path

CHUNK = 256 * 1024
UNACKNOWLEDGED = 50_000
"""Fewer than there are packet ids."""

LOOK_EVERY_S = 0.005
ACK_BYTES = 4
CONNECT = b"\x10\x14\x00\x04MQTT\x04\x02\x00\x00\x00\x08firehose"
CONNACK = b"\x20\x02\x00\x00"


def prepare(folder: Path, messages: Iterable[tuple[str, bytes]]) -> int:
    """Write messages as PUBLISH packets of QoS 1 and where each ends; returns how many."""
    ends = array("Q")
    end = 0
    with (folder / "packets").open("wb") as file:
        for number, (topic, payload) in enumerate(messages):
            end += file.write(publish_packet(topic.encode(), payload, number % 65_535 + 1))
            ends.append(end)
    (folder / "ends").write_bytes(ends.tobytes())
    (folder / "gate").write_bytes(bytes(8))
    return len(ends)


def publish_packet(topic: bytes, payload: bytes, packet_id: int) -> bytes:
    """Encode one PUBLISH of QoS 1."""
    left = 2 + len(topic) + 2 + len(payload)
    length = bytearray()
    while True:
        left, seven = divmod(left, 128)
        length.append(seven | 128 if left else seven)
        if not left:
            break
    return b"\x32" + length + struct.pack(">H", len(topic)) + topic + struct.pack(">H", packet_id) + payload


class Gate:
    """How many messages may be sent, shared between two processes."""

    def __init__(self, folder: Path) -> None:
        with (folder / "gate").open("r+b") as file:
            self._shared = memoryview(mmap.mmap(file.fileno(), 8)).cast("Q")

    @property
    def messages(self) -> int:
        """Up to here."""
        return self._shared[0]

    def open(self, messages: int) -> None:
        """Let them through."""
        self._shared[0] = messages


def start(port: int, folder: Path) -> "subprocess.Popen[bytes]":
    """Start a process that sends what the gate lets through, and prints its seconds of CPU at the end."""
    return subprocess.Popen(
        [sys.executable, __file__, str(port), str(folder)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )


def send_all(port: int, folder: Path) -> None:
    """Send every packet, acknowledged."""
    ends = array("Q")
    ends.frombytes((folder / "ends").read_bytes())
    gate = Gate(folder)
    with (folder / "packets").open("rb") as file:
        packets = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    with socket.create_connection(("127.0.0.1", port)) as broker:
        broker.sendall(CONNECT)
        if broker.recv(len(CONNACK)) != CONNACK:
            raise ConnectionError("the broker refuses the connection")
        broker.setblocking(False)
        sent = received = 0
        while received < len(ends) * ACK_BYTES:
            most = min(gate.messages, received // ACK_BYTES + UNACKNOWLEDGED, len(ends))
            until = ends[most - 1] if most else 0
            if sent < until and select.select([], [broker], [], LOOK_EVERY_S)[1]:
                sent += broker.send(packets[sent : min(until, sent + CHUNK)])
            elif sent == until:
                time.sleep(LOOK_EVERY_S)
            received += drain(broker)


def drain(broker: socket.socket) -> int:
    """Take the acknowledgements that are there; seldom, because the broker sends each by itself. [bytes]"""
    try:
        acknowledged = broker.recv(CHUNK)
    except BlockingIOError:
        return 0
    if not acknowledged:
        raise ConnectionError("the broker ended the connection")
    return len(acknowledged)


if __name__ == "__main__":
    send_all(int(sys.argv[1]), Path(sys.argv[2]))
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(used.ru_utime + used.ru_stime)
