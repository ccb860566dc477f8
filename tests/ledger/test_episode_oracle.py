"""Episodes heal: whatever order readings arrive in, once nothing is dirty the stored ones are the oracle's.

The episode node hands its rows to a real store, batch by batch, and is saved and recovered between batches.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.model.episode import KINDS
from flows.model.rollup import HOLD_MS
from flows.nodes.episode import NODE
from flows.store import open_reader
from flows.store.dump import dump
from tests.effort import examples
from tests.feeding import fed
from tests.ledger.test_healing_oracle import Sent, arrivals, items_of
from tests.oracle.episodes import Episode, differences, episodes
from tests.physics.test_fold_oracle import NOON

END = 1 << 42


flags = st.fixed_dictionaries(
    {},
    optional={name: st.booleans() for name in ("compressor_running", "dhw_active", "fan_running")}
    | {
        "power": st.sampled_from([0.0, 500.0]),
    },
).filter(bool)


@st.composite
def flag_arrivals(draw) -> list[Sent | None]:
    """Few quantities, each in few readings, about as far apart as values are held; many of them late."""
    apart = st.sampled_from([60_000, 300_000, 600_000, HOLD_MS - 1, HOLD_MS, HOLD_MS + 1, 40_000_000])
    sent: list[tuple[float, Sent | None]] = []
    at = NOON
    for place, values in enumerate(draw(st.lists(flags, min_size=2, max_size=20))):
        sent.append((place + draw(st.sampled_from([0, 0, 1.5, 3.5, 30])), (at, values)))
        if draw(st.booleans()):
            sent.append((place + 0.25, None))
        at += draw(apart)
    return [item for _, item in sorted(sent, key=lambda entry: entry[0])]


def run(items: list[Any], batch: int, store: Path) -> None:
    """Feed node and store, until nothing is dirty."""
    assert fed(NODE, items, batch, store, spans_a_tick=3) == 0


def stored(store: Path) -> list[Episode]:
    """What the store has, as the oracle tells it."""
    reader = open_reader(store)
    found = reader.episodes("d", KINDS, 0, END, 10_000)
    reader.close()
    return [Episode(e.kind, e.start, e.end, e.begun_by, e.ended_by, e.values, e.heat_source) for e in found]


def samples_of(sent) -> dict[int, dict[str, Any]]:
    """Raw rows: the later arrival wins, field by field."""
    samples: dict[int, dict[str, Any]] = {}
    for at, values in filter(None, sent):
        samples[at] = samples.get(at, {}) | values
    return samples


@pytest.mark.slow
@settings(max_examples=examples(400), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(arrivals(), flag_arrivals()), st.sampled_from([1, 2, 7, 1000]))
def test_any_order_of_arrival_gives_the_oracles_episodes(sent, batch):
    items = list(items_of(sent))
    with TemporaryDirectory() as folder:
        store = Path(folder) / "store.db"
        run(items, batch, store)
        assert differences(episodes(samples_of(sent)), stored(store)) == []


@pytest.mark.slow
@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(arrivals(), flag_arrivals()), st.integers(1, 20))
def test_batches_change_no_bit_of_the_stored_episodes(sent, batch):
    items = list(items_of(sent))
    with TemporaryDirectory() as folder:
        stores = Path(folder) / "one.db", Path(folder) / "other.db"
        run(items, 1000, stores[0])
        run(items, batch, stores[1])
        lines = [[line for line in dump(store) if line.startswith("episode")] for store in stores]
        assert lines[0] == lines[1]
