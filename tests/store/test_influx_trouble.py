"""A server store that refuses half of a batch: the same batch again is as if it had been written at once."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flows.errors import RetryableStoreError
from flows.store.influx import buckets
from flows.store.influx.server import InfluxServer
from flows.store.protocol import Fence

from .conftest import FOREVER, NOW, Influx, minute, raw


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Influx]:
    store = Influx(tmp_path)
    yield store
    store.close()


@pytest.fixture
def server(store: Influx) -> Iterator[InfluxServer]:
    with closing(InfluxServer(store.address)) as server:
        yield server


def without_meta(server: InfluxServer) -> None:
    """Take away the bucket that a batch writes last."""
    api = server.client.buckets_api()
    api.delete_bucket(api.find_bucket_by_name(server.address.meta))


def test_what_a_batch_had_written_when_it_broke_off_is_new_when_it_is_written_again(store, server):
    store.apply(raw(NOW, 1, voltage=230.0), raw(NOW + 1, 2, voltage=230.0))
    without_meta(server)
    batch = [
        raw(NOW, 1, voltage=230.0),  # sent again
        raw(NOW + 1, 3, voltage=230.0),  # sent again by the device
        raw(NOW + 1, 4, power=900.0),  # merged
        raw(NOW + 2, 5, voltage=231.0),
        raw(NOW + 2, 6, voltage=232.0),
        raw(NOW - 1, 7, voltage=229.0),  # late
    ]
    for _ in range(2):
        with pytest.raises(RetryableStoreError, match="404"):
            store.apply(*batch)
    buckets.prepare(server)
    assert store.apply(*batch) == 2
    assert store.apply(*batch) == 6
    assert store.reader.stats().total_readings == 4
    found = store.reader.readings("site1", 0, FOREVER, 9, newest_first=False)
    assert [row.values for row in found] == [
        {"voltage": 229.0},
        {"voltage": 230.0},
        {"voltage": 230.0, "power": 900.0},
        {"voltage": 232.0},
    ]


def test_a_bucket_that_somebody_deleted_is_made_anew_and_told(store, server, caplog):
    api = server.client.buckets_api()
    minutes = server.address.rollups("1m")
    api.delete_bucket(api.find_bucket_by_name(minutes))
    buckets.prepare(server)
    assert caplog.messages == []  # no flow has written here: there was nothing
    store.writer.commit_fence(Fence("journal", 1, 0))
    api.delete_bucket(api.find_bucket_by_name(minutes))
    buckets.prepare(server)
    (told,) = caplog.messages
    assert told.startswith(f"bucket {minutes} was gone and is made anew, empty") and "heatpump rebuild" in told
    buckets.prepare(server)
    assert len(caplog.messages) == 1


def test_parts_of_a_batch_that_broke_off_are_new_too(store, server):
    rows = [raw(NOW + n, n + 1, voltage=1.0) for n in range(4)]
    store.apply()
    without_meta(server)
    with pytest.raises(RetryableStoreError):
        store.apply(*rows)
    buckets.prepare(server)
    assert [store.apply(*part) for part in (rows[:1], rows[1:3], rows[3:])] == [0, 0, 0]
    assert store.apply(*rows) == 4
    assert store.reader.stats().total_readings == 4


def test_a_rollup_row_that_gave_way_to_one_that_was_not_written_is_replaced_later(store, server):
    store.apply(minute(NOW, 1, voltage_mean=230.0, power_mean=900.0), minute(NOW + 60_000, 1, power_mean=1.0))
    without_meta(server)
    newer = minute(NOW, 2, voltage_mean=231.0)
    with pytest.raises(RetryableStoreError):
        store.apply(newer, raw(NOW, 3, voltage=231.0))
    buckets.prepare(server)
    store.apply(newer, raw(NOW, 3, voltage=231.0))
    found = store.reader.rollups("site1", "1m", 0, FOREVER, 9)
    assert [(row.order, row.values) for row in found] == [(2, {"voltage_mean": 231.0}), (1, {"power_mean": 1.0})]
