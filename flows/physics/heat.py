"""Heat given to the water loop."""

from bisect import bisect_right
from functools import lru_cache

from flows.model.table import Amount

WATER_CP = 4186.0
"""Heat capacity of water. [J/(kg K)]"""

_GLYCOL_PERCENT = (0.0, 10.0, 15.0, 20.0, 25.0, 30.0)
_GLYCOL_CP = (WATER_CP, 4120.0, 4100.0, 4070.0, 3980.0, 3900.0)


@lru_cache(1024)
def heat_capacity(glycol_percent: float) -> float:
    """Heat capacity of a water-glycol mixture, linear between the points of ECODAN_Bridge.ino. [J/(kg K)]

    glycol_percent : 0 … 30; outside, the nearest end. [%]
    Source: F1p/Mitsubishi-CN105, whose points these are, but for water's.
    """
    percent = min(max(glycol_percent, 0.0), 30.0)
    right = min(bisect_right(_GLYCOL_PERCENT, percent), len(_GLYCOL_PERCENT) - 1)
    x0, x1 = _GLYCOL_PERCENT[right - 1], _GLYCOL_PERCENT[right]
    y0, y1 = _GLYCOL_CP[right - 1], _GLYCOL_CP[right]
    return y0 + (y1 - y0) * (percent - x0) / (x1 - x0)


def heat_power(flow_rate: Amount, outlet: Amount, inlet: Amount, cp: Amount | float = WATER_CP) -> Amount:
    """Heat given to the water loop; negative while defrosting or cooling. [W]

    flow_rate     : water flow. [L/min]
    outlet, inlet : leaving and entering water. [°C]
    cp            : heat capacity. [J/(kg K)]
    Assumes 1 kg/L.
    """
    return flow_rate / 60.0 * cp * (outlet - inlet)
