"""Saturation temperatures of refrigerants: points that CoolProp computed, and what lies between them."""

from bisect import bisect_right
from functools import cache
from pathlib import Path

import numpy as np

from flows.model.table import Amount, Numbers

PA_PER_PSI = 6894.757293168
ATMOSPHERE_PSI = 14.695949

TABLE = Path(__file__).with_name("dew_points.npz")
"""Made by scripts/dew_points.py: of each of device.REFRIGERANTS, 2 000 pressures and their dew temperatures."""


def absolute_psi(pressure: Amount, is_absolute: bool) -> Amount:
    """Turn gauge into absolute pressure. [psia]"""
    return pressure if is_absolute else pressure + ATMOSPHERE_PSI


@cache
def _dew_arrays(refrigerant: str) -> tuple[Numbers, Numbers, Numbers]:
    """Pressures [psia], dew temperatures [°C] and slopes between them."""
    with np.load(TABLE) as table:
        psia, celsius = table[refrigerant]
    return psia, celsius, np.diff(celsius) / np.diff(psia)


@cache
def _dew_lists(refrigerant: str) -> tuple[list[float], list[float], list[float]]:
    """Give the same as lists: one look-up takes a tenth of the time that NumPy needs for it."""
    psia, celsius, slope = _dew_arrays(refrigerant)
    return psia.tolist(), celsius.tolist(), slope.tolist()


def dew_temperature(psia: float, refrigerant: str) -> float | None:
    """Temperature at which the vapour condenses at a pressure. [°C]

    psia        : absolute pressure. [psi]
    refrigerant : one of device.REFRIGERANTS.
    None outside −60 °C … the critical point. Interpolated in p over 2 000 points, within 2 mK of CoolProp.
    """
    grid, celsius, slope = _dew_lists(refrigerant)
    if not grid[0] <= psia <= grid[-1]:
        return None
    left = min(bisect_right(grid, psia), len(slope)) - 1
    return celsius[left] + slope[left] * (psia - grid[left])


def dew_temperatures(psia: Numbers, refrigerant: str) -> Numbers:
    """Compute `dew_temperature` of every pressure, bit for bit; NaN where that is None, or of NaN. [°C]"""
    grid, celsius, slope = _dew_arrays(refrigerant)
    left = np.clip(np.searchsorted(grid, psia, side="right"), 1, len(slope)) - 1
    found = celsius[left] + slope[left] * (psia - grid[left])
    return np.where((grid[0] <= psia) & (psia <= grid[-1]), found, np.nan)
