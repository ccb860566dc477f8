"""What waits to be sent: rollup rows that are held are lost by nothing, and refused ones hold nothing up."""

import logging
from contextlib import closing

import pytest

from flows.errors import RetryableStoreError
from flows.store.influx.server import InfluxServer
from flows.store.protocol import Fence
from tests.folding import block_of

from .conftest import FOREVER, MINUTE, NOW, Influx, minute, raw
from .test_influx_events import taking


@pytest.fixture
def store(tmp_path):
    opened = Influx(tmp_path)
    yield opened
    opened.close()


def minutes(store):
    return [row.start - NOW for row in store.reader.rollups("site1", "1m", 0, FOREVER, 100)]


def held(store, *numbers):
    """Apply minutes while more batches are to come."""
    rows = [block_of([minute(NOW + n * MINUTE, n + 1, voltage_mean=230.0)]) for n in numbers]
    store.writer.apply([raw(NOW + n * MINUTE, n + 1, voltage=230.0) for n in numbers] + rows, more=True)


def test_rows_held_for_those_to_come_are_there_with_the_fence(store):
    held(store, 0, 1)
    held(store, 2)
    assert [row.at - NOW for row in store.reader.readings("site1", 0, FOREVER, 9, False)] == [
        0,
        MINUTE,
        2 * MINUTE,
    ]
    store.writer.commit_fence(Fence("a", 9))
    assert minutes(store) == [0, MINUTE, 2 * MINUTE]


def test_rows_held_are_there_with_the_last_batch_to_come(store):
    held(store, 0)
    store.apply(raw(NOW + MINUTE, 9, voltage=230.0))
    assert minutes(store) == [0]


def test_rows_that_an_earlier_batch_held_outlive_one_that_fails(store):
    held(store, 0)
    theirs = store.writer._outgoing._held
    with taking(store, 0):
        store.writer._outgoing._held.update(theirs)
        with pytest.raises(RetryableStoreError):
            held(store, 1)
    held(store, 1)
    store.writer.commit_fence(Fence("a", 9))
    assert minutes(store) == [0, MINUTE]


def test_a_rollup_row_that_the_server_refuses_is_told_and_the_others_are_stored(store, caplog):
    bucket = store.address.rollups("1m")
    with closing(InfluxServer(store.address)) as server:
        server.write(bucket, f'sensor_rollup,device_id=site1 power_mean="much" {NOW}'.encode())
    rows = [minute(NOW + n * MINUTE, n + 1, voltage_mean=230.0) for n in range(4)]
    with caplog.at_level(logging.ERROR, "heatpump.store"):
        store.apply(*rows, minute(NOW + 4 * MINUTE, 5, power_mean=1.0))
    assert minutes(store) == [n * MINUTE for n in range(4)]
    (record,) = caplog.records
    assert "field type conflict" in record.message and "power_mean=1.0" in record.message
