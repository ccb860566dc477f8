"""Retention: what goes, what stays, and that a replay brings nothing back."""

import pytest

from flows.model.rows import Retain

from .conftest import DAY, FOREVER, HOUR, MINUTE, NOW, letter, minute, raw


def test_raw_and_minute_rows_go_by_their_own_times_and_other_devices_keep_theirs(store):
    for device_id in ("site1", "site2"):
        store.apply(*[raw(NOW + n * HOUR, n + 1, device_id=device_id, voltage=1.0) for n in range(5)])
        store.apply(*[minute(NOW + n * HOUR, 1, device_id=device_id, seconds_space=1.0) for n in range(5)])
    store.apply(Retain("site1", 9, NOW + 3 * HOUR, NOW + 2 * HOUR, 0))
    raws = {d: [r.at - NOW for r in store.reader.readings(d, 0, FOREVER, 9, False)] for d in ("site1", "site2")}
    minutes = {
        d: [r.start - NOW for r in store.reader.rollups(d, "1m", 0, FOREVER, 9)] for d in ("site1", "site2")
    }
    assert raws == {"site1": [3 * HOUR, 4 * HOUR], "site2": [n * HOUR for n in range(5)]}
    assert minutes == {"site1": [2 * HOUR, 3 * HOUR, 4 * HOUR], "site2": [n * HOUR for n in range(5)]}
    assert store.reader.stats().total_readings == 7


def test_dead_letters_go_with_the_hours_that_are_past(store):
    store.apply(*[letter(n + 1, arrived=NOW + n * 30 * MINUTE) for n in range(4)])
    store.apply(Retain("", 9, 0, 0, NOW + 90 * MINUTE))
    assert [found.id for found in store.reader.dead_letters(None, None, None, 9)] == [4]
    counts = store.reader.dead_letter_counts(None, 0, FOREVER)
    assert [(count.hour, count.count) for count in counts] == [(NOW + HOUR, 2)]


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_replays_and_batch_sizes_make_no_difference(new_store, size):
    items = []
    for day in range(6):
        order = 10 * day
        items += [raw(NOW + day * DAY + n * HOUR, order + n, voltage=float(n)) for n in range(1, 5)]
        items += [minute(NOW + day * DAY + n * HOUR, order + n, seconds_space=1.0) for n in range(1, 5)]
        items += [letter(order + n, arrived=NOW + day * DAY) for n in range(1, 5)]
        cutoff = NOW + (day - 1) * DAY + 2 * HOUR
        items += [Retain(name, order + 5, cutoff, cutoff - DAY, cutoff) for name in ("", "site1")]
        items += [
            raw(cutoff - HOUR, order + 6, voltage=9.0),
            minute(cutoff - 2 * DAY, order + 6, seconds_space=9.0),
        ]
    one, many = new_store(), new_store()
    for item in items:
        one.apply(item)
    for start in range(0, len(items), size):
        many.apply(*items[start : start + size])
    assert many.content() == one.content()
    for start in range(0, len(items), size):
        many.apply(*items[start : start + size])
    assert many.content() == one.content()


def test_a_cutoff_never_moves_back(store):
    store.apply(raw(NOW, 1, voltage=1.0), Retain("site1", 2, NOW + DAY, 0, 0))
    store.apply(Retain("site1", 3, NOW - DAY, 0, 0), raw(NOW, 4, voltage=2.0))
    assert store.reader.readings("site1", 0, FOREVER, 9) == []
