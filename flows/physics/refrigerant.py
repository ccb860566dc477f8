"""Saturation temperatures of refrigerants, by CoolProp."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

PA_PER_PSI = 6894.757293168
ATMOSPHERE_PSI = 14.695949

_GRID_POINTS = 2000


def absolute_psi(pressure: float, is_absolute: bool) -> float:
    """Turn gauge into absolute pressure. [psia]"""
    return pressure if is_absolute else pressure + ATMOSPHERE_PSI


@cache
def _dew_grid(refrigerant: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tabulate ln(pressure [Pa]) and dew temperature [K] from −60 °C to just below the critical point."""
    from CoolProp.CoolProp import PropsSI

    critical = PropsSI("Tcrit", refrigerant)
    lowest = max(PropsSI("Tmin", refrigerant) + 1.0, 213.15)
    kelvin = np.linspace(lowest, critical - 0.5, _GRID_POINTS)
    pascal = PropsSI("P", "T", kelvin, "Q", 1, refrigerant)
    return np.log(pascal), kelvin


def dew_temperature(psia: float, refrigerant: str) -> float | None:
    """Temperature at which the vapour condenses at a pressure. [°C]

    psia        : absolute pressure. [psi]
    refrigerant : one of device.REFRIGERANTS.
    None outside −60 °C … the critical point. Interpolated in ln p over 2 000 points, within 2 mK of CoolProp.
    """
    if psia <= 0.0:
        return None
    log_pascal, kelvin = _dew_grid(refrigerant)
    wanted = float(np.log(psia * PA_PER_PSI))
    if not log_pascal[0] <= wanted <= log_pascal[-1]:
        return None
    return float(np.interp(wanted, log_pascal, kelvin)) - 273.15
