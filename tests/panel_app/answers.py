"""Answers as the REST API gives them, for the components' tests: one device on a calm winter day."""

from typing import Any

from flows.model.times import iso

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOW = 1_770_728_887_000
"""Tue 10 Feb 2026, 14:08:07 in Berlin."""

LIMITS = {
    "voltage": {
        "low": {"alert_type": "voltage_low", "warning": 215.0, "critical": 210.0, "unit": "V"},
        "high": {"alert_type": "voltage_high", "warning": 245.0, "critical": 250.0, "unit": "V"},
    },
    "temp_compressor": {
        "high": {"alert_type": "compressor_temp", "warning": 85.0, "critical": 95.0, "unit": "°C"}
    },
    "pressure_low": {"low": {"alert_type": "pressure_low", "warning": 40.0, "critical": 20.0, "unit": "psi"}},
}
CALM = {
    "temp_outlet": 32.8,
    "temp_inlet": 28.5,
    "temp_dhw": 42.0,
    "temp_ambient": 3.8,
    "voltage": 231.4,
    "power": 1321.0,
    "temp_compressor": 58.2,
    "pressure_low": 93.0,
    "setpoint_flow": 32.2,
    "compressor_running": True,
    "defrost_active": False,
    "dhw_active": False,
}


def a_status(
    values: dict[str, Any] | None = None, ago: int = 4_000, ages: dict[str, int] | None = None, **given: Any
) -> dict[str, Any]:
    """A status answer. ago: since its last reading; ages: of single fields. [ms]"""
    values = CALM if values is None else values
    metadata = {"name": "north house", "timezone": "Europe/Berlin", "refrigerant": "R32", "spf_boundary": "H4"}
    return {
        "device_id": "site1",
        "is_online": given.get("online", ago <= 2 * MINUTE),
        "last_seen": iso(NOW - ago),
        "measured_at": {field: iso(NOW - (ages or {}).get(field, ago)) for field in values},
        "attributes": given.get("attributes", {"rssi": "-61", "version": "1.4.0"}),
        "metadata": metadata | given.get("metadata", {}),
        "limits": LIMITS,
        **values,
    }


def an_alert(
    alert_type: str, level: str = "warning", began: int = 13 * MINUTE, state: str = "raised", **given: Any
) -> dict[str, Any]:
    """An alert of the API; began: how long ago it was raised. [ms]"""
    return {
        "id": f"site1/{alert_type}/8192",
        "device_id": "site1",
        "alert_type": alert_type,
        "alert_level": level,
        "state": state,
        "since": iso(NOW - began),
        "time": iso(NOW - began),
        "cleared_at": None,
        "value": None,
        "message": "",
        "acknowledged_by": "",
        **given,
    }
