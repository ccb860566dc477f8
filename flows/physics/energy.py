"""What a heat pump is doing, and how counters turn into energy. Arrays throughout; NaN is a missing value."""

import numpy as np

from flows.model.quantities import MODES
from flows.model.table import Numbers, Times

RUNNING_POWER_W = 150.0
"""From here on a machine that sends no compressor flag counts as running (emoncms: myheatpump_process.php)."""

COOLING_ABOVE_C = 15.0
"""Heat is taken from the water for cooling only when it is this warm outdoors; below, it is a defrost's end."""

COOLING_DELTA_K = -0.5
MAX_COUNTER_W = 50_000.0
COUNTER_STEP_KWH = 1.0

MS_PER_HOUR = 3_600_000.0
WMS_PER_KWH = 3_600_000_000.0

SPACE, DHW, COOLING, DEFROST, STANDBY, UNKNOWN = range(len(MODES))
"""Indices in MODES."""


def operating_modes(
    defrost: Numbers, dhw: Numbers, compressor: Numbers, power: Numbers, delta_t: Numbers, ambient: Numbers
) -> Times:
    """Name what the machine does in each row, as index in MODES.

    Flags are 1.0, 0.0 or NaN; power [W], delta_t = outlet − inlet [K], ambient [°C].
    """
    running = np.where(np.isnan(compressor), power >= RUNNING_POWER_W, compressor == 1.0)
    known = ~(np.isnan(compressor) & np.isnan(power))
    cools = (delta_t < COOLING_DELTA_K) & (ambient >= COOLING_ABOVE_C)
    choices = [
        (defrost == 1.0, DEFROST),
        (dhw == 1.0, DHW),
        (~known, UNKNOWN),
        (~running, STANDBY),
        (cools, COOLING),
    ]
    return np.select([condition for condition, _ in choices], [mode for _, mode in choices], SPACE)


def counter_differences(before: Numbers, after: Numbers, span_ms: Times, may_fall: bool) -> Numbers:
    """Energy between two readings of a cumulative counter, NaN where the counter cannot be believed. [kWh]

    span_ms  : time between them. [ms]
    may_fall : a heat counter falls while defrosting; an electricity counter that falls was reset.
    A difference faster than 50 kW, beyond one coarse step of 1 kWh, is a reset or a glitch.
    """
    most = MAX_COUNTER_W / 1000.0 * span_ms / MS_PER_HOUR
    difference = after - before
    believed = (difference <= most + COUNTER_STEP_KWH) & (difference >= (-most if may_fall else 0.0))
    return np.where(believed, difference, np.nan)
