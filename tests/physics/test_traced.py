"""traced: episodes of many tables found at once are those that each table gives alone, bit for bit."""

from hypothesis import given, settings
from hypothesis import strategies as st

from flows.model.device import DeviceMetadata
from flows.model.episode import FLAGGED
from flows.model.table import table_of
from flows.physics.episodes import Watch, advance, traced
from tests.effort import examples

NOON = 1_770_033_600_000
fields = st.fixed_dictionaries(
    {},
    optional={
        **{name: st.booleans() for name in ("compressor_running", "defrost_active", "dhw_active")},
        **{name: st.sampled_from([30.0, 35.5]) for name in ("temp_inlet", "temp_outlet", "temp_dhw")},
        "power": st.sampled_from([5.0, 900.0]),
        "heat_energy": st.sampled_from([1.0, 1.5]),
    },
)
steps = st.sampled_from([1_000, 10_000, 61_000, 900_000, 900_001, 40_000_000])


@st.composite
def parts(draw):
    rows = draw(st.lists(st.tuples(steps, fields), min_size=1, max_size=8))
    at, times = NOON, []
    for step, _ in rows:
        at += step
        times.append(at)
    values = [said for _, said in rows]
    names = tuple(dict.fromkeys(name for said in values for name in said))
    metadata = draw(st.sampled_from([[], [DeviceMetadata(valid_from=NOON + 500_000, glycol_percent=20.0)]]))
    kinds = draw(st.sampled_from([FLAGGED, FLAGGED[:1], FLAGGED[1:]]))
    return table_of(times, values, names), metadata, kinds


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(parts(), min_size=1, max_size=5))
def test_many_tables_at_once_give_what_each_gives_alone(given_parts):
    for (table, metadata, kinds), (watch, found) in zip(given_parts, traced(given_parts), strict=True):
        alone = Watch()
        assert repr(advance(alone, table, metadata, kinds)) == repr(found)
        assert repr(alone) == repr(watch)
