"""fold against the oracle (tests/oracle), which is written from docs/reference/rollups.md and shares no code."""

import ast
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from flows.model.device import DeviceMetadata
from flows.model.quantities import MODES
from flows.model.rollup import BUCKET_MS, HOLD_MS, RollupRow
from flows.physics import compose as composing
from flows.physics.fold import Fold, latest, put_late, take
from flows.physics.minutes import Minute
from tests import oracle
from tests.effort import examples
from tests.folding import Sample, close, compose, fold_range, table_of_rows
from tests.oracle.rollups import LENGTH, Row, Site, differences, rows

NOON = 1_770_033_600_000  # 2026-02-02T12:00Z

quick = settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])

temperatures = st.one_of(
    st.floats(-20, 70).map(lambda celsius: round(celsius, 1)), st.sampled_from([15.0, 30.0, 30.8])
)
payload_fields = st.fixed_dictionaries(
    {},
    optional={
        "temp_inlet": temperatures,
        "temp_outlet": temperatures,
        "temp_ambient": temperatures,
        "power": st.sampled_from([-40.0, 0.0, 149.9, 150.0, 1234.5, 9000.0]),
        "flow_rate": st.sampled_from([0.0, 12.3, 31.7]),
        "voltage": st.floats(180, 260),
        "heat_energy": st.one_of(st.floats(0, 5), st.sampled_from([0.0, 0.25, 1.5, 900.0])),
        "electric_energy": st.one_of(st.floats(0, 5), st.sampled_from([0.0, 0.25, 1.5, 900.0])),
        "compressor_running": st.booleans(),
        "defrost_active": st.sampled_from([False, False, False, True]),
        "dhw_active": st.sampled_from([False, False, False, True]),
        "fan_running": st.booleans(),
    },
).filter(bool)
gaps = st.one_of(
    st.integers(1, 70_000),
    st.sampled_from([1, 10_000, 60_000, HOLD_MS - 1, HOLD_MS, HOLD_MS + 1, 1_500_000, 7_200_000]),
)


@st.composite
def histories(draw, most=30):
    """Samples of one device: any fields, any gaps, across minutes, hours and now and then midnight."""
    at = NOON + draw(st.sampled_from([0, 1, 59_999, 11 * 3_600_000 + 3_400_000])) + draw(st.integers(0, 60_000))
    samples = {}
    for values in draw(st.lists(payload_fields, min_size=1, max_size=most)):
        samples[at] = values
        at += draw(gaps)
    return samples


sites = st.lists(
    st.builds(
        Site,
        valid_from=st.integers(NOON, NOON + 5_000_000),
        glycol=st.sampled_from([0.0, 7.5, 20.0, 30.0]),
        eta=st.sampled_from([0.35, 0.5]),
    ),
    max_size=2,
    unique_by=lambda site: site.valid_from,
).map(lambda found: tuple(sorted(found)))


def metadata_of(sites: tuple[Site, ...]) -> list[DeviceMetadata]:
    return [
        DeviceMetadata(valid_from=site.valid_from, glycol_percent=site.glycol, carnot_fraction=site.eta)
        for site in sites
    ]


def whole(samples: dict, sites: tuple[Site, ...] = ()) -> list[Minute]:
    first, last = min(samples), max(samples)
    ordered = [Sample(at, samples[at]) for at in sorted(samples)]
    return fold_range(ordered, first - first % 60_000, last + 1, metadata_of(sites))


def row_of(minute: Minute) -> RollupRow:
    return RollupRow("d", "1m", minute.start, 0, minute.count, minute.values, minute.heat_source)


def composed(finer: list[RollupRow], resolution: str, last: int) -> list[RollupRow]:
    """Compose all closed buckets of a resolution."""
    length = BUCKET_MS[resolution]
    buckets: dict[int, list[RollupRow]] = {}
    for row in finer:
        buckets.setdefault(row.start - row.start % length, []).append(row)
    return [compose(rows, resolution, start, 0) for start, rows in buckets.items() if start + length <= last]


def assert_equal(expected: dict[tuple[str, int], Row], resolution: str, found: list[RollupRow]) -> None:
    wanted = {start: row for (of, start), row in expected.items() if of == resolution}
    assert sorted(row.start for row in found) == sorted(wanted)
    for row in found:
        assert differences(wanted[row.start], row.count, row.values, row.heat_source) == []


@quick
@given(histories(), sites)
def test_minutes_hours_and_days_are_the_oracles(samples, sites):
    expected, last = rows(samples, sites), max(samples)
    minutes = [row_of(minute) for minute in whole(samples, sites)]
    hours = composed(minutes, "1h", last)
    assert_equal(expected, "1m", minutes)
    assert_equal(expected, "1h", hours)
    assert_equal(expected, "1d", composed(hours, "1d", last))


@quick
@given(histories(), st.lists(st.integers(0, 30), max_size=6), st.lists(st.booleans(), min_size=30, max_size=30))
def test_a_stream_saved_recovered_and_closed_anywhere_gives_the_batch_bit_for_bit(samples, saves, closes):
    fold, minutes = Fold(), []
    for index, at in enumerate(sorted(samples)):
        if index in saves:
            fold = msgspec.msgpack.decode(msgspec.msgpack.encode(fold), type=Fold)
        take(fold, at, samples[at])
        if closes[index]:
            minutes += close([fold], [[]])[0]
    assert minutes + close([fold], [[]])[0] == whole(samples)


@quick
@given(st.lists(st.tuples(histories(most=8), sites), min_size=1, max_size=5))
def test_devices_folded_together_give_each_what_it_gives_alone_bit_for_bit(fleet):
    folds = [Fold() for _ in fleet]
    for fold, (samples, _) in zip(folds, fleet, strict=True):
        for at in sorted(samples):
            take(fold, at, samples[at])
    together = close(folds, [metadata_of(sites) for _, sites in fleet])
    assert together == [whole(samples, sites) for samples, sites in fleet]


@quick
@given(histories(most=12), st.data())
def test_a_late_sample_among_the_open_ones_is_held_as_if_it_had_come_in_time(samples, data):
    times = sorted(samples)
    assume(len(times) > 1)
    late = data.draw(st.sampled_from(times[:-1]))
    fold, ordered = Fold(), Fold()
    for at in times:
        take(ordered, at, samples[at])
        if at != late:
            take(fold, at, samples[at])
    put_late(fold, late, samples[late])
    assert latest(fold) == latest(ordered)


def test_a_values_newest_sample_is_found_however_many_came_since_without_it():
    fold, newest = Fold(), {}
    every = {"power": 1, "voltage": 5, "temp_inlet": 90, "fan_running": 400, "temp_ambient": 5_000}
    for number in range(3_000):
        sent = {name: number % 7 > 2 if name == "fan_running" else float(number) for name in every}
        values = {name: value for name, value in sent.items() if number % every[name] == 0}
        take(fold, NOON + number * 1_000, values)
        newest |= {name: (NOON + number * 1_000, value) for name, value in values.items()}
        if number in (10, 61, 2_000):
            assert latest(fold) == newest
        if number == 60:
            close([fold], [[]])
    assert latest(fold) == newest
    assert isinstance(latest(fold)["fan_running"][1], bool)


@quick
@given(histories(), st.data())
def test_any_range_folded_alone_gives_its_minutes_bit_for_bit(samples, data):
    minutes = whole(samples)
    first, last = min(samples) // 60_000, max(samples) // 60_000
    start = data.draw(st.integers(first - 1, last)) * 60_000
    end = data.draw(st.integers(start // 60_000 + 1, last + 1)) * 60_000
    times = sorted(samples)
    until = next((at for at in times if at >= end), times[-1])
    needed = [Sample(at, samples[at]) for at in times if start - HOLD_MS <= at <= until]
    assert fold_range(needed, start, end, []) == [m for m in minutes if start <= m.start < end]


@quick
@given(histories(most=20))
def test_buckets_composed_together_are_those_composed_alone_bit_for_bit(samples):
    minutes = [row_of(minute) for minute in whole(samples)]
    if minutes:
        hour = BUCKET_MS["1h"]
        finer = table_of_rows(minutes)
        together = composing.compose(finer, finer.start // hour * hour, 1 / 60)
        assert composing.rows_of(together, "d", "1h", 0) == composed(minutes, "1h", minutes[-1].start + 2 * hour)


@pytest.mark.slow
def test_the_generated_histories_meet_every_mode_and_every_source_of_heat():
    """The comparison above says something only about what it meets."""
    met: set[str] = set()

    @settings(quick, database=None, derandomize=True, max_examples=300)
    @given(histories())
    def collect(samples):
        for row in rows(samples).values():
            met.add(row.heat_source)
            met.update(row.columns)

    collect()
    assert {f"seconds_{mode}" for mode in MODES} <= met
    assert {"counter", "measured", "estimated", "carnot_ideal_kwh", "heat_kwh_defrost"} <= met


def test_the_oracle_knows_the_same_resolutions():
    assert LENGTH == BUCKET_MS


@pytest.mark.parametrize("path", sorted(Path(oracle.__file__).parent.glob("*.py")), ids=lambda path: path.stem)
def test_the_oracle_imports_nothing_but_the_standard_library_and_itself(path):
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
    roots = {name.partition(".")[0] for name in imported if not name.startswith("tests.oracle")}
    assert roots <= sys.stdlib_module_names
