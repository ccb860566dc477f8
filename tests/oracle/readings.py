"""What was published, read by docs/reference/mqtt.md and quantities.md: the raw rows that must be stored."""

from collections.abc import Iterable
from typing import NamedTuple

FIELDS = {
    "temperature": {
        "inlet": "temp_inlet",
        "outlet": "temp_outlet",
        "ambient": "temp_ambient",
        "compressor": "temp_compressor",
        "indoor": "temp_indoor",
        "dhw": "temp_dhw",
    },
    "electrical": {"voltage": "voltage", "current": "current", "power": "power", "backup": "backup_power"},
    "pressure": {"high": "pressure_high", "low": "pressure_low"},
    "status": {
        "compressor": "compressor_running",
        "fan": "fan_running",
        "defrost": "defrost_active",
        "dhw": "dhw_active",
        "backup": "backup_active",
    },
    "hydraulic": {"flow": "flow_rate", "pressure": "water_pressure"},
    "setpoint": {"flow": "setpoint_flow", "indoor": "setpoint_indoor", "dhw": "setpoint_dhw"},
    "energy": {"heat": "heat_energy", "electric": "electric_energy"},
}
FLAGS = frozenset(FIELDS["status"].values())
GAUGE_PSI = 14.695949
"""What a gauge pressure lacks to the absolute one. [psi]"""

Values = dict[str, float | bool]
Samples = dict[int, Values]
"""Values by event time [ms since 1970, UTC]."""


class Published(NamedTuple):
    """One reading as it was sent, its device and event time beside it."""

    device_id: str
    at: int
    payload: dict


def values_of(payload: dict) -> Values:
    """The stored fields of one reading: what it says, and what follows from it alone."""
    values: Values = {}
    for group, keys in FIELDS.items():
        for key, name in keys.items():
            value = payload.get(group, {}).get(key)
            if value is not None and payload.get("valid", {}).get(name) is not False:
                values[name] = bool(value) if name in FLAGS else float(value)
    return values | derived(values)


def derived(values: Values) -> Values:
    """Contract §7 for a device without a known refrigerant."""
    out: Values = {}
    if {"temp_inlet", "temp_outlet"} <= values.keys():
        out["delta_t"] = values["temp_outlet"] - values["temp_inlet"]
        if "flow_rate" in values:
            out["heat_power"] = values["flow_rate"] / 60 * 4186 * out["delta_t"]
    if {"temp_outlet", "temp_ambient"} <= values.keys():
        lift = values["temp_outlet"] + 2 - (values["temp_ambient"] - 6)
        if lift > 0:
            out["carnot_cop"] = (values["temp_outlet"] + 2 + 273) / lift
    if {"pressure_high", "pressure_low"} <= values.keys():
        out["pressure_ratio"] = (values["pressure_high"] + GAUGE_PSI) / (values["pressure_low"] + GAUGE_PSI)
    return out


def samples_of(published: Iterable[Published]) -> dict[str, Samples]:
    """Raw rows by device: of one event time, each field as it was sent last."""
    devices: dict[str, Samples] = {}
    for device_id, at, payload in published:
        devices.setdefault(device_id, {}).setdefault(at, {}).update(values_of(payload))
    return devices
