"""Carnot's limit, and heat estimated from it."""

import numpy as np
import pytest

from flows.physics.performance import carnot_cop, carnot_cops, estimated_heat_powers


def estimated_heat_power(
    power: float, outlet: float, ambient: float, inlet: float | None, carnot_fraction: float
) -> float | None:
    delta_t = np.array([np.nan if inlet is None else outlet - inlet])
    carnot = carnot_cops(np.array([outlet]), np.array([ambient]))
    (found,) = estimated_heat_powers(np.array([power]), carnot, delta_t, np.array([carnot_fraction]))
    return None if np.isnan(found) else found


def test_carnot_at_thirty_five_and_seven_degrees_is_nine() -> None:
    assert carnot_cop(35.0, 7.0) == pytest.approx((35 + 2 + 273) / ((35 + 2) - (7 - 6)))


@pytest.mark.parametrize("ambient", [43.0, 50.0])
def test_without_lift_there_is_no_carnot_cop(ambient: float) -> None:
    assert carnot_cop(35.0, ambient) is None


def test_more_lift_lowers_the_limit() -> None:
    assert carnot_cop(55.0, -7.0) < carnot_cop(35.0, -7.0) < carnot_cop(35.0, 7.0)


def test_estimated_heat_is_power_times_the_reached_share_of_carnot() -> None:
    assert estimated_heat_power(1000.0, 35.0, 7.0, 30.0, 0.5) == pytest.approx(1000 * 0.5 * 310 / 36)


def test_estimated_heat_is_negative_when_the_return_is_warmer_and_positive_without_a_return() -> None:
    assert estimated_heat_power(1000.0, 35.0, 7.0, 36.0, 0.5) == -estimated_heat_power(
        1000.0, 35.0, 7.0, None, 0.5
    )


def test_without_lift_no_heat_is_estimated() -> None:
    assert estimated_heat_power(1000.0, 20.0, 40.0, 18.0, 0.5) is None


def test_the_recorded_heat_pump_reaches_a_third_of_carnot_so_the_default_would_read_high() -> None:
    """Measured: η 0.5 reads about 40 % high for this machine."""
    ideal, measured_cop = carnot_cop(31.0, 11.0), 3.14  # its first heating session
    assert ideal is not None
    assert measured_cop / ideal == pytest.approx(0.29, abs=0.02)
