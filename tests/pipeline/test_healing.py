"""Late, doubled and shuffled readings heal: the whole pipeline gives what one fold over the raw rows gives."""

import random
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.main import run_journal
from flows.model.rollup import BUCKET_MS, RollupRow
from flows.store import open_reader
from tests.folding import Sample, compose, fold_range

from .conftest import HOUR, NOW, Recorder

pytestmark = pytest.mark.slow

field = st.dictionaries(
    st.sampled_from(["inlet", "outlet", "ambient"]), st.integers(-100, 500).map(lambda n: n / 10), min_size=1
)
event = st.tuples(st.integers(0, 3 * HOUR // 1000), field, st.integers(0, 5000), st.booleans())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(event, min_size=2, max_size=40), st.randoms(use_true_random=False), st.sampled_from([1, 7, 1000]))
def test_any_order_any_doubling_and_any_batch_size_give_one_batch_over_the_raw_rows(
    tmp_path_factory, events, rng: random.Random, batch_frames
):
    folder = tmp_path_factory.mktemp("healing")
    recorder = Recorder(folder / "journal")
    recorder.now = NOW + 4 * HOUR
    for second, temperature, power, flag in rng.sample(events, len(events)) + rng.sample(events, len(events) // 2):
        payload = {"temperature": temperature, "electrical": {"power": power}, "status": {"compressor": flag}}
        recorder.reading(at=NOW + second * 1000, **payload)
        if rng.random() < 0.3:
            recorder.tick()
    recorder.tick(3)
    recorder.close()
    assert run_journal(folder / "journal", folder / "store.sqlite", batch_frames=batch_frames) == 0

    with closing(open_reader(folder / "store.sqlite")) as reader:
        raw = reader.readings("site1", 0, NOW + 9 * HOUR, 1000, newest_first=False)
        assert [row.at for row in raw] == sorted({NOW + second * 1000 for second, *_ in events})
        minutes = fold_range([Sample(row.at, row.values) for row in raw], 0, NOW + 9 * HOUR, [])
        expected = [
            RollupRow("site1", "1m", m.start, 0, m.count, m.values, m.heat_source)
            for m in minutes
            if m.start + 60_000 <= raw[-1].at
        ]
        assert as_built(reader.rollups("site1", "1m", 0, NOW + 9 * HOUR, 1000)) == as_built(expected)
        hours = {row.start - row.start % HOUR for row in expected}
        closed = [hour for hour in sorted(hours) if hour + HOUR <= raw[-1].at]
        composed = [
            compose([r for r in expected if r.start // HOUR == hour // HOUR], "1h", hour, 0) for hour in closed
        ]
        assert as_built(reader.rollups("site1", "1h", 0, NOW + 9 * HOUR, 1000)) == as_built(composed)


def as_built(rows):
    assert all(row.start % BUCKET_MS[row.resolution] == 0 for row in rows)
    return [(row.start, row.count, row.values, row.heat_source) for row in rows]
