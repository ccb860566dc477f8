"""Rollups heal: whatever order readings arrive in, once nothing is dirty the stored rows are the oracle's.

The rollup node hands its rows to a real store, batch by batch, and is saved and recovered between batches.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.model.cells import cells_of
from flows.model.frame import Tick
from flows.model.reading import ORDER_STEP, Reading
from flows.model.rollup import RollupRow
from flows.nodes.rollup import NODE
from flows.physics.derive import DERIVED
from flows.store import open_reader
from tests.effort import examples
from tests.feeding import fed
from tests.oracle.rollups import LENGTH, differences, rows
from tests.physics.test_fold_oracle import histories, payload_fields

Sent = tuple[int, dict[str, Any]]
TICKS_AFTER = 40


@st.composite
def arrivals(draw) -> list[Sent | None]:
    """Readings (event time, values) in order of arrival and ticks (None): late, doubled, amended."""
    history = sorted(draw(histories(most=25)).items())
    delays = draw(st.lists(st.sampled_from([0, 0, 0, 0, 1, 3, 30]), min_size=len(history), max_size=len(history)))
    sent: list[tuple[float, Sent | None]] = [
        (place + delay, reading) for place, (reading, delay) in enumerate(zip(history, delays, strict=True))
    ]
    for place, (at, values) in enumerate(history):
        again = draw(st.sampled_from([None, None, None, "doubled", "amended"]))
        if again:
            later = place + draw(st.integers(0, 5)) + 0.5
            sent.append((later, (at, values if again == "doubled" else draw(payload_fields))))
    sent += [(place - 0.1, None) for place in draw(st.lists(st.integers(0, 40), max_size=6))]
    return [item for _, item in sorted(sent, key=lambda entry: entry[0])]


def items_of(sent: list[Sent | None]) -> Iterator[Any]:
    """As the journal would number them, then ticks enough to refold even a flood."""
    for seq, one in enumerate([*sent, *[None] * TICKS_AFTER], 1):
        if one is None:
            yield Tick(seq, seq, 0)
        else:
            yield Reading("d", seq * ORDER_STEP, 0, cells_of(one[1]), at=one[0])


def run(items: list[Any], batch: int, store: Path) -> int:
    """Feed node and store; return what is still dirty."""
    return fed(NODE, items, batch, store, minutes_a_tick=60)


def sent_only(row: RollupRow) -> RollupRow:
    """Leave out what the store derives where it merges readings: nothing is derived from those sent here."""
    values = {name: value for name, value in row.values.items() if name.rpartition("_")[0] not in DERIVED}
    return msgspec.structs.replace(row, values=values)


@settings(max_examples=examples(50), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(arrivals(), st.sampled_from([1, 2, 7, 1000]))
def test_any_order_of_arrival_gives_the_oracles_rows(sent, batch):
    samples: dict[int, dict] = {}
    for one in sent:
        if one is not None:
            samples.setdefault(one[0], {}).update(one[1])
    last = max(samples)
    expected = rows(samples)
    with TemporaryDirectory() as folder:
        store = Path(folder) / "store.sqlite"
        assert run(list(items_of(sent)), batch, store) == 0
        reader = open_reader(store)
        for resolution in LENGTH:
            wanted = {start: row for (of, start), row in expected.items() if of == resolution}
            found = [sent_only(row) for row in reader.rollups("d", resolution, 0, last + 1, 100_000)]
            assert [row.start for row in found] == sorted(wanted)
            for row in found:
                assert differences(wanted[row.start], row.count, row.values, row.heat_source) == []
        reader.close()
