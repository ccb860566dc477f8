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


def estimated_heat_power(
    power: float, outlet: float, ambient: float, inlet: float | None, carnot_fraction: float
) -> float | None:
    """Heat output of a running machine without a flow meter: P · η · Carnot. [W]

    power           : electrical. [W]
    carnot_fraction : η, share of the Carnot COP that the machine reaches.
    inlet           : return water, or None; above the outlet, the heat is negative. [°C]
    Measured, η was 0.35 … 0.55 in the field: show the result as an estimate. None where there is no lift.
    """
    ideal = carnot_cop(outlet, ambient)
    if ideal is None:
        return None
    heat = power * carnot_fraction * ideal
    return -heat if inlet is not None and inlet > outlet else heat
