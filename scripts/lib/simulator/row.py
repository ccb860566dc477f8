"""A row: what one device measured at one instant, and how the firmware judges it."""

from __future__ import annotations

Row = "dict[str, Any]"
"""What one device measured at one instant: stored field -> number or flag."""

SENSORS = ("temp_inlet", "temp_outlet", "temp_ambient", "temp_compressor")
SENSORS += ("voltage", "current", "pressure_high", "pressure_low")
ALL_VALID = dict.fromkeys(SENSORS, True)

ALERT_LEVELS = {
    "voltage": ("voltage", (215.0, 245.0), (210.0, 250.0)),
    "compressor_temp": ("temp_compressor", (-99.0, 85.0), (-99.0, 95.0)),
    "pressure_high": ("pressure_high", (-99.0, 400.0), (-99.0, 450.0)),
    "pressure_low": ("pressure_low", (40.0, 999.0), (20.0, 999.0)),
    "current": ("current", (-1.0, 12.0), (-1.0, 15.0)),
}
"""By alert: the field, lowest and highest value that is still well, then that is still no critical one."""


def alert_level(name: str, value: float) -> int:
    """Judge a value as the firmware does: 0 ok, 1 warning, 2 critical."""
    _, well, bearable = ALERT_LEVELS[name]
    return (not well[0] < value < well[1]) + (not bearable[0] < value < bearable[1])


def alert_levels(row: Row) -> dict[str, int]:
    """Judge what was measured; pressures only while the compressor runs and does not defrost."""
    levels = {}
    refrigerant_runs = row["compressor_running"] and not row["defrost_active"]
    for name, (field, (low, high), _) in ALERT_LEVELS.items():
        judged = refrigerant_runs or name[0] != "p"
        levels[name] = alert_level(name, row[field]) if judged and not low < row[field] < high else 0
    return levels
