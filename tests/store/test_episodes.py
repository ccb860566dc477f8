"""Episodes in the store: outlive raw rows, are found anew among them, go with their device."""

from contextlib import closing

import pytest

from flows.model.episode import KINDS, TRACED, Episode, EpisodeRow, Retrace
from flows.model.rows import DeviceRow, Forget, RawRow, Retain
from flows.store import open_reader, open_writer

NOON = 1_770_033_600_000  # 2026-02-02T12:00Z
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
EVER = (0, 1 << 42)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.sqlite"


def rows(*spans, until=3 * HOUR, every=MINUTE, order=1):
    """Raw rows of a compressor that runs in these spans. [ms from NOON]"""
    return [
        RawRow("d", NOON + at, order, NOON, "device", {"compressor_running": any(a <= at < b for a, b in spans)})
        for at in range(0, until, every)
    ]


def apply(path, *items):
    with closing(open_writer(path)) as writer:
        writer.apply([DeviceRow("d", 1), *items])


def spans(path, kind="cycle"):
    """Starts and ends. [minutes from NOON]"""
    with closing(open_reader(path)) as reader:
        found = reader.episodes("d", [kind], *EVER, 100)
    return [((each.start - NOON) / MINUTE, (each.end - NOON) / MINUTE) for each in reversed(found)]


def around(minute, order=100, reach=15):
    at = NOON + minute * MINUTE
    return Retrace("d", order, at - reach * MINUTE, at + reach * MINUTE, TRACED, at - reach * MINUTE)


def test_a_late_reading_splits_an_episode_and_another_joins_it_again(path):
    apply(path, *rows((10 * MINUTE, 90 * MINUTE)), around(90))
    assert spans(path) == [(10, 90)]
    at = NOON + 50 * MINUTE
    apply(path, RawRow("d", at, 200, NOON, "device", {"compressor_running": False}), around(50, 201))
    assert spans(path) == [(10, 50), (51, 90)]
    apply(path, RawRow("d", at, 300, NOON, "device", {"compressor_running": True}), around(50, 301))
    assert spans(path) == [(10, 90)]


def test_an_episode_that_goes_on_after_all_is_no_longer_one_that_ended(path):
    apply(path, *rows((10 * MINUTE, 179 * MINUTE)), around(179))
    assert spans(path) == [(10, 179)]
    last = RawRow("d", NOON + 179 * MINUTE, 200, NOON, "device", {"compressor_running": True})
    apply(path, last, around(179, 201))
    assert spans(path) == []


def test_what_began_before_the_oldest_raw_row_stays_as_it_is(path):
    apply(path, *rows((10 * MINUTE, 90 * MINUTE), (100 * MINUTE, 120 * MINUTE)), around(90), around(120))
    apply(path, Retain("d", 110, NOON + 40 * MINUTE, 0, 0))
    at = NOON + 105 * MINUTE
    changed = RawRow("d", at, 200, NOON, "device", {"compressor_running": False})
    apply(path, changed, around(45, 201), around(90, 202), around(105, 203))
    assert spans(path) == [(10, 90), (100, 105), (106, 120)]


def test_days_of_a_run_that_began_before_the_oldest_raw_row_stay(path):
    running = rows((10 * MINUTE, 80 * HOUR), until=90 * HOUR, every=10 * MINUTE)
    whole = Retrace("d", 100, NOON, NOON + 90 * HOUR, TRACED, NOON)
    apply(path, *running, whole)
    days = spans(path)
    assert days == [(10, 36 * 60), (36 * 60, 60 * 60), (60 * 60, 80 * 60)]
    apply(path, Retain("d", 110, NOON + 40 * HOUR, 0, 0))
    for hour in range(0, 90, 6):
        apply(path, around(hour * 60, 200 + hour, reach=180))
        assert spans(path) == days


def test_a_gap_whose_first_reading_is_gone_is_split_by_a_late_reading(path):
    apply(path, *rows(until=MINUTE), RawRow("d", NOON + 5 * HOUR, 2, NOON, "device", {"power": 1.0}))
    apply(path, EpisodeRow("d", 2, Episode("gap", NOON, NOON + 5 * HOUR)), Retain("d", 3, NOON + HOUR, 0, 0))
    apply(path, RawRow("d", NOON + 2 * HOUR, 200, NOON, "device", {"power": 1.0}), around(120, 201))
    assert spans(path, "gap") == [(0, 120), (120, 300)]


def test_a_gap_that_was_split_stays_so_when_its_frames_are_taken_again_after_its_rows_are_gone(path):
    gap = EpisodeRow("d", 2, Episode("gap", NOON, NOON + 5 * HOUR))
    late = RawRow("d", NOON + 2 * HOUR, 200, NOON, "device", {"power": 1.0})
    apply(path, *rows(until=MINUTE), RawRow("d", NOON + 5 * HOUR, 2, NOON, "device", {"power": 1.0}), gap)
    apply(path, late, around(120, 201))
    split = spans(path, "gap")
    assert split == [(0, 120), (120, 300)]
    apply(path, Retain("d", 300, NOON + 3 * HOUR, 0, 0))
    apply(path, gap, late, around(120, 201))
    assert spans(path, "gap") == split


def test_a_forgotten_device_has_no_episodes_and_what_comes_later_has(path):
    apply(path, *rows((10 * MINUTE, 90 * MINUTE)), around(90))
    apply(path, Forget("d", 150), around(90, 140))
    assert spans(path) == []
    apply(path, EpisodeRow("d", 160, Episode("change", NOON, NOON, detail="a → b")))
    with closing(open_reader(path)) as reader:
        assert [each.detail for each in reader.episodes("d", KINDS, *EVER, 10)] == ["a → b"]
        assert reader.episodes("nobody", KINDS, *EVER, 10) == []


def test_an_older_version_of_an_episode_replaces_none(path):
    newer, older = (Episode("gap", NOON, NOON + hours * HOUR) for hours in (2, 1))
    apply(path, EpisodeRow("d", 20, newer))
    apply(path, EpisodeRow("d", 10, older))
    assert spans(path, "gap") == [(0, 120)]
