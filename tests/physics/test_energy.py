"""What a heat pump is doing, and what a counter says."""

import numpy as np
import pytest

from flows.model.quantities import MODES
from flows.physics.energy import counter_differences, operating_modes

HOUR_MS = 3_600_000


def mode(defrost=None, dhw=None, compressor=None, power=None, delta_t=None, ambient=None) -> str:
    given = (defrost, dhw, compressor, power, delta_t, ambient)
    (found,) = operating_modes(*(np.array([np.nan if value is None else value]) for value in given))
    return MODES[found]


def counter_difference(before: float, after: float, span_ms: int, may_fall: bool) -> float | None:
    (found,) = counter_differences(np.array([before]), np.array([after]), np.array([span_ms]), may_fall)
    return None if np.isnan(found) else found


def test_defrost_goes_before_hot_water_and_hot_water_before_what_the_compressor_does() -> None:
    assert mode(defrost=True, dhw=True, compressor=True) == "defrost"
    assert mode(defrost=False, dhw=True, compressor=False) == "dhw"


def test_a_compressor_that_stands_is_standby_whatever_the_power() -> None:
    assert mode(compressor=False, power=900.0) == "standby"


@pytest.mark.parametrize(("power", "expected"), [(149.9, "standby"), (150.0, "space")])
def test_without_a_compressor_flag_power_decides(power: float, expected: str) -> None:
    assert mode(power=power) == expected


def test_without_flag_and_power_the_mode_is_unknown() -> None:
    assert mode(delta_t=5.0, ambient=3.0) == "unknown"


def test_taking_heat_from_the_water_on_a_warm_day_is_cooling_and_on_a_cold_one_a_defrosts_end() -> None:
    assert mode(compressor=True, delta_t=-4.0, ambient=28.0) == "cooling"
    assert mode(compressor=True, delta_t=-4.0, ambient=2.0) == "space"
    assert mode(compressor=True, delta_t=-4.0) == "space"
    assert mode(compressor=True, delta_t=-0.5, ambient=28.0) == "space"


def test_a_counter_that_rises_gives_its_difference() -> None:
    assert counter_difference(100.0, 103.5, HOUR_MS, may_fall=False) == pytest.approx(3.5)
    assert counter_difference(100.0, 100.0, HOUR_MS, may_fall=False) == 0.0


def test_a_counter_of_whole_kilowatt_hours_may_step_at_any_time() -> None:
    assert counter_difference(100.0, 101.0, 10_000, may_fall=False) == 1.0


def test_a_reset_and_its_return_are_not_energy() -> None:
    assert counter_difference(15_500.0, 0.0, 10_000, may_fall=False) is None
    assert counter_difference(15_500.0, 0.0, 10_000, may_fall=True) is None
    assert counter_difference(0.0, 15_500.0, 10_000, may_fall=False) is None  # 15.5 MWh booked otherwise


def test_a_heat_counter_may_fall_in_a_defrost_and_an_electricity_counter_may_not() -> None:
    assert counter_difference(100.0, 99.8, 60_000, may_fall=True) == pytest.approx(-0.2)
    assert counter_difference(100.0, 99.8, 60_000, may_fall=False) is None


def test_nothing_is_faster_than_fifty_kilowatts() -> None:
    assert counter_difference(0.0, 51.0, HOUR_MS, may_fall=False) == pytest.approx(51.0)
    assert counter_difference(0.0, 51.1, HOUR_MS, may_fall=False) is None
