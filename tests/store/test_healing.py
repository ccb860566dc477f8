"""Refold: whatever order and batches raw rows came in, the rollups are those of one fold over all of them."""

import random
from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.model.device import DeviceMetadata, metadata_at
from flows.model.rollup import BUCKET_MS, HOLD_MS, Compose, Refold, RollupRow
from flows.model.rows import DeviceRow, Forget, RawRow, Retain
from flows.physics.derive import derived_values
from tests.effort import examples
from tests.folding import Sample, block_of, compose, fold_range

from .conftest import DAY, FOREVER, HOUR, MINUTE, NOW, SECOND, minute, raw

values = st.fixed_dictionaries(
    {},
    optional={
        "temp_inlet": st.floats(20, 50),
        "temp_outlet": st.floats(20, 60),
        "temp_ambient": st.floats(-20, 35),
        "power": st.floats(0, 4000),
        "flow_rate": st.floats(0, 40),
        "electric_energy": st.floats(100, 102),
        "compressor_running": st.booleans(),
        "defrost_active": st.booleans(),
    },
).filter(bool)
event = st.tuples(st.integers(0, 3 * HOUR // 1000).map(lambda s: NOW - HOUR + s * SECOND + s % 7), values)
METADATA = [DeviceMetadata(glycol_percent=20.0), DeviceMetadata(valid_from=NOW, carnot_fraction=0.45)]


def built(rows: list[RollupRow]) -> list:
    return [(row.start, row.count, row.values, row.heat_source) for row in rows]


def one_fold(samples: list[Sample], metadata: list[DeviceMetadata]) -> dict[str, list]:
    """Rows of every resolution as one fold over all samples gives them, closed buckets only."""
    minutes, newest = fold_range(samples, 0, FOREVER, metadata), samples[-1].at
    rows = [RollupRow("site1", "1m", m.start, 0, m.count, m.values, m.heat_source) for m in minutes]
    out = {"1m": [row for row in rows if row.start + MINUTE <= newest]}
    for resolution, finer in (("1h", "1m"), ("1d", "1h")):
        length = BUCKET_MS[resolution]
        starts = sorted({row.start - row.start % length for row in out[finer]})
        out[resolution] = [
            compose([row for row in out[finer] if row.start - row.start % length == start], resolution, start, 0)
            for start in starts
            if start + length <= newest
        ]
    return {resolution: built(found) for resolution, found in out.items()}


def samples_of(rows: Iterable[RawRow], metadata: list[DeviceMetadata]) -> list[Sample]:
    """What raw rows say with what derives from each, in the order of time."""
    return [
        Sample(row.at, row.values | derived_values(row.values, metadata_at(metadata, row.at)))
        for row in sorted(rows, key=lambda row: row.at)
    ]


def stored(store) -> dict[str, list]:
    return {r: built(store.reader.rollups("site1", r, 0, FOREVER, 100_000)) for r in ("1m", "1h", "1d")}


many_events = given(events=st.lists(event, min_size=2, max_size=40), rng=st.randoms(use_true_random=False))
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
@settings(unhurried, max_examples=examples(40))
@many_events
def test_any_order_split_and_doubling_gives_what_one_fold_gives_bit_for_bit(new_store, events, rng):
    heal_piece_by_piece(new_store(), events, rng)


@pytest.mark.slow
@pytest.mark.parametrize("new_store", ["influx"], indirect=True)
@settings(unhurried, max_examples=examples(10))
@many_events
def test_any_order_split_and_doubling_gives_the_same_on_a_server(new_store, events, rng):
    heal_piece_by_piece(new_store(), events, rng)


def heal_piece_by_piece(store, events: list[tuple[int, dict]], rng: random.Random) -> None:
    rows = [RawRow.of("site1", at, n + 1, at, "device", fields) for n, (at, fields) in enumerate(events)]
    deliveries = rows + rng.sample(rows, len(rows) // 2)
    deliveries.sort(key=lambda row: row.order + rng.choice([0, 0, 8]))  # doubled, and not always in order
    known: dict[int, RawRow] = {}
    for row in deliveries:
        before = known.get(row.at)
        if before and row.values.items() <= before.values.items():
            continue  # it says nothing new: not even its order counts
        if before is None or row.order > before.order:
            merged = {**(before.values if before else {}), **row.values}
            known[row.at] = RawRow.of("site1", row.at, row.order, row.at, "device", merged)
    first = min(known) // MINUTE * MINUTE
    last = max(known)
    store.apply(DeviceRow("site1", 1, metadata=METADATA))
    seen = 0
    while deliveries:
        batch, deliveries = deliveries[: (size := rng.randint(1, 9))], deliveries[size:]
        seen = max(seen, *(row.at for row in batch))
        start = rng.randrange(first, last + 1) // MINUTE * MINUTE
        store.apply(*batch, Refold("site1", 100, start, start + rng.randint(1, 90) * MINUTE, seen))
    pieces = [*range(first, last + HOLD_MS + HOUR, 41 * MINUTE)]
    rng.shuffle(pieces)
    for start in pieces:
        store.apply(Refold("site1", 200, start, start + 41 * MINUTE, last))
    assert stored(store) == one_fold(samples_of(known.values(), METADATA), METADATA)


def a_day(step: int = MINUTE // 2) -> list[RawRow]:
    rng = random.Random(3)
    rows = []
    for n, at in enumerate(range(NOW, NOW + DAY + HOUR, step)):
        fields = {"temp_inlet": 30 + rng.random(), "temp_outlet": 35 + rng.random(), "power": 900 * rng.random()}
        rows.append(raw(at, n + 1, temp_ambient=4.0, compressor_running=n % 9 > 2, **fields))
    return rows


def test_a_refold_writes_every_closed_minute_hour_and_day(store):
    rows = a_day()
    store.apply(*rows, Refold("site1", 9000, NOW, NOW + DAY + HOUR, rows[-1].at))
    found = stored(store)
    assert found == one_fold(samples_of(rows, []), [])
    assert [len(found[resolution]) for resolution in ("1m", "1h", "1d")] == [25 * 60 - 1, 24, 1]


def test_a_bucket_that_the_frontier_has_not_passed_stays_open(store):
    rows = a_day()
    store.apply(*rows, Refold("site1", 9000, NOW, NOW + DAY, NOW + 90 * MINUTE - 1))
    found = stored(store)
    assert [len(found[resolution]) for resolution in ("1m", "1h", "1d")] == [89, 1, 0]


def test_a_late_reading_changes_its_minutes_hour_and_day_and_no_other(store):
    rows = a_day()
    late = rows.pop(700)
    assert late.at % MINUTE == 0
    store.apply(*rows, Refold("site1", 9000, NOW, NOW + DAY, rows[-1].at))
    before = stored(store)
    store.apply(msgspec.structs.replace(late, order=9001))
    start = late.at // MINUTE * MINUTE - HOLD_MS
    store.apply(Refold("site1", 9002, start, start + 2 * HOLD_MS + MINUTE, rows[-1].at))
    after = stored(store)
    changed = {r: [a for a, b in zip(after[r], before[r], strict=True) if a != b] for r in after}
    assert [row[0] for row in changed["1m"]] == [late.at]
    assert [len(changed[r]) for r in ("1h", "1d")] == [1, 1]
    assert after["1m"] == one_fold(samples_of([*rows, late], []), [])["1m"][: 24 * 60]


def test_two_refolds_of_one_tick_both_count_in_the_hour_they_share(store):
    rows = a_day()
    frontier = rows[-1].at
    store.apply(*rows)
    for batch in ([(0, 20)], [(20, 40), (40, 60)]):
        store.apply(*[Refold("site1", 9000, NOW + a * MINUTE, NOW + b * MINUTE, frontier) for a, b in batch])
    assert stored(store)["1h"] == one_fold(samples_of(rows, []), [])["1h"][:1]


def test_a_refold_of_an_unknown_device_does_nothing(store):
    before = store.content()
    store.apply(Refold("nobody", 1, NOW, NOW + HOUR, FOREVER))
    assert store.content() == before


PRESSURES = {
    "pressure_high": 250.0,
    "pressure_low": 60.0,
    "temp_ambient": 7.0,
    "temp_outlet": 35.0,
    "temp_inlet": 30.0,
}


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "a batch each"])
def test_corrected_metadata_are_derived_anew_and_what_no_longer_follows_is_cleared(store, together):
    sent = {**PRESSURES, "flow_rate": 12.0}
    first, second = DeviceMetadata(refrigerant="R290"), DeviceMetadata(glycol_percent=25.0)
    rows = [
        raw(NOW + n * 10 * SECOND, n + 1, **sent, **derived_values(sent, first if n < 100 else second))
        for n in range(120)
    ]
    frontier = rows[-1].at
    batch = [
        *rows[:100],
        DeviceRow("site1", 100, metadata=[second]),
        Refold("site1", 100, NOW, NOW + 20 * MINUTE, rows[99].at),
        *rows[100:],
        Refold("site1", 200, NOW, NOW + 20 * MINUTE, frontier),
    ]
    for items in [batch] if together else [[item] for item in batch]:
        store.apply(*items)
    expected = {**sent, **derived_values(sent, second)}
    assert "t_sat_low" not in expected
    assert [row.values for row in store.reader.readings("site1", 0, FOREVER, 1000)] == [expected] * 120
    samples = [Sample(row.at, expected) for row in rows]
    assert stored(store)["1m"] == one_fold(samples, [second])["1m"]


def test_other_metadata_leave_orders_alone_so_that_a_replay_brings_no_old_value_back(store):
    row = raw(NOW, 1, **PRESSURES, **derived_values(PRESSURES, DeviceMetadata(refrigerant="R290")))
    store.apply(row)
    store.apply(DeviceRow("site1", 2, metadata=[]), Refold("site1", 2, NOW, NOW + MINUTE, NOW))
    before = store.content()
    store.apply(row)
    assert store.content() == before
    assert "t_sat_low" not in store.reader.readings("site1", 0, FOREVER, 1)[0].values


def test_what_retention_let_go_is_not_folded_again(store):
    rows = a_day()
    frontier, cutoff = rows[-1].at, NOW + 6 * HOUR
    store.apply(*rows, Refold("site1", 9000, NOW, NOW + DAY, frontier))
    before = stored(store)
    store.apply(Retain("site1", 9001, cutoff, 0, 0))
    store.apply(Refold("site1", 9002, NOW, NOW + DAY, frontier), Compose("site1", 9002, "1h", NOW))
    assert stored(store) == before
    found = store.reader.rollups("site1", "1m", 0, FOREVER, 5000)
    assert min(row.start for row in found if row.order == 9002) == cutoff + HOLD_MS


def test_an_hour_whose_minutes_retention_let_go_is_not_composed_again(store):
    rows = a_day()
    store.apply(*rows, Refold("site1", 9000, NOW, NOW + DAY, rows[-1].at))
    before = stored(store)
    store.apply(Retain("site1", 9001, 0, NOW + HOUR + MINUTE, 0))
    store.apply(Compose("site1", 9002, "1h", NOW + HOUR), Refold("site1", 9002, NOW, NOW + 2 * HOUR, rows[-1].at))
    after = stored(store)
    assert (after["1h"], after["1d"]) == (before["1h"], before["1d"])
    assert after["1m"] == before["1m"][61:]


def running(at: int, device_id: str = "site1", order: int = 1) -> RollupRow:
    return minute(at, order, device_id, voltage_mean=at % 97 / 7, voltage_coverage=1.0)


@pytest.mark.parametrize("reopened", [False, True], ids=["in one go", "after a restart within the hour"])
def test_hours_of_many_devices_that_close_at_once_are_composed_of_all_their_minutes(store, reopened):
    devices = [f"site{n}" for n in range(110)]
    minutes = {name: [running(NOW + n * 5 * MINUTE, name, 10 * n) for n in range(12)] for name in devices}
    store.apply(block_of([row for rows in minutes.values() for row in rows[:7]]))
    if reopened:
        store.reopen()
    store.apply(block_of([row for rows in minutes.values() for row in rows[7:]]))
    minutes["site7"][1] = running(NOW + 5 * MINUTE, "site7", 200)
    store.apply(minutes["site7"][1], running(NOW, "site8", order=-1))
    store.apply(*[Compose(name, 300, "1h", NOW) for name in devices])
    for name in ("site0", "site7", "site8", "site99", "site109"):
        [found] = store.reader.rollups(name, "1h", NOW, FOREVER, 2)
        assert found == compose(minutes[name], "1h", NOW, 300)


def test_a_forgotten_device_s_minutes_are_in_no_hour_that_closes_later(store):
    early, late = [running(NOW + n * MINUTE, order=n + 1) for n in range(5)], running(NOW + 30 * MINUTE, order=20)
    store.apply(*early)
    store.apply(Forget("site1", 10))
    store.apply(late, Compose("site1", 21, "1h", NOW))
    [found] = store.reader.rollups("site1", "1h", NOW, FOREVER, 2)
    assert found == compose([late], "1h", NOW, 21)


def test_an_hour_that_was_composed_is_composed_again_of_what_it_had_and_what_came_late(store):
    minutes = [running(NOW + n * MINUTE, order=n + 1) for n in range(6)]
    store.apply(*minutes[:5], Compose("site1", 10, "1h", NOW))
    store.apply(minutes[5], Compose("site1", 11, "1h", NOW))
    [found] = store.reader.rollups("site1", "1h", NOW, FOREVER, 2)
    assert found == compose(minutes, "1h", NOW, 11)
