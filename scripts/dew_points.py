#!/usr/bin/env python3
"""Tabulate the dew points of every refrigerant with CoolProp: the table that flows/physics/refrigerant.py reads.

Run again when REFRIGERANTS or CoolProp change. CoolProp takes seconds and 75 MB to load, so no flow loads it.
"""

import numpy as np
from CoolProp.CoolProp import PropsSI

from flows.model.device import REFRIGERANTS
from flows.model.table import Numbers
from flows.physics.refrigerant import PA_PER_PSI, TABLE

POINTS = 2000


def dew_points(refrigerant: str) -> Numbers:
    """Pressures [psia] and dew temperatures [°C], from −60 °C to just below the critical point; 2 × POINTS."""
    lowest = max(PropsSI("Tmin", refrigerant) + 1.0, 213.15)
    kelvin = np.linspace(lowest, PropsSI("Tcrit", refrigerant) - 0.5, POINTS)
    return np.stack((PropsSI("P", "T", kelvin, "Q", 1, refrigerant) / PA_PER_PSI, kelvin - 273.15))


if __name__ == "__main__":
    np.savez_compressed(TABLE, **{name: dew_points(name) for name in REFRIGERANTS})
