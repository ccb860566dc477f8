"""Merging: what comes of any readings of a few instants, against dicts merged field by field."""

import random

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.model.cells import cells_of
from flows.model.rows import RawRow
from tests.effort import examples

from .conftest import FOREVER, NOW

numbers = st.one_of(
    st.integers(-4000, 40_000).map(lambda whole: whole / 100),
    st.floats(allow_nan=False, allow_infinity=False),
    st.just(-0.0),
)
# Quantities from which nothing derives.
fields = st.fixed_dictionaries(
    {}, optional={"power": numbers, "voltage": numbers, "temp_dhw": numbers, "fan_running": st.booleans()}
).filter(bool)
events = st.lists(st.tuples(st.integers(0, 3), st.booleans(), fields), min_size=1, max_size=12)


def merged(rows: list[RawRow]) -> tuple[dict[int, RawRow], int]:
    """Rows by time as they must stand, and how many of the given said nothing new."""
    known: dict[int, RawRow] = {}
    unchanged = 0
    for row in rows:
        old = known.get(row.at)
        if old is None:
            known[row.at] = row
            continue
        kept = {name: old.values[name] for name in row.summed if name in old.values}
        values = {**old.values, **row.values, **kept}
        if row.order <= old.order or repr(sorted(values.items())) == repr(sorted(old.values.items())):
            unchanged += 1
        else:
            known[row.at] = msgspec.structs.replace(row, cells=cells_of(values))
    return known, unchanged


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=events, rng=st.randoms(use_true_random=False))
def test_readings_of_one_time_merge_as_dicts_do_in_any_batches(new_store, events, rng: random.Random):
    store = new_store()
    rows = [
        RawRow.of("site1", NOW + at, n + 1, NOW + 7 * n, "device", values, ("power",) if summed else ())
        for n, (at, summed, values) in enumerate(events)
    ]
    deliveries = sorted([*rows, *rng.sample(rows, len(rows) // 2)], key=lambda row: row.order + rng.choice([0, 3]))
    expected, unchanged = merged(deliveries)
    said, waiting = 0, list(deliveries)
    while waiting:
        size = rng.randint(1, 5)
        said += store.apply(*waiting[:size])
        waiting = waiting[size:]
    found = store.reader.readings("site1", 0, FOREVER, 10, newest_first=False)
    assert [(row.at, row.arrived, repr(sorted(row.values.items()))) for row in found] == [
        (at, row.arrived, repr(sorted(row.values.items()))) for at, row in sorted(expected.items())
    ]
    assert said == unchanged
    assert store.reader.stats().total_readings == len(expected)
