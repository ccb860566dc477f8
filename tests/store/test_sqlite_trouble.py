"""The embedded store locked, full, or read while it is written: batches are whole, whatever happens.

A server store has no file of ours to lock or fill, and no transaction (see test_influx_trouble.py).
"""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.errors import RetryableStoreError
from flows.store.protocol import Fence

from .conftest import FOREVER, NOW, Sqlite, raw
from .test_trouble import a_batch


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Sqlite]:
    store = Sqlite(tmp_path)
    yield store
    store.close()


@pytest.mark.slow
def test_a_locked_store_says_so_writes_nothing_and_takes_the_same_batch_later(store):
    store.apply(*a_batch(1, 10))
    before = store.content()
    with store.locked():
        with pytest.raises(RetryableStoreError, match="locked"):
            store.apply(*a_batch(20, 10))
        with pytest.raises(RetryableStoreError, match="locked"):
            store.writer.commit_fence(Fence("a", 1))
    assert store.content() == before
    assert store.writer.fence() is None
    store.apply(*a_batch(20, 10))
    store.writer.commit_fence(Fence("a", 1))
    assert store.reader.stats().total_readings == 20


def test_a_full_disk_says_so_writes_nothing_and_takes_the_same_batch_later(store):
    store.apply(*a_batch(1, 10))
    before = store.content()
    with store.full():
        for _ in range(3):
            with pytest.raises(RetryableStoreError):
                store.apply(*a_batch(20, 5000), raw(NOW, 9999, temp_dhw=1.0))
        with pytest.raises(RetryableStoreError):
            store.writer.commit_fence(Fence("a", 1))
        assert store.content() == before
    store.apply(*a_batch(20, 5000), raw(NOW, 9999, temp_dhw=1.0))
    store.writer.commit_fence(Fence("a", 1))
    assert store.reader.stats().total_readings == 5011


def test_a_reader_sees_whole_batches_while_they_are_written(store):
    """Each batch has ten rows: never fewer of them are seen."""
    stop, first, seen = threading.Event(), threading.Barrier(4), set()

    def read() -> None:
        seen.add(len(store.reader.readings("site1", 0, FOREVER, 1000)))
        first.wait(60)
        while not stop.is_set():
            seen.add(len(store.reader.readings("site1", 0, FOREVER, 1000)))
        seen.add(len(store.reader.readings("site1", 0, FOREVER, 1000)))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    first.wait(60)
    for batch in range(60):
        store.apply(*[raw(NOW + n, n + 1, voltage=1.0) for n in range(10 * batch, 10 * batch + 10)])
    stop.set()
    for thread in threads:
        thread.join()
    assert [count for count in seen if count % 10] == []
    assert {0, 600} <= seen
