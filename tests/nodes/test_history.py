"""history: imported readings, straight to rollups; raw only within retention. The oracle: tests/history."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.history.client import chunk_from
from flows.model.device import DeviceMetadata, Forgotten, MetadataChanged
from flows.model.frame import Start
from flows.model.history import History, Imported, payload_of
from flows.model.reading import Reading
from flows.model.rollup import Compose, Refold, RollupBlock
from flows.model.rows import LatestRow, RawRow
from flows.model.table import Table, table_of
from flows.model.times import DAY_MS
from flows.nodes.history import NODE
from flows.nodes.validate import SENTINELS, Params, all_spans, check
from flows.physics.derive import PHASES, derived_values
from flows.physics.history import checked, completed
from tests.effort import examples

from .conftest import NOW

ID, OTHER = "a" * 32, "b" * 32
MINUTE = 60_000
HOUR = 60 * MINUTE


def chunk(number: int, at: list[int], import_id: str = ID, seq: int = 0, **values: Any) -> History:
    """A journaled chunk; values: by quantity, the same for each reading or one for each."""
    columns = [np.broadcast_to(np.array(value, dtype=np.float64), len(at)) for value in values.values()]
    table = Table(np.array(at, np.int64), tuple(values), np.array(columns).T.reshape(len(at), len(values)))
    return History(
        seq or number + 2, NOW, "site1", payload_of(chunk_from(import_id, "site1", number, "test", table))
    )


def end(number: int, import_id: str = ID) -> History:
    return History(number + 2, NOW, "site1", payload_of(chunk_from(import_id, "site1", number, "test")))


def of_kind(items: list[Any], kind: type) -> list[Any]:
    return [item for item in items if isinstance(item, kind)]


def every(start: int, step: int, count: int) -> list[int]:
    return [start + number * step for number in range(count)]


def test_old_history_becomes_hours_and_no_raw_row_or_minute(run_node):
    at = every(NOW // HOUR * HOUR - 400 * DAY_MS, 5 * MINUTE, 30)
    out = run_node(NODE, [chunk(0, at, power=1200.0), end(1)])
    blocks = of_kind(out.rows, RollupBlock)
    assert {block.resolution for block in blocks} == {"1h"}
    starts = [start for block in blocks for start in np.frombuffer(block.start, np.int64).tolist()]
    assert starts == every(at[0], HOUR, 3), "the hour that the history ends in, too"
    assert not of_kind(out.rows, RawRow)
    standing = out.logic.standing("site1", ID)
    assert (standing.next, standing.ended, standing.read, standing.taken) == (2, True, 30, 30)
    assert standing.kwh == {"2024-12": (pytest.approx(1.2 * 145 / 60, rel=0.01), 0.0)}


def test_history_within_retention_keeps_its_raw_rows_and_minutes(run_node):
    at = every(NOW // HOUR * HOUR - 2 * DAY_MS, MINUTE, 10)
    out = run_node(NODE, [chunk(0, at, power=1200.0, phase1_power=3.0), end(1)])
    raw = of_kind(out.rows, RawRow)
    assert [row.at for row in raw] == at
    assert len({row.order for row in raw}) == len(at)
    assert out.counts["received"] == len(at), "the conservation sum counts them"
    (block,) = of_kind(out.rows, RollupBlock)
    assert (block.resolution, len(block.start) // 8) == ("1m", 9)
    assert of_kind(out.rows, LatestRow)[0].values["power"] == (at[-1], 1200.0)


def test_a_chunk_again_or_ahead_of_its_turn_changes_nothing(run_node):
    at = every(NOW - DAY_MS, MINUTE, 4)
    first, second = chunk(0, at[:2], power=1.0), chunk(1, at[2:], power=2.0)
    once = run_node(NODE, [first, second])
    again = run_node(NODE, [first, chunk(5, at[2:], seq=9, power=7.0), first, second, first], restart_every=1)
    assert again.rows == once.rows
    assert again.counts["repeated"] == 1  # of the last run: counters begin anew with a restart
    assert again.logic.standing("site1", ID).next == 2


def test_bad_values_are_left_out_and_counted_and_an_empty_reading_refused(run_node):
    at = every(NOW - DAY_MS, MINUTE, 3)
    out = run_node(
        NODE, [chunk(0, [*at, NOW + DAY_MS], power=[1.0, 99_999.0, -127.0, 2.0], temp_inlet=[1, 2, 412, 4])]
    )
    standing = out.logic.standing("site1", ID)
    assert standing.removed == {"power: out of range": 1, "power: sentinel": 1, "temp_inlet: out of range": 1}
    assert standing.refused == {"no value that could be kept": 2}
    assert (standing.read, standing.taken, standing.at) == (4, 2, at[2])


def test_beside_live_readings_the_store_folds_from_raw_rows_and_the_stream_is_told(run_node, a_reading):
    at = every(NOW - HOUR, MINUTE, 5)
    live = a_reading(at=NOW - HOUR + 90_000, power=3.0)
    out = run_node(NODE, [live, chunk(0, at, power=1.0)])
    assert not of_kind(out.rows, RollupBlock)
    (refold,) = of_kind(out.rows, Refold)
    assert refold.start <= at[0] - 15 * MINUTE and refold.end > at[-1] + 15 * MINUTE
    assert refold.frontier == at[-1]
    assert of_kind(out.items, Imported) == [Imported("site1", at[-1])]
    assert of_kind(out.items, Reading) == [live]


def test_two_imports_of_an_old_span_leave_its_hours_to_the_count(run_node):
    at = every(NOW // DAY_MS * DAY_MS - 60 * DAY_MS, 10 * MINUTE, 20)
    out = run_node(NODE, [chunk(0, at, power=1.0), chunk(0, at, OTHER, seq=9, power=2.0)])
    later = [item for item in out.rows if item.order >= 9 * 8192]
    assert [block.resolution for block in of_kind(later, RollupBlock)] == ["1m"]
    assert [request.start for request in of_kind(later, Compose)] == every(at[0], HOUR, 3)


def test_metadata_hold_for_what_is_computed_after_and_raw_rows_are_computed_anew(run_node):
    at = every(NOW - DAY_MS, MINUTE, 4)
    glycol = [DeviceMetadata(glycol_percent=30.0)]
    readings = {"flow_rate": 12.0, "temp_outlet": 40.0, "temp_inlet": 35.0}
    out = run_node(NODE, [MetadataChanged("site1", 1, glycol, 0), chunk(0, at, **readings)])
    heat = of_kind(out.rows, RawRow)[0].values["heat_power"]
    assert heat == pytest.approx(12 / 60 * 3900 * 5)
    later = run_node(NODE, [chunk(0, at, **readings), MetadataChanged("site1", 99, glycol, 0)])
    (refold,) = of_kind(later.rows, Refold)
    assert refold.start <= at[0] < refold.end


def test_a_forgotten_device_begins_anew(run_node):
    first = chunk(0, every(NOW - DAY_MS, MINUTE, 4), power=1.0)
    out = run_node(NODE, [first, Forgotten("site1", 99 * 8192)])
    assert out.logic.standing("site1", ID).next == 0
    assert out.logic.sizes() == {"devices": 0}


def test_retention_comes_with_the_start_frame(run_node):
    at = every(NOW - 5 * DAY_MS, MINUTE, 4)
    start = Start(1, NOW, raw_retention_ms=2 * DAY_MS, minute_retention_ms=3 * DAY_MS)
    out = run_node(NODE, [start, chunk(0, at, power=1.0)], restart_every=1)
    assert out.rows == []


values = st.one_of(
    st.floats(allow_nan=False),
    st.sampled_from([0.0, 1.0, -127.0, 85.0, 32767.0, 65535.0, -40.0, 125.0, 700.0, 1e9]),
)
names = st.sampled_from(["temp_inlet", "power", "voltage", "heat_energy", "defrost_active", "phase1_pf"])


@settings(max_examples=examples(200), deadline=None)
@given(st.dictionaries(names, values, min_size=1))
def test_the_check_is_that_of_live_readings(sent):
    spans, removed = all_spans(Params()), Counter[str]()
    live = check(Reading("site1", 1, NOW, sent=dict(sent)), spans, removed)
    table, left_out = checked(table_of([NOW], [sent], tuple(sent)), spans, NOW, SENTINELS)
    kept = {
        name: value for name, value in zip(table.names, table.values[0].tolist(), strict=True) if value == value
    }
    assert kept == (dict(live.values) if isinstance(live, Reading) else {})
    by_reason = Counter[str]()
    for reason, count in left_out.items():
        by_reason[reason.partition(": ")[2]] += count
    assert by_reason == removed


phases = st.dictionaries(
    st.sampled_from(
        [f"phase{n}_{part}" for n in (1, 2, 3) for part in ("power", "energy")]
        + ["power", "electric_energy", "temp_inlet", "temp_outlet", "flow_rate"]
    ),
    st.integers(1, 5000).map(lambda n: n / 10),
)


def phase_sums(values: dict[str, float]) -> dict[str, float]:
    """Power of the phases that there are, and the counter of all three, each where it was not sent."""
    sums: dict[str, float] = {}
    powers = [values[name] for name in (f"{phase}_power" for phase in PHASES) if name in values]
    if powers and "power" not in values:
        sums["power"] = sum(powers)
    counters = [values[name] for name in (f"{phase}_energy" for phase in PHASES) if name in values]
    if len(counters) == len(PHASES) and "electric_energy" not in values:
        sums["electric_energy"] = sum(counters)
    return sums


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(phases, min_size=1, max_size=5))
def test_sums_and_derived_values_are_those_of_live_readings(rows):
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    full, sums = completed(table_of([NOW + n for n in range(len(rows))], rows, columns), [])
    for place, row in enumerate(rows):
        expected = {**row, **phase_sums(dict(row))}
        expected |= derived_values(expected, DeviceMetadata())
        found = dict(zip(full.names, full.values[place].tolist(), strict=True))
        assert {name: value for name, value in found.items() if value == value} == expected
        assert {name for name, mask in sums.items() if mask[place]} == set(phase_sums(dict(row)))
