"""Requests of one batch: what one says never hangs on another that is not stored yet."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from flows.errors import RetryableStoreError
from flows.model.dead_letter import KEPT_PER_HOUR
from flows.model.device import DeviceMetadata
from flows.model.influx_address import InfluxAddress
from flows.model.rows import DeviceRow, Retain
from flows.store import open_reader
from flows.store.influx.outgoing import LINES_A_REQUEST, Outgoing
from flows.store.influx.server import InfluxServer
from flows.store.protocol import StoredDevice
from tests.folding import block_of

from .conftest import MINUTE, NOW, Influx, letter, minute, outcome


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Influx]:
    with closing(Influx(tmp_path)) as new:
        yield new


@contextmanager
def through(store: Influx, server: InfluxServer) -> Iterator[None]:
    """Have the store write through a server."""
    writer = store.writer
    there, writer._outgoing, writer._catalog = writer._outgoing, Outgoing(server), None
    try:
        with closing(server):
            yield
    finally:
        writer._outgoing.close()
        writer._outgoing, writer._catalog = there, None


class Overtaken(InfluxServer):
    """Loses the first write of events, when others were taken meanwhile."""

    def __init__(self, address: InfluxAddress) -> None:
        super().__init__(address)
        self.first, self.other = True, threading.Event()

    def write(self, bucket: str, lines: bytes, precision: str = "ms") -> None:
        if precision == "ns" and self.first:
            self.first = False
            self.other.wait(0.5)
            raise RetryableStoreError("gone")
        super().write(bucket, lines, precision)
        if precision == "ns":
            self.other.set()


def test_no_letter_is_counted_that_is_not_kept_however_many_requests_a_batch_takes(store):
    devices = LINES_A_REQUEST // KEPT_PER_HOUR + 1
    letters = [
        letter(KEPT_PER_HOUR * device + n, device_id=f"site{device:02}")
        for device in range(devices)
        for n in range(KEPT_PER_HOUR)
    ]
    with through(store, Overtaken(store.address)), pytest.raises(RetryableStoreError):
        store.apply(*letters)
    store.apply(*letters)
    assert [store.reader.dead_letter(each.order) is None for each in letters[:2]] == [False, False]
    assert len(store.reader.dead_letters("site00", None, None, 999)) == KEPT_PER_HOUR


class Heard(InfluxServer):
    """Keeps what was written."""

    def __init__(self, address: InfluxAddress) -> None:
        super().__init__(address)
        self.heard: list[tuple[str, bytes]] = []

    def write(self, bucket: str, lines: bytes, precision: str = "ms") -> None:
        self.heard.append((bucket, lines))
        super().write(bucket, lines, precision)


def test_minutes_of_one_device_go_together_whichever_batch_brought_them(store):
    devices, starts = ["site1", "site2", "site3"], [NOW + n * MINUTE for n in range(4)]
    closed = [block_of([minute(at, 1, device, voltage_mean=1.0) for device in devices]) for at in starts]
    server = Heard(store.address)
    with through(store, server):
        store.apply(*closed)
    [body] = [lines for bucket, lines in server.heard if bucket == store.address.rollups("1m")]
    sent = [(line.split(b" ")[0].decode(), int(line.split(b" ")[-1])) for line in body.split(b"\n")]
    assert sent == [(f"sensor_rollup,device_id={device}", at) for device in devices for at in starts]


class Watched(InfluxServer):
    """Reads what is known of devices whenever what became of a command is about to be stored."""

    def __init__(self, address: InfluxAddress) -> None:
        super().__init__(address)
        self.seen: list[list[StoredDevice]] = []

    def write(self, bucket: str, lines: bytes, precision: str = "ms") -> None:
        if b"command,id=" in lines:
            with closing(open_reader(self.address)) as reader:
                self.seen.append(reader.devices())
        super().write(bucket, lines, precision)


def test_who_waits_for_a_command_finds_what_it_did_whatever_else_is_in_the_batch(store):
    metadata = [DeviceMetadata(name="Home")]
    server = Watched(store.address)
    with through(store, server):
        store.apply(
            DeviceRow("site1", 8192, metadata=metadata), outcome("c1", 1), Retain("site1", 3 * 8192, NOW, NOW, 0)
        )
    assert [[device.metadata for device in devices] for devices in server.seen] == [[metadata]]
