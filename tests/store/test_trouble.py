"""A store that is read while it is written, closed twice, shared by threads."""

import threading
from contextlib import closing

from flows.model.rows import DeviceRow

from .conftest import FOREVER, MINUTE, NOW, letter, minute, raw


def a_batch(first: int, count: int) -> list:
    rows = [raw(NOW + n, n, voltage=230.0 + n, power=n / 7) for n in range(first, first + count)]
    return [*rows, DeviceRow(f"site{first}", first, last_seen=NOW), letter(first)]


def test_a_reader_sees_only_more_and_more_while_batches_are_written(store):
    stop, first, seen = threading.Event(), threading.Barrier(4), [[], [], []]

    def read(mine: list[int]) -> None:
        mine.append(len(store.reader.readings("site1", 0, FOREVER, 1000)))
        first.wait(60)
        while not stop.is_set():
            mine.append(len(store.reader.readings("site1", 0, FOREVER, 1000)))
        mine.append(len(store.reader.readings("site1", 0, FOREVER, 1000)))

    threads = [threading.Thread(target=read, args=(mine,)) for mine in seen]
    for thread in threads:
        thread.start()
    first.wait(60)
    for batch in range(30):
        store.apply(*[raw(NOW + n, n + 1, voltage=1.0) for n in range(10 * batch, 10 * batch + 10)])
    stop.set()
    for thread in threads:
        thread.join()
    assert [mine == sorted(mine) and mine[0] == 0 and mine[-1] == 300 for mine in seen] == [True, True, True]


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
