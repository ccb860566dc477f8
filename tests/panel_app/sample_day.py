"""A made-up day of a heat pump, as the API answers it: cycles, hot water, defrosts, one hole, an alert."""

import math
from datetime import UTC, datetime
from typing import Any

from flows.model.quantities import MODES

MINUTE = 60_000
START = round(datetime(2026, 2, 9, 13, 8, tzinfo=UTC).timestamp() * 1000)
END = START + 24 * 60 * MINUTE
HOLE = (START + 447 * MINUTE, START + 519 * MINUTE)
"""From the last reading to the next; 15 min of it are held, 57 min are missing (21:50 to 22:47 in Berlin)."""

UNITS = {"temp_outlet": "°C", "temp_inlet": "°C", "temp_dhw": "°C", "setpoint_flow": "°C", "temp_ambient": "°C"}
UNITS |= {"heat_power": "W", "power": "W"}


def iso(ms: float) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def reading(minute: int) -> dict[str, float | bool]:
    """What the machine does in one minute of the day."""
    phase = minute % 92
    runs = phase < 58
    defrost = runs and minute % 184 in range(40, 46)
    dhw = any(begin <= minute < begin + 34 for begin in (160, 380, 965))
    runs, defrost = runs or dhw, defrost and not dhw
    warm = 28 + 6 * (1 - math.exp(-phase / 20)) if runs else 34 - 6 * (1 - math.exp(-(phase - 58) / 30))
    tank = 50 - (minute % 420) / 50
    if dhw:
        begun = next(b for b in (160, 380, 965) if b <= minute < b + 34)
        warm = 40 + (minute - begun) * 0.36
        tank = 41 + (minute - begun) * 0.27
    heat = (
        -3200.0 if defrost else (5200 + 1600 * math.exp(-phase / 6) + 120 * math.sin(minute / 3)) if runs else 0.0
    )
    return {
        "temp_outlet": warm - (5 if defrost else 0),
        "temp_inlet": warm - (4.2 if runs else 0.1),
        "temp_dhw": tank,
        "setpoint_flow": 33 + 1.5 * math.sin(minute / 300),
        "temp_ambient": 1.5 + 3 * math.cos((minute + 40) / 1440 * 2 * math.pi),
        "heat_power": heat,
        "power": (900.0 if defrost else 1350 + 30 * math.sin(minute / 7)) if runs else 12.0,
        "compressor_running": runs,
        "defrost_active": defrost,
        "dhw_active": dhw,
        "backup_active": False,
    }


def series(resolution: str = "1m", minutes: range = range(1440), with_hole: bool = True) -> dict[str, Any]:
    """The day (or a part) at 1m (mean, min, max) or raw."""
    kept = [m for m in minutes if not (with_hole and HOLE[0] + 15 * MINUTE <= START + m * MINUTE < HOLE[1])]
    if resolution == "raw":
        kept = [m for m in kept if not (with_hole and HOLE[0] < START + m * MINUTE < HOLE[1])]
    # Buckets after the last reading hold its value.
    seen = [reading(min(m, 447) if with_hole and 447 <= m < 519 else m) for m in kept]
    with_hole = with_hole and minutes.start <= 447
    values: dict[str, Any] = {}
    for name in seen[0]:
        column = [float(row[name]) if resolution != "raw" else row[name] for row in seen]
        if name in UNITS and resolution != "raw":
            column = {
                "mean": column,
                "min": [v - 0.01 * abs(v) for v in column],
                "max": [v + 0.01 * abs(v) for v in column],
            }
        values[name] = column
    if resolution != "raw":
        values |= {f"{part}_{mode}": [0.0] * len(seen) for part in ("heat_kwh", "electric_kwh") for mode in MODES}
        values["heat_kwh_space"] = [row["heat_power"] / 60_000 for row in seen]
        values["electric_kwh_space"] = [row["power"] / 60_000 for row in seen]
    return {
        "device_id": "site1",
        "resolution": resolution,
        "start": iso(START + minutes.start * MINUTE),
        "end": iso(START + minutes.stop * MINUTE),
        "timezone": "Europe/Berlin",
        "readings": 8208,
        "coverage": dict.fromkeys(seen[0], 0.960417 if with_hole else 1.0),
        "gaps": [[iso(HOLE[0]), iso(HOLE[1])]] if with_hole else [],
        "units": UNITS,
        "heat_source": "measured",
        "time": [iso(START + m * MINUTE) for m in kept],
        "values": values,
    }


def empty() -> dict[str, Any]:
    """The same day of a device that sent nothing."""
    return {
        **series(minutes=range(1)),
        "start": iso(START),
        "end": iso(END),
        "readings": 0,
        "coverage": {},
        "gaps": [[iso(START), iso(END)]],
        "time": [],
        "values": {},
    }


def episodes() -> list[dict[str, Any]]:
    """Cycles, defrosts and hot-water runs that have ended, newest first."""
    flags = {"compressor_running": "cycle", "defrost_active": "defrost", "dhw_active": "dhw_run"}
    found = []
    for flag, kind in flags.items():
        begun = None
        for minute in range(1441):
            on = minute < 1440 and reading(minute)[flag] and not 462 <= minute < 519
            if on and begun is None:
                begun = minute
            elif not on and begun is not None:
                if minute < 1440:
                    found.append(episode(kind, begun, minute, "edge" if begun not in (0, 519) else "gap"))
                begun = None
    return sorted(found, key=lambda e: str(e["start"]), reverse=True)


def episode(kind: str, begun: int, ended: int, begun_by: str = "edge", detail: str = "") -> dict[str, Any]:
    return {
        "id": f"site1/{kind}/{begun}",
        "device_id": "site1",
        "kind": kind,
        "start": iso(START + begun * MINUTE),
        "end": iso(START + ended * MINUTE),
        "begun_by": begun_by,
        "ended_by": "edge",
        "detail": detail,
    }


def alert(alert_type: str, level: str, since: int, cleared: int | None) -> dict[str, Any]:
    """An alert by minutes of the day."""
    return {
        "time": iso(START + (cleared or since) * MINUTE),
        "device_id": "site1",
        "alert_type": alert_type,
        "alert_level": level,
        "value": 1.0,
        "message": "",
        "id": f"site1/{alert_type}/{since}",
        "state": "raised" if cleared is None else "cleared",
        "since": iso(START + since * MINUTE),
        "cleared_at": None if cleared is None else iso(START + cleared * MINUTE),
        "acknowledged_by": "",
    }


ALERTS = [alert("voltage_low", "warning", 213, 230), alert("compressor_temp", "critical", 1427, None)]
