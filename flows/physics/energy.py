"""What a heat pump is doing, and how counters turn into energy."""

RUNNING_POWER_W = 150.0
"""From here on a machine that sends no compressor flag counts as running (emoncms: myheatpump_process.php)."""

COOLING_ABOVE_C = 15.0
"""Heat is taken from the water for cooling only when it is this warm outdoors; below, it is a defrost's end."""

COOLING_DELTA_K = -0.5
MAX_COUNTER_W = 50_000.0
COUNTER_STEP_KWH = 1.0

MS_PER_HOUR = 3_600_000.0
WMS_PER_KWH = 3_600_000_000.0


def operating_mode(
    defrost: float | None,
    dhw: float | None,
    compressor: float | None,
    power: float | None,
    delta_t: float | None,
    ambient: float | None,
) -> str:
    """Name the mode: space, dhw, cooling, defrost, standby or unknown.

    Flags are true, false or None where unknown; power [W], delta_t = outlet − inlet [K], ambient [°C].
    """
    if defrost:
        return "defrost"
    if dhw:
        return "dhw"
    if compressor is None:
        if power is None:
            return "unknown"
        compressor = power >= RUNNING_POWER_W
    if not compressor:
        return "standby"
    if delta_t is not None and delta_t < COOLING_DELTA_K and ambient is not None and ambient >= COOLING_ABOVE_C:
        return "cooling"
    return "space"


def counter_difference(before: float, after: float, span_ms: int, may_fall: bool) -> float | None:
    """Energy between two readings of a cumulative counter, or None where the counter cannot be believed. [kWh]

    span_ms  : time between them. [ms]
    may_fall : a heat counter falls while defrosting; an electricity counter that falls was reset.
    A difference faster than 50 kW, beyond one coarse step of 1 kWh, is a reset or a glitch.
    """
    most = MAX_COUNTER_W / 1000.0 * span_ms / MS_PER_HOUR
    difference = after - before
    if difference > most + COUNTER_STEP_KWH or difference < (-most if may_fall else 0.0):
        return None
    return difference
