"""Requests of one batch: some are on their way together, and none takes back what a later one said."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flows.model.rows import DeviceRow, LatestRow
from flows.store.influx.outgoing import LINES_A_REQUEST, Outgoing
from flows.store.influx.server import InfluxServer

from .conftest import NOW, Influx


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Influx]:
    with closing(Influx(tmp_path)) as new:
        yield new


class Overtaken(InfluxServer):
    """Takes the first write of devices last, where others come meanwhile."""

    def __init__(self, address):
        super().__init__(address)
        self.first, self.other = True, threading.Event()

    def write(self, bucket, lines, precision="ms"):
        if bucket == self.address.meta and self.first:
            self.first = False
            self.other.wait(0.5)
            super().write(bucket, lines, precision)
        else:
            super().write(bucket, lines, precision)
            self.other.set()


def test_what_was_said_last_of_a_device_stands_however_many_requests_a_batch_takes(store):
    count = LINES_A_REQUEST // 2 + 10
    said = [DeviceRow(f"site{n}", 1, last_seen=NOW) for n in range(count)]
    newest = [LatestRow(f"site{n}", 1, {"power": (NOW, float(n))}) for n in range(count)]
    writer = store.writer
    with closing(Overtaken(store.address)) as server:
        there, writer._outgoing, writer._catalog = writer._outgoing, Outgoing(server), None
        store.apply(*said, *newest)
        writer._outgoing.close()
        writer._outgoing, writer._catalog = there, None
    assert [device.device_id for device in store.reader.devices() if not device.latest] == []
