"""Units that other systems use, and how they become ours."""

from flows.model.quantities import BY_NAME

KILO, MILLI = 1000.0, 0.001

_TO: dict[str, dict[str, tuple[float, float]]] = {
    "°C": {
        "°C": (1.0, 0.0),
        "C": (1.0, 0.0),
        "°F": (5 / 9, -160 / 9),
        "F": (5 / 9, -160 / 9),
        "K": (1.0, -273.15),
    },
    "W": {"W": (1.0, 0.0), "kW": (KILO, 0.0), "BTU/h": (0.29307107, 0.0)},
    "kWh": {
        "kWh": (1.0, 0.0),
        "Wh": (MILLI, 0.0),
        "MWh": (KILO, 0.0),
        "J": (1 / 3.6e6, 0.0),
        "MJ": (1 / 3.6, 0.0),
        "GJ": (KILO / 3.6, 0.0),
    },
    "V": {"V": (1.0, 0.0), "mV": (MILLI, 0.0), "kV": (KILO, 0.0)},
    "A": {"A": (1.0, 0.0), "mA": (MILLI, 0.0)},
    "Hz": {"Hz": (1.0, 0.0)},
    "psi": {
        "psi": (1.0, 0.0),
        "bar": (14.503773773, 0.0),
        "kPa": (0.14503773773, 0.0),
        "MPa": (145.03773773, 0.0),
    },
    "bar": {"bar": (1.0, 0.0), "kPa": (0.01, 0.0), "MPa": (10.0, 0.0), "psi": (1 / 14.503773773, 0.0)},
    "L/min": {
        "L/min": (1.0, 0.0),
        "L/h": (1 / 60, 0.0),
        "L/s": (60.0, 0.0),
        "m3/h": (1000 / 60, 0.0),
        "m³/h": (1000 / 60, 0.0),
        "gpm": (3.785411784, 0.0),
    },
    "": {"": (1.0, 0.0), "%": (0.01, 0.0)},
}
"""By our unit and theirs: (scale, offset); ours = theirs · scale + offset. Pressures stay gauge or absolute."""


def units_for(quantity: str) -> dict[str, tuple[float, float]]:
    """Give the units in which a quantity may come, each with (scale, offset) to ours."""
    return _TO[BY_NAME[quantity].unit]
