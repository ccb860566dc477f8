"""Carnot's limit, and heat estimated from it where no flow is measured.

Sources: emoncms/app myheatpump_process.php, emoncms/postprocess carnot_cop_simulator.php (there +4 K and −6 K).
"""

import numpy as np

from flows.model.table import Numbers

CONDENSER_OFFSET_K = 2.0
EVAPORATOR_OFFSET_K = 6.0


def carnot_cop(outlet: float, ambient: float) -> float | None:
    """COP of an ideal machine between the source and the flow water.

    outlet, ambient : flow water and outdoor air. [°C]
    Assumes condensing 2 K above the flow water and evaporating 6 K below outdoors; None where there is no lift.
    """
    lift = (outlet + CONDENSER_OFFSET_K) - (ambient - EVAPORATOR_OFFSET_K)
    if lift <= 0.0:
        return None
    return (outlet + CONDENSER_OFFSET_K + 273.0) / lift


def carnot_cops(outlet: Numbers, ambient: Numbers) -> Numbers:
    """Compute `carnot_cop` of every row, bit for bit; NaN where that is None, or an input is missing."""
    lift = (outlet + CONDENSER_OFFSET_K) - (ambient - EVAPORATOR_OFFSET_K)
    return (outlet + CONDENSER_OFFSET_K + 273.0) / np.where(lift > 0.0, lift, np.nan)


def estimated_heat_powers(power: Numbers, carnot: Numbers, delta_t: Numbers, carnot_fraction: Numbers) -> Numbers:
    """Heat output of a running machine without a flow meter: P · η · Carnot; NaN where an input is. [W]

    power           : electrical. [W]
    carnot          : see `carnot_cops`.
    delta_t         : flow minus return, NaN where unknown; negative, the heat is so too. [K]
    carnot_fraction : η, share of the Carnot COP that the machine reaches.
    Measured, η was 0.35 … 0.55 in the field: show the result as an estimate.
    """
    heat = power * carnot_fraction * carnot
    return np.where(delta_t < 0.0, -heat, heat)
