"""An import gives the oracle's rows: however it was cut, interrupted and repeated, beside live readings too.

The nodes history, derive, rollup and episode hand their rows to a real store, batch by batch, and are saved and
recovered between batches.
"""

from contextlib import closing
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.history.client import chunk_from
from flows.model.cells import cells_of
from flows.model.frame import Start, Tick
from flows.model.history import History, payload_of
from flows.model.reading import ORDER_STEP, Reading
from flows.model.rows import DeviceRow
from flows.model.table import Table
from flows.model.times import DAY_MS
from flows.nodes import derive, episode, history, rollup
from flows.store import open_reader, open_writer
from tests.effort import examples
from tests.oracle.readings import Samples, derived
from tests.oracle.rollups import LENGTH, differences, rows

pytestmark = pytest.mark.slow

NOON = 1_770_033_600_000  # 2026-02-02T12:00Z
FOREVER = 36_500 * DAY_MS
FIRST, SECOND = "a" * 32, "b" * 32
NODES = (history.NODE, derive.NODE, rollup.NODE, episode.NODE)
TICKS_AFTER = 60

fields = st.fixed_dictionaries(
    {},
    optional={
        "temp_inlet": st.integers(200, 400).map(lambda tenths: tenths / 10),
        "temp_outlet": st.integers(250, 500).map(lambda tenths: tenths / 10),
        "temp_ambient": st.sampled_from([-5.0, 7.5, 20.0]),
        "power": st.sampled_from([0.0, 149.9, 1234.5]),
        "flow_rate": st.sampled_from([0.0, 12.3]),
        "electric_energy": st.sampled_from([0.0, 0.25, 0.5, 900.0]),
        "compressor_running": st.booleans(),
        "defrost_active": st.booleans(),
    },
).filter(bool)
gaps = st.one_of(
    st.integers(1, 70_000), st.sampled_from([60_000, 300_000, 900_000, 900_001, 7_200_000, DAY_MS - 1])
)


@st.composite
def histories(draw, most: int = 25) -> Samples:
    at = NOON + draw(st.integers(0, 60_000))
    samples: Samples = {}
    for values in draw(st.lists(fields, min_size=1, max_size=most)):
        samples[at] = values
        at += draw(gaps)
    return samples


def table_of(samples: Samples) -> Table:
    names = tuple(dict.fromkeys(name for values in samples.values() for name in values))
    table = [[float(values.get(name, np.nan)) for name in names] for values in samples.values()]
    return Table(np.array([*samples], np.int64), names, np.array(table).reshape(len(samples), len(names)))


def chunks(samples: Samples, cuts: list[int], import_id: str) -> list[bytes]:
    """Payloads of an import that is cut before these readings, and its end."""
    times = sorted(samples)
    bounds = sorted({0, len(times), *(cut % len(times) for cut in cuts)})
    parts = [table_of({at: samples[at] for at in times[a:b]}) for a, b in pairwise(bounds)]
    made = [chunk_from(import_id, "d", number, "test", part) for number, part in enumerate(parts)]
    return [payload_of(chunk) for chunk in [*made, chunk_from(import_id, "d", len(made), "test")]]


class Flow:
    """The nodes on a store, saved and recovered after each batch; `at`: arrival of everything."""

    def __init__(self, store: Path, at: int, raw: int = FOREVER, minutes: int = FOREVER) -> None:
        self.writer, self.at, self.seq = open_writer(store), at, 0
        self.saved: list[Any] = [None] * len(NODES)
        self.writer.apply([DeviceRow("d", 1)])
        self.run([Start(1, at, raw_retention_ms=raw, minute_retention_ms=minutes)])

    def item(self, one: Any) -> Any:
        """What the journal would make of a payload (bytes), a live reading (time, values) or a tick (None)."""
        self.seq += 1
        if one is None:
            return Tick(self.seq, self.seq, self.at)
        if isinstance(one, bytes):
            return History(self.seq, self.at, "d", one)
        return Reading("d", self.seq * ORDER_STEP, self.at, cells_of(one[1]), at=one[0])

    def run(self, items: list[Any]) -> None:
        stored: list[Any] = []
        for place, node in enumerate(NODES):
            out: dict[str, list[Any]] = {port: [] for port in node.out}
            logic = node.recover(node.Params(), self.saved[place])
            logic.on_items(items, out)
            self.saved[place] = logic.snapshot()
            stored += out["rows"]
            items = out["items"]
        self.writer.apply(stored)

    def feed(self, what: list[Any], batch: int) -> None:
        for first in range(0, len(what), batch):
            self.run([self.item(one) for one in what[first : first + batch]])


def completed(samples: Samples) -> Samples:
    return {at: {**values, **derived(values)} for at, values in samples.items()}


def wrong(reader: Any, expected: dict[tuple[str, int], Any], since: dict[str, int], newest: int) -> list[str]:
    """Say where the store is not what the oracle says, of closed buckets that start at `since` or later."""
    found = []
    for resolution, length in LENGTH.items():
        wanted = {start for of, start in expected if of == resolution and start >= since.get(resolution, 0)}
        stored = [
            row for row in reader.rollups("d", resolution, 0, newest, 100_000) if row.start + length <= newest
        ]
        there = {row.start for row in stored}
        found += [f"{resolution} {start} is missing" for start in sorted(wanted - there)]
        found += [f"{resolution} {start} is too much" for start in sorted(there - wanted)]
        for row in stored:
            if row.start in wanted:
                says = differences(expected[resolution, row.start], row.count, row.values, row.heat_source)
                found += [f"{resolution} {row.start}: {each}" for each in says]
    return found


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    histories(),
    st.lists(st.integers(0, 30), max_size=6),
    st.lists(st.integers(0, 30), max_size=4),
    st.sampled_from([1, 2, 5, 100]),
    st.sampled_from([0.0, 0.3, 0.7, 1.1]),
)
def test_any_cutting_any_repetition_and_any_retention_give_the_oracles_rows(samples, cuts, again, batch, kept):
    newest, expected = max(samples), rows(completed(samples))
    now = newest + 3 * 3_600_000
    raw = int((now - NOON) * kept)
    payloads = chunks(samples, cuts, FIRST)
    for place in again:  # an interrupted client sends some again
        payloads.insert(min(place + 1, len(payloads)), payloads[place % len(payloads)])
    with TemporaryDirectory() as folder:
        flow = Flow(Path(folder) / "store.sqlite", now, raw, raw + DAY_MS)
        flow.feed(payloads + chunks(samples, cuts, FIRST), batch)
        flow.feed(chunks(samples, again, SECOND) + [None] * TICKS_AFTER, batch)
        flow.writer.close()
        minutes = -(-(now - raw - DAY_MS) // DAY_MS) * DAY_MS
        with closing(open_reader(Path(folder) / "store.sqlite")) as reader:
            assert wrong(reader, expected, {"1m": minutes}, newest) == []
            stored = reader.readings("d", 0, newest + 1, 1000, newest_first=False)
    assert [row.at for row in stored] == [at for at in sorted(samples) if at >= now - raw]


def wrong_within_retention(samples: Any, sent: list[Any], batch: int) -> Any:
    """Have a flow take what was sent, and compare its store with what all samples together give."""
    newest = max(samples)
    with TemporaryDirectory() as folder:
        flow = Flow(Path(folder) / "store.sqlite", newest)
        flow.feed(sent + [None] * TICKS_AFTER, batch)
        flow.writer.close()
        with closing(open_reader(Path(folder) / "store.sqlite")) as reader:
            return wrong(reader, rows(completed(samples)), {}, newest)


@settings(max_examples=examples(80), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories(), st.data(), st.sampled_from([1, 3, 100]))
def test_live_and_imported_readings_merge_within_retention(samples, data, batch):
    """Some readings are live, some imported, some both; chunks come between the live ones."""
    of = {at: data.draw(st.sampled_from(["live", "history", "both"])) for at in samples}
    live = [(at, samples[at]) for at in sorted(samples) if of[at] != "history"]
    imported = {at: samples[at] for at in samples if of[at] != "live"}
    sent: list[Any] = list(live)
    payloads = chunks(imported, data.draw(st.lists(st.integers(0, 30), max_size=3)), FIRST) if imported else []
    place = data.draw(st.integers(0, len(sent)))
    for payload in payloads:
        sent.insert(place, payload)
        place = data.draw(st.integers(place + 1, len(sent)))
    for tick in data.draw(st.lists(st.integers(0, 40), max_size=4)):
        sent.insert(min(tick, len(sent)), None)
    assert wrong_within_retention(samples, sent, batch) == []


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories(), st.data(), st.sampled_from([1, 3, 100]))
def test_two_imports_merge_within_retention_whichever_ends_first(samples, data, batch):
    """Without live readings: the one that comes later may end in an hour and a day that the other has closed."""
    split = data.draw(st.sampled_from(sorted(samples)))
    of = {at: data.draw(st.sampled_from(["first", "second", "both"])) for at in samples}
    one = {at: samples[at] for at in samples if of[at] != "second" or at > split}
    other = {at: samples[at] for at in samples if of[at] != "first" and at <= split}
    sent: list[Any] = chunks(one, data.draw(st.lists(st.integers(0, 30), max_size=3)), FIRST) if one else []
    sent += chunks(other, data.draw(st.lists(st.integers(0, 30), max_size=3)), SECOND) if other else []
    assert wrong_within_retention(samples, sent, batch) == []
