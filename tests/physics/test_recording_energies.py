"""The fold over a real recording gives the energies and COPs of its sessions (issue's measure: within 0.5 %)."""

import pytest

from tests.folding import Sample, fold_range
from tests.recorded import Session, agrees, energies, energies_between, samples, sessions


@pytest.fixture(scope="module")
def history() -> list[Sample]:
    return samples()


@pytest.mark.parametrize("session", sessions(), ids=lambda session: session.name)
def test_a_session_uses_and_gives_what_its_publisher_says(session: Session, history: list[Sample]) -> None:
    electric, heat = energies_between(history, session.start, session.end)
    assert agrees(electric, session.electric_kwh)
    assert agrees(heat, session.heat_kwh)
    assert agrees(heat / electric, session.cop)


def test_the_sessions_cover_the_recording_from_its_first_to_its_last_frame_without_a_hole() -> None:
    found = sessions()
    assert len(found) == 11
    assert [session.end for session in found[:-1]] == [session.start for session in found[1:]]


def test_all_heat_is_measured_once_the_flow_was_reported(history: list[Sample]) -> None:
    first, last = sessions()[0].start, sessions()[-1].end
    minutes = fold_range(history, first, last, [])
    assert {minute.heat_source for minute in minutes} == {"measured"}
    assert all(minute.values["power_coverage"] == pytest.approx(1.0) for minute in minutes)


def test_defrosts_take_heat_out_of_the_water_and_stay_in_the_sum(history: list[Sample]) -> None:
    minutes = fold_range(history, sessions()[0].start, sessions()[-1].end, [])
    values = [minute.values for minute in minutes]
    assert sum(row.get("defrost_active_starts", 0.0) for row in values) == 3.0
    defrost = sum(row.get("heat_kwh_defrost", 0.0) for row in values)
    assert defrost < -0.2
    electric, heat = energies(values)
    assert (heat - defrost) / electric > heat / electric + 0.01


def test_a_value_that_stays_the_same_for_longer_than_it_is_held_is_lost_unless_it_is_repeated(
    history: list[Sample],
) -> None:
    standby = sessions()[1]  # power stays at 21 W for 126 minutes and is not reported
    literal, _ = energies_between(samples(repeat_ms=0), standby.start, standby.end)
    repeated, _ = energies_between(history, standby.start, standby.end)
    assert literal < 0.5 * standby.electric_kwh
    assert agrees(repeated, standby.electric_kwh)
