"""Alert transitions by docs/reference/alerts.md, one alert at a time over the whole list of what was published."""

from collections.abc import Iterable
from typing import NamedTuple

from tests.oracle.readings import Published, Values, values_of

HIGH, LOW = 1, -1
SETTLING = 180_000
"""How long pressures mean nothing after a start or a defrost. [ms]"""


class Rule(NamedTuple):
    """side: HIGH is reached at or above, LOW at or below; back: how far beyond a threshold a level is left."""

    alert_type: str
    field: str
    side: int
    warning: float
    critical: float
    back: float
    pressure: bool = False


RULES = (
    Rule("voltage_high", "voltage", HIGH, 245, 250, 2),
    Rule("voltage_low", "voltage", LOW, 215, 210, 2),
    Rule("compressor_temp", "temp_compressor", HIGH, 85, 95, 3),
    Rule("pressure_high", "pressure_high", HIGH, 400, 450, 10, pressure=True),
    Rule("pressure_low", "pressure_low", LOW, 40, 20, 5, pressure=True),
    Rule("current", "current", HIGH, 12, 15, 0.5),
)
DEVICE_LEVELS = ("voltage", "compressor_temp", "pressure_high", "pressure_low", "current")
LEVELS = ("", "warning", "critical")


class Change(NamedTuple):
    """One transition. at: event time [ms since 1970, UTC]; level: after it, of a cleared alert its last."""

    alert_type: str
    state: str
    level: str
    at: int
    value: float | None


class Judged(NamedTuple):
    """A reading that is judged. settled: pressures mean something; at rest: they cannot."""

    at: int
    values: Values
    levels: dict[str, int]
    settled: bool
    at_rest: bool


def transitions(published: Iterable[Published]) -> dict[str, dict[str, list[Change]]]:
    """All changes in order, by device and alert type; types without any are absent.

    published : in the order of arrival.
    """
    devices: dict[str, list[Published]] = {}
    for reading in published:
        devices.setdefault(reading.device_id, []).append(reading)
    found = {}
    for device_id, readings in devices.items():
        judged = judged_of(readings)
        changes = {rule.alert_type: _by_threshold(rule, judged) for rule in RULES}
        changes |= {f"device_{name}": _by_device(name, judged) for name in DEVICE_LEVELS}
        found[device_id] = {alert_type: rows for alert_type, rows in changes.items() if rows}
    return found


def judged_of(readings: list[Published]) -> list[Judged]:
    """Leave out what came late, and say for the rest whether pressures may be judged."""
    judged: list[Judged] = []
    newest = -1
    began: int | None = None
    for _, at, payload in readings:
        if at <= newest:
            continue
        newest = at
        values = values_of(payload)
        at_rest = values.get("compressor_running") is False or values.get("defrost_active") is True
        if at_rest:
            began = None
        elif values.get("compressor_running") and began is None:
            began = at
        settled = began is not None and at - began >= SETTLING
        judged.append(Judged(at, values, payload.get("alerts", {}), settled, at_rest))
    return judged


def _by_threshold(rule: Rule, judged: list[Judged]) -> list[Change]:
    changes: list[Change] = []
    level = 0
    for reading in judged:
        value = reading.values.get(rule.field)
        if rule.pressure and reading.at_rest:
            level = _change(changes, rule.alert_type, level, 0, reading.at, None)
        elif value is not None and (reading.settled or not rule.pressure):
            level = _change(changes, rule.alert_type, level, _level(rule, value, level), reading.at, value)
    return changes


def _level(rule: Rule, value: float, now: int) -> int:
    """A level is entered at its threshold, and left beyond it by more than `back`."""
    for level, threshold in ((2, rule.critical), (1, rule.warning)):
        excess = (value - threshold) * rule.side
        if excess >= 0 or (now >= level and excess >= -rule.back):
            return level
    return 0


def _by_device(name: str, judged: list[Judged]) -> list[Change]:
    changes: list[Change] = []
    level = 0
    for reading in judged:
        if name in reading.levels:
            level = _change(changes, f"device_{name}", level, reading.levels[name], reading.at, None)
    return changes


def _change(changes: list[Change], alert_type: str, old: int, new: int, at: int, value: float | None) -> int:
    if new != old:
        state = "raised" if not old else "cleared" if not new else "escalated" if new > old else "eased"
        changes.append(Change(alert_type, state, LEVELS[new or old], at, value))
    return new
