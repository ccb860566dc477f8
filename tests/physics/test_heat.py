"""Heat given to the water loop."""

import pytest

from flows.physics.heat import heat_capacity, heat_power


def test_a_litre_a_minute_and_a_kelvin_are_about_seventy_watts() -> None:
    assert heat_power(1.0, 31.0, 30.0) == pytest.approx(69.1, rel=0.01)  # the shortcut


def test_the_recorded_heat_pump_gave_eight_kilowatts_at_four_kelvin() -> None:
    assert heat_power(30.0, 34.0, 30.0) == pytest.approx(30 / 60 * 4186 * 4)


def test_heat_is_negative_while_the_outlet_is_colder_than_the_inlet() -> None:
    assert heat_power(30.0, 25.0, 28.0) == -heat_power(30.0, 28.0, 25.0)


def test_no_flow_is_no_heat() -> None:
    assert heat_power(0.0, 40.0, 20.0) == 0.0


@pytest.mark.parametrize(
    ("percent", "cp"), [(0, 4186), (10, 4120), (15, 4100), (20, 4070), (25, 3980), (30, 3900)]
)
def test_glycol_lowers_the_heat_capacity_as_the_table_says(percent: float, cp: float) -> None:
    assert heat_capacity(percent) == pytest.approx(cp)


def test_between_two_mixtures_the_heat_capacity_is_linear_and_outside_it_is_the_nearest() -> None:
    assert heat_capacity(12.5) == pytest.approx(4110)
    assert heat_capacity(-1.0) == heat_capacity(0.0)
    assert heat_capacity(60.0) == heat_capacity(30.0)
