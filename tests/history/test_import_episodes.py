"""An import gives the oracle's episodes: however it was cut and repeated, beside live readings too."""

from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.model.times import DAY_MS
from flows.store import open_reader
from tests.effort import examples
from tests.history.test_import_oracle import FIRST, SECOND, TICKS_AFTER, Flow, chunks, histories
from tests.ledger.test_episode_oracle import stored
from tests.oracle.episodes import differences, episodes

pytestmark = pytest.mark.slow
thorough = settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])


@thorough
@given(
    histories(),
    st.lists(st.integers(0, 30), max_size=6),
    st.lists(st.integers(0, 30), max_size=4),
    st.sampled_from([1, 2, 5, 100]),
)
def test_history_older_than_raw_rows_gives_the_oracles_episodes(samples, cuts, again, batch):
    payloads = chunks(samples, cuts, FIRST)
    for place in again:  # an interrupted client sends some again
        payloads.insert(min(place + 1, len(payloads)), payloads[place % len(payloads)])
    with TemporaryDirectory() as folder:
        store = Path(folder) / "store.sqlite"
        flow = Flow(store, max(samples) + 40 * DAY_MS, 30 * DAY_MS)
        flow.feed(payloads + chunks(samples, cuts, FIRST), batch)
        flow.feed([*chunks(samples, again, SECOND), *[None] * TICKS_AFTER], batch)
        flow.writer.close()
        assert differences(episodes(samples), stored(store)) == []
        with closing(open_reader(store)) as reader:
            assert reader.readings("d", 0, max(samples) + 1, 10) == []


@thorough
@given(histories(), st.data(), st.sampled_from([1, 3, 100]))
def test_live_and_imported_readings_make_episodes_together(samples, data, batch):
    """Some readings are live, some imported, some both; chunks come between the live ones."""
    of = {at: data.draw(st.sampled_from(["live", "history", "both"])) for at in samples}
    sent: list[Any] = [(at, samples[at]) for at in sorted(samples) if of[at] != "history"]
    imported = {at: samples[at] for at in samples if of[at] != "live"}
    payloads = chunks(imported, data.draw(st.lists(st.integers(0, 30), max_size=3)), FIRST) if imported else []
    place = data.draw(st.integers(0, len(sent)))
    for payload in payloads:
        sent.insert(place, payload)
        place = data.draw(st.integers(place + 1, len(sent)))
    with TemporaryDirectory() as folder:
        store = Path(folder) / "store.sqlite"
        flow = Flow(store, max(samples))
        flow.feed([*sent, *[None] * TICKS_AFTER], batch)
        flow.writer.close()
        assert differences(episodes(samples), stored(store)) == []
