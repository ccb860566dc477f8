"""A store that is locked, full or read while it is written: nothing half done, nothing lost."""

import threading
from contextlib import closing

import pytest

from flows.errors import RetryableStoreError
from flows.model.rows import DeviceRow
from flows.store.protocol import Fence

from .conftest import FOREVER, MINUTE, NOW, letter, minute, raw


def a_batch(first: int, count: int) -> list:
    rows = [raw(NOW + n, n, voltage=230.0 + n, power=n / 7) for n in range(first, first + count)]
    return [*rows, DeviceRow(f"site{first}", first, last_seen=NOW), letter(first)]


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
        first.wait(20)
        while not stop.is_set():
            seen.add(len(store.reader.readings("site1", 0, FOREVER, 1000)))
        seen.add(len(store.reader.readings("site1", 0, FOREVER, 1000)))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    first.wait(20)
    for batch in range(60):
        store.apply(*[raw(NOW + n, n + 1, voltage=1.0) for n in range(10 * batch, 10 * batch + 10)])
    stop.set()
    for thread in threads:
        thread.join()
    assert [count for count in seen if count % 10] == []
    assert {0, 600} <= seen


def test_columns_may_appear_while_a_reader_pages(store):
    store.apply(*[raw(NOW + n, n + 1, voltage=1.0) for n in range(4)])
    first = store.reader.readings("site1", NOW, FOREVER, 2, newest_first=False)
    store.apply(raw(NOW + 3, 9, temp_dhw=50.0), minute(NOW, 9, temp_dhw_mean=50.0))
    second = store.reader.readings("site1", first[-1].at + 1, FOREVER, 2, newest_first=False)
    assert [row.values for row in second] == [{"voltage": 1.0}, {"voltage": 1.0, "temp_dhw": 50.0}]


def test_a_closed_store_may_be_closed_again(store):
    store.reader.ping()
    store.close()
    store.close()


def test_many_threads_may_share_a_reader(store):
    store.apply(*[minute(NOW + n * MINUTE, 1, seconds_space=float(n)) for n in range(50)])
    answers: list[int] = []

    def ask() -> None:
        for _ in range(20):
            answers.append(len(store.reader.rollups("site1", "1m", 0, FOREVER, 100)))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [50] * 160


def test_a_store_can_be_read_after_its_writer_has_gone(store):
    store.apply(raw(NOW, 1, voltage=1.0))
    store.writer.close()
    with closing(store.reader):
        assert store.reader.stats().total_readings == 1
