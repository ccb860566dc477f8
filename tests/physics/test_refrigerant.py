"""Saturation temperatures against a laboratory, published points and an independent fit."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from flows.model.device import REFRIGERANTS
from flows.physics.refrigerant import (
    ATMOSPHERE_PSI,
    PA_PER_PSI,
    TABLE,
    absolute_psi,
    dew_temperature,
    dew_temperatures,
)

NISTIR_7350 = Path(__file__).parents[1] / "data" / "nistir-7350" / "nistir7350_appendixD_nofault_selected.csv"

ANTOINE = {  # A, B, C for psia and °C from −35 to 65 °C, and the fit's greatest error [K]
    "R410A": (13.3291, 2300.35, 268.11, 0.33),
    "R32": (13.3928, 2314.67, 268.38, 0.26),
    "R290": (12.3202, 2138.69, 264.35, 0.20),
    "R134a": (12.6029, 2160.55, 243.98, 0.14),
    "R407C": (13.0592, 2235.30, 252.31, 0.28),
}


def celsius(fahrenheit: str) -> float:
    return (float(fahrenheit) - 32.0) / 1.8


@pytest.fixture(scope="module")
def laboratory() -> list[dict[str, str]]:
    with NISTIR_7350.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("place", ["evaporator_exit", "condenser_inlet"])
def test_the_saturation_temperatures_of_sixteen_laboratory_states_agree(place: str, laboratory) -> None:
    assert len(laboratory) == 16
    for state in laboratory:
        found = dew_temperature(float(state[f"{place}_pressure_psia"]), "R410A")
        assert found == pytest.approx(celsius(state[f"{place}_sat_temperature_degf"]), abs=0.27)


def test_the_discharge_superheat_of_the_laboratory_agrees(laboratory) -> None:
    for state in laboratory:
        dew = dew_temperature(float(state["compressor_discharge_pressure_psia"]), "R410A")
        found = celsius(state["compressor_discharge_temperature_degf"]) - dew
        assert found == pytest.approx(float(state["discharge_superheat_degf"]) / 1.8, abs=0.12)


@pytest.mark.parametrize("refrigerant", ANTOINE)
def test_the_fit_of_the_domain_notes_agrees_from_minus_35_to_65_degrees(refrigerant: str) -> None:
    a, b, c, greatest = ANTOINE[refrigerant]
    for dew in range(-35, 66, 5):
        psia = math.exp(a - b / (dew + c))
        assert dew_temperature(psia, refrigerant) == pytest.approx(dew, abs=greatest + 0.02)


@pytest.mark.parametrize(
    ("refrigerant", "boils"), [("R22", -40.81), ("R32", -51.65), ("R134a", -26.07), ("R290", -42.11)]
)
def test_at_one_atmosphere_a_pure_refrigerant_boils_where_the_tables_say(refrigerant: str, boils: float) -> None:
    assert dew_temperature(101_325 / PA_PER_PSI, refrigerant) == pytest.approx(boils, abs=0.02)


@pytest.mark.parametrize("refrigerant", REFRIGERANTS)
def test_every_refrigerant_we_offer_is_known_and_rises_with_pressure(refrigerant: str) -> None:
    assert dew_temperature(150.0, refrigerant) < dew_temperature(300.0, refrigerant)


@pytest.mark.parametrize("psia", [-1.0, 0.0, 0.01, 5000.0])
def test_a_pressure_at_which_nothing_condenses_has_no_dew_temperature(psia: float) -> None:
    assert dew_temperature(psia, "R410A") is None


def test_gauge_pressure_is_an_atmosphere_below_absolute() -> None:
    assert absolute_psi(50.0, is_absolute=False) == pytest.approx(64.7, abs=0.01)
    assert absolute_psi(50.0, is_absolute=True) == 50.0
    assert ATMOSPHERE_PSI * PA_PER_PSI == pytest.approx(101_325, abs=1)


@pytest.mark.parametrize("refrigerant", ["R22", "R32", "R134a", "R290", "R407C", "R410A"])
def test_taking_gauge_for_absolute_shifts_saturation_by_seven_or_eight_kelvin_at_fifty_psi(
    refrigerant: str,
) -> None:
    right, wrong = (dew_temperature(absolute_psi(50.0, absolute), refrigerant) for absolute in (False, True))
    assert round(right - wrong) in (7, 8)


@pytest.mark.slow  # to load CoolProp takes seconds of a processor
def test_the_table_is_what_its_script_makes_and_a_temperature_between_its_points_is_that_of_coolprop() -> None:
    from CoolProp.CoolProp import PropsSI

    from scripts.dew_points import dew_points

    with np.load(TABLE) as table:
        assert set(table) == set(REFRIGERANTS)
        for refrigerant in REFRIGERANTS:
            np.testing.assert_allclose(table[refrigerant], dew_points(refrigerant), rtol=1e-9)
            psia = table[refrigerant][0]
            between = (psia[:-1] + psia[1:]) / 2
            exact = PropsSI("T", "P", between * PA_PER_PSI, "Q", 1, refrigerant) - 273.15
            np.testing.assert_allclose(dew_temperatures(between, refrigerant), exact, rtol=0, atol=0.002)
