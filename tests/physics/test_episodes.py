"""Episodes against the oracle, which asks every piece of time afresh and shares no code."""

import csv

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.model.device import DeviceMetadata
from flows.physics.episodes import Found, Watch, advance
from tests import recorded
from tests.effort import examples
from tests.folding import Sample, table
from tests.oracle.episodes import Episode, differences, episodes
from tests.physics.test_fold_oracle import NOON, histories

quick = settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def found_in(samples, sizes=(10_000,), metadata: list[DeviceMetadata] | None = None) -> list[Found]:
    """Take samples chunk by chunk, saving and recovering the state between them."""
    todo = [Sample(*one) for one in sorted(samples.items())]
    watch, found, turn = Watch(), [], 0
    while todo:
        size = sizes[turn % len(sizes)]
        found += advance(watch, table(todo[:size]), metadata or [])
        watch = msgspec.msgpack.decode(msgspec.msgpack.encode(watch), type=Watch)
        todo, turn = todo[size:], turn + 1
    return found


def as_told(found: list[Found]) -> list[Episode]:
    """As the oracle tells them."""
    each = [one.episode for one in found]
    return [Episode(e.kind, e.start, e.end, e.begun_by, e.ended_by, e.values, e.heat_source) for e in each]


def switched(*spans, every=MINUTE, until=3 * HOUR, name="compressor_running"):
    """Samples of a flag that is on in these spans, and power. [ms from NOON]"""
    return {
        NOON + at: {name: any(start <= at < end for start, end in spans), "power": 1000.0}
        for at in range(0, until, every)
    }


@quick
@given(histories())
def test_episodes_of_any_history_are_the_oracles(samples):
    assert differences(episodes(samples), as_told(found_in(samples))) == []


@quick
@given(histories(), st.lists(st.integers(1, 6), min_size=1, max_size=4))
def test_cutting_a_history_into_chunks_changes_no_bit(samples, sizes):
    whole, cut = found_in(samples), found_in(samples, sizes)
    key = lambda one: (one.episode.kind, one.episode.start)  # noqa: E731
    assert sorted(cut, key=key) == sorted(whole, key=key)


def test_a_cycle_goes_from_the_sample_that_says_on_to_the_one_that_says_off():
    (cycle,) = as_told(found_in(switched((10 * MINUTE, 40 * MINUTE))))
    assert cycle[:5] == ("cycle", NOON + 10 * MINUTE, NOON + 40 * MINUTE, "edge", "edge")
    assert cycle.values["electric_kwh"] == pytest.approx(0.5)
    assert cycle.values["defrosts"] == 0.0


def test_a_machine_that_never_stops_is_cut_at_midnights_that_have_a_whole_day_of_it_before():
    samples = switched((10 * MINUTE, 90 * HOUR), every=10 * MINUTE, until=100 * HOUR)
    told = as_told(found_in(samples, (7, 100)))
    midnight = NOON + 12 * HOUR
    assert [(each.start, each.end, each.begun_by, each.ended_by) for each in told] == [
        (NOON + 10 * MINUTE, midnight + DAY, "edge", "midnight"),
        (midnight + DAY, midnight + 2 * DAY, "midnight", "midnight"),
        (midnight + 2 * DAY, midnight + 3 * DAY, "midnight", "midnight"),
        (midnight + 3 * DAY, NOON + 90 * HOUR, "midnight", "edge"),
    ]
    assert differences(episodes(samples), told) == []


def test_a_silence_ends_a_cycle_where_the_last_value_is_no_longer_held():
    samples = switched((0, 3 * HOUR), until=30 * MINUTE)
    last = max(samples)
    samples[last + HOUR] = {"compressor_running": True}
    gap, cycle = sorted(as_told(found_in(samples)), reverse=True)[:2]
    assert gap[:3] == ("gap", last, last + HOUR)
    assert cycle[:5] == ("cycle", NOON, last + 15 * MINUTE, "gap", "gap")


def test_a_machine_without_a_compressor_flag_runs_while_it_takes_power():
    samples = {NOON + at * MINUTE: {"power": 800.0 if 5 <= at < 25 else 20.0} for at in range(40)}
    (cycle,) = as_told(found_in(samples))
    assert cycle[:3] == ("cycle", NOON + 5 * MINUTE, NOON + 25 * MINUTE)


def test_the_recorded_defrosts_and_hot_water_run_are_those_their_publisher_counted():
    told = as_told(found_in({sample.at: sample.values for sample in recorded.samples()}))
    with recorded.RECORDING.with_name("expected_sessions.csv").open() as file:
        counted = [int(row["pub_defrosts"]) for row in csv.DictReader(file)]
    sessions = recorded.sessions()
    defrosts = [each for each in told if each.kind == "defrost"]
    for session, count in zip(sessions, counted, strict=True):
        assert sum(session.start <= each.start < session.end for each in defrosts) == count
    assert all(3 <= (each.end - each.start) / MINUTE <= 9 for each in defrosts)
    (session,) = [each for each in sessions if each.name.startswith("DHW")]
    (run,) = [each for each in told if each.kind == "dhw_run" and each.end == session.end]
    assert run.values["electric_kwh"] == pytest.approx(session.electric_kwh, rel=recorded.TOLERANCE)
    assert run.values["heat_kwh"] == pytest.approx(session.heat_kwh, rel=recorded.TOLERANCE)
