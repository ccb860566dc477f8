"""Episodes in the store: outlive raw rows, are found anew among them, go with their device."""

from flows.model.episode import KINDS, TRACED, Episode, EpisodeRow, Retrace
from flows.model.rows import DeviceRow, Forget, RawRow, Retain

NOON = 1_770_033_600_000  # 2026-02-02T12:00Z
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
EVER = (0, 1 << 42)


def rows(*spans, until=3 * HOUR, every=MINUTE, order=1):
    """Raw rows of a compressor that runs in these spans. [ms from NOON]"""
    return [
        RawRow.of(
            "d", NOON + at, order, NOON, "device", {"compressor_running": any(a <= at < b for a, b in spans)}
        )
        for at in range(0, until, every)
    ]


def apply(store, *items):
    store.apply(DeviceRow("d", 1), *items)


def spans(store, kind="cycle"):
    """Starts and ends. [minutes from NOON]"""
    found = store.reader.episodes("d", [kind], *EVER, 100)
    return [((each.start - NOON) / MINUTE, (each.end - NOON) / MINUTE) for each in reversed(found)]


def around(minute, order=100, reach=15):
    at = NOON + minute * MINUTE
    return Retrace("d", order, at - reach * MINUTE, at + reach * MINUTE, TRACED, at - reach * MINUTE)


def test_a_late_reading_splits_an_episode_and_another_joins_it_again(store):
    apply(store, *rows((10 * MINUTE, 90 * MINUTE)), around(90))
    assert spans(store) == [(10, 90)]
    at = NOON + 50 * MINUTE
    apply(store, RawRow.of("d", at, 200, NOON, "device", {"compressor_running": False}), around(50, 201))
    assert spans(store) == [(10, 50), (51, 90)]
    apply(store, RawRow.of("d", at, 300, NOON, "device", {"compressor_running": True}), around(50, 301))
    assert spans(store) == [(10, 90)]


def test_an_episode_that_goes_on_after_all_is_no_longer_one_that_ended(store):
    apply(store, *rows((10 * MINUTE, 179 * MINUTE)), around(179))
    assert spans(store) == [(10, 179)]
    last = RawRow.of("d", NOON + 179 * MINUTE, 200, NOON, "device", {"compressor_running": True})
    apply(store, last, around(179, 201))
    assert spans(store) == []


def test_what_began_before_the_oldest_raw_row_stays_as_it_is(store):
    apply(store, *rows((10 * MINUTE, 90 * MINUTE), (100 * MINUTE, 120 * MINUTE)), around(90), around(120))
    apply(store, Retain("d", 110, NOON + 40 * MINUTE, 0, 0))
    at = NOON + 105 * MINUTE
    changed = RawRow.of("d", at, 200, NOON, "device", {"compressor_running": False})
    apply(store, changed, around(45, 201), around(90, 202), around(105, 203))
    assert spans(store) == [(10, 90), (100, 105), (106, 120)]


def test_days_of_a_run_that_began_before_the_oldest_raw_row_stay(store):
    running = rows((10 * MINUTE, 80 * HOUR), until=90 * HOUR, every=10 * MINUTE)
    whole = Retrace("d", 100, NOON, NOON + 90 * HOUR, TRACED, NOON)
    apply(store, *running, whole)
    days = spans(store)
    assert days == [(10, 36 * 60), (36 * 60, 60 * 60), (60 * 60, 80 * 60)]
    apply(store, Retain("d", 110, NOON + 40 * HOUR, 0, 0))
    for hour in range(0, 90, 6):
        apply(store, around(hour * 60, 200 + hour, reach=180))
        assert spans(store) == days


def test_a_gap_whose_first_reading_is_gone_is_split_by_a_late_reading(store):
    apply(store, *rows(until=MINUTE), RawRow.of("d", NOON + 5 * HOUR, 2, NOON, "device", {"power": 1.0}))
    apply(store, EpisodeRow("d", 2, Episode("gap", NOON, NOON + 5 * HOUR)), Retain("d", 3, NOON + HOUR, 0, 0))
    apply(store, RawRow.of("d", NOON + 2 * HOUR, 200, NOON, "device", {"power": 1.0}), around(120, 201))
    assert spans(store, "gap") == [(0, 120), (120, 300)]


def test_a_gap_that_was_split_stays_so_when_its_frames_are_taken_again_after_its_rows_are_gone(store):
    gap = EpisodeRow("d", 2, Episode("gap", NOON, NOON + 5 * HOUR))
    late = RawRow.of("d", NOON + 2 * HOUR, 200, NOON, "device", {"power": 1.0})
    apply(store, *rows(until=MINUTE), RawRow.of("d", NOON + 5 * HOUR, 2, NOON, "device", {"power": 1.0}), gap)
    apply(store, late, around(120, 201))
    split = spans(store, "gap")
    assert split == [(0, 120), (120, 300)]
    apply(store, Retain("d", 300, NOON + 3 * HOUR, 0, 0))
    apply(store, gap, late, around(120, 201))
    assert spans(store, "gap") == split


def test_a_forgotten_device_has_no_episodes_and_what_comes_later_has(store):
    apply(store, *rows((10 * MINUTE, 90 * MINUTE)), around(90))
    apply(store, Forget("d", 150), around(90, 140))
    assert spans(store) == []
    apply(store, EpisodeRow("d", 160, Episode("change", NOON, NOON, detail="a → b")))
    assert [each.detail for each in store.reader.episodes("d", KINDS, *EVER, 10)] == ["a → b"]
    assert store.reader.episodes("nobody", KINDS, *EVER, 10) == []


def test_an_older_version_of_an_episode_replaces_none(store):
    newer, older = (Episode("gap", NOON, NOON + hours * HOUR) for hours in (2, 1))
    apply(store, EpisodeRow("d", 20, newer))
    apply(store, EpisodeRow("d", 10, older))
    assert spans(store, "gap") == [(0, 120)]


def test_an_episode_reaches_into_a_span_that_it_began_before(store):
    gaps = [Episode("gap", NOON + 2 * n * HOUR, NOON + (2 * n + 1) * HOUR) for n in range(3)]
    change = Episode("change", NOON, NOON, detail="a → b")
    apply(store, *[EpisodeRow("d", 2, each) for each in (*gaps, change)])

    def found(start, end, limit=10):
        return store.reader.episodes("d", KINDS, NOON + start, NOON + end, limit)

    assert found(0, 6 * HOUR) == [gaps[2], gaps[1], change, gaps[0]]
    assert found(0, 6 * HOUR, limit=2) == [gaps[2], gaps[1]]
    assert found(HOUR // 2, 2 * HOUR + 1) == [gaps[1], gaps[0]]
    assert found(HOUR, 2 * HOUR) == []
    assert found(HOUR - 1, HOUR) == [gaps[0]]
    assert found(9 * HOUR, 8 * HOUR) == []
    assert store.reader.episodes("d", ["cycle"], *EVER, 10) == []
