"""A store taken apart and put together in another one, of either kind, is the same store."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from flows.model.dead_letter import KEPT_PER_HOUR, LetterChange
from flows.model.device import DeviceMetadata
from flows.model.episode import TRACED, Episode, EpisodeRow, Retrace
from flows.model.rollup import Refold, RollupRow
from flows.model.rows import DeviceRow, Forget, LatestRow, Retain
from flows.store.export import EpisodeGone, open_export, put, units
from tests.filled import ordinary
from tests.store.conftest import (
    DAY,
    HOUR,
    KINDS,
    MINUTE,
    NOW,
    StoreUnderTest,
    letter,
    minute,
    outcome,
    raw,
    transition,
)


def fill(store: StoreUnderTest) -> None:
    """Some of everything that a store can hold."""
    store.apply(DeviceRow("gone", 1, last_seen=NOW), raw(NOW, 2, "gone", voltage=230.0))
    store.apply(Forget("gone", 5))
    readings = [raw(NOW + n * MINUTE, 100 + n, "site1", **ordinary(NOW + n * MINUTE)) for n in range(130)]
    store.apply(
        DeviceRow("site1", 10, online=True, last_seen=NOW, attributes={"rssi": "-60", "name": 'a "b"\nc'}),
        DeviceRow("site1", 11, metadata=[DeviceMetadata(name="Hütte", refrigerant="R32")]),
        DeviceRow("site2", 12, attributes={"version": "1"}),
        *readings,
        raw(NOW, 101, "site2", clock="arrival", flow_rate=-0.0, fan_running=False),
        raw(NOW + 1, 102, "site2", clock="boot", temp_outlet=0.1 + 0.2, temp_inlet=5e-324),
        LatestRow("site1", 229, {"power": (NOW, 1000.0), "compressor_running": (NOW - 1, True)}),
        Refold("site1", 230, NOW, NOW + 130 * MINUTE, NOW + 129 * MINUTE),
        minute(NOW - 2 * HOUR, 300, "site2", "measured", temp_inlet_mean=1 / 3, heat_kwh_space=0.25),
        RollupRow("site2", "1d", NOW - 9 * DAY, 301, 8_000, {"temp_inlet_mean": 2 / 3, "electric_kwh_dhw": 4.5}),
        EpisodeRow("site1", 231, Episode("change", NOW, NOW, detail="1 → 2")),
        EpisodeRow("site1", 232, Episode("defrost", NOW + HOUR, NOW + HOUR + 1, values={"heat_kwh": -0.5})),
        transition("raised", 400),
        transition("acknowledged", 401, NOW + 1, by="ada"),
        transition("cleared", 402, NOW + 2, value=None),
        transition("noted", 403, NOW - 40 * DAY, "site2/stuck/403", message='a "b", \\ c'),
        *(letter(1000 + n) for n in range(KEPT_PER_HOUR + 3)),
        letter(2000, "not_json", NOW - DAY, device_id=""),
        letter(2001, "not_json", NOW - 3 * DAY, device_id="site2"),
        outcome("a b", 7),
    )
    store.apply(
        Retrace("site1", 500, NOW, NOW + 2 * HOUR, TRACED, NOW),
        LetterChange(3000, 1000, 1, "retried", "", "", outcome("again", 8)),
        LetterChange(3001, 1001, 2, "open", "empty", "still", outcome("and again", 9, outcome="refused")),
        Retain("site1", 3002, NOW + 10 * MINUTE, NOW + 5 * MINUTE, 0),
        Retain("", 3003, 0, 0, NOW - 2 * DAY),
    )


@pytest.fixture(params=sorted(KINDS))
def target(request: pytest.FixtureRequest, tmp_path: Path) -> StoreUnderTest:
    """An empty store of each kind."""
    with closing(KINDS[request.param](tmp_path)) as made:
        yield made


def copy(source: StoreUnderTest, target: StoreUnderTest) -> None:
    with closing(open_export(source.address)) as export:
        for section, device_id in units(export.devices()):
            for batch in export.read(section, device_id):
                put(target.writer, batch)


@pytest.mark.slow
def test_a_store_put_together_from_the_parts_of_another_is_the_same(store, target):
    fill(store)
    copy(store, target)
    assert target.content() == store.content()
    copy(store, target)  # as after a copy that was interrupted
    assert target.content() == store.content()
    tables = [line.partition(" ")[0] for line in store.content()]
    assert {*tables} >= {"raw", "rollup_1m", "rollup_1h", "latest", "attribute", "episode", "dead_letter_count"}


@pytest.mark.slow
def test_both_kinds_of_stores_have_the_same_lines_of_the_same_items(store, target):
    fill(store)
    fill(target)
    assert target.content() == store.content()


@pytest.mark.slow
def test_a_copy_refuses_what_its_source_would(store, target):
    fill(store)
    copy(store, target)
    before = target.content()
    gone = EpisodeRow("site1", 232, Episode("defrost", NOW + HOUR, NOW + HOUR + 1))
    target.apply(
        gone, raw(NOW, 3, "gone", power=1.0), letter(1000), transition("raised", 400), outcome("again", 8)
    )
    assert target.content() == before
    target.apply(letter(5000))
    counts = target.reader.dead_letter_counts("site1", 0, NOW + DAY)
    assert [(each.reason, each.count) for each in counts] == [("empty", KEPT_PER_HOUR + 4)]
    assert target.reader.dead_letter(5000) is None


def test_an_episode_that_is_no_more_does_not_take_a_newer_one_away(store):
    episode = Episode("defrost", NOW, NOW + MINUTE)
    store.apply(EpisodeRow("site1", 5, episode))
    store.writer.restore([EpisodeGone("site1", 4, "defrost", NOW)])
    assert store.reader.episodes("site1", ["defrost"], 0, NOW + DAY, 9) == [episode]
    store.writer.restore([EpisodeGone("site1", 6, "defrost", NOW)])
    assert store.reader.episodes("site1", ["defrost"], 0, NOW + DAY, 9) == []


@pytest.mark.slow
def test_an_empty_store_has_no_parts(new_store: Callable[[], StoreUnderTest]):
    with closing(open_export(new_store().address)) as export:
        assert [*units(export.devices())]
        assert not any(batch for unit in units(export.devices()) for batch in export.read(*unit))
        assert export.fence() is None
