"""device: what a status answer says of a device, for all components: is it heard, what is it doing, since when."""

from collections.abc import Mapping
from typing import Any, Literal
from zoneinfo import ZoneInfo

from flows.model.quantities import BY_NAME, QUANTITIES
from panel_app.words import instant, zone_of

Answer = Mapping[str, Any]
"""One JSON object of the REST API."""

Activity = Literal["heating", "hot water", "cooling", "defrost", "standby", "off", "unknown"]

HOLD_MS = 900_000
"""A value older than this says nothing of now, whatever timeout the API judges `is_online` by."""

REPORTED_FOR_MS = 86_400_000
"""How long it is told what a device itself reported: nobody knows when that is over. [ms]"""

_RUNNING_W = 150.0
_COOLING_BELOW_K, _COOLING_FROM_C = -0.5, 15.0
_CLOSED_STATES = frozenset({"cleared", "noted"})

RUNS = frozenset[Activity]({"heating", "hot water", "cooling", "defrost"})
"""What it does while the machine runs."""

RESTS = frozenset[Activity]({"standby", "off"})

CHIPS: dict[Activity, str] = {
    "heating": "Heating",
    "hot water": "Hot water",
    "cooling": "Cooling",
    "defrost": "Defrost",
    "standby": "Standby",
    "off": "Off",
}


def value(status: Answer, field: str) -> float | None:
    """Give a number's newest value; None where the device never sent one."""
    found = status.get(field)
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def flag(status: Answer, field: str) -> bool | None:
    """Give a flag's newest value; None where the device never sent one."""
    found = status.get(field)
    return found if isinstance(found, bool) else None


def sent_fields(status: Answer) -> list[str]:
    """Name the quantities the device ever sent, in the table's order."""
    return [quantity.name for quantity in QUANTITIES if status.get(quantity.name) is not None]


def last_seen(status: Answer) -> int | None:
    """When its newest reading arrived; of an imported one when it was measured. [ms since 1970, UTC]"""
    seen = status.get("last_seen")
    if isinstance(seen, str):
        return instant(seen)
    return max(map(instant, status.get("measured_at", {}).values()), default=None)


def silent_ms(status: Answer, now_ms: int) -> int | None:
    """How long nothing was heard; None of a device that never sent a reading. [ms]"""
    seen = last_seen(status)
    return None if seen is None else max(now_ms - seen, 0)


def is_stale(status: Answer, now_ms: int) -> bool:
    """Tell whether its values say nothing of now: it is offline by the API's timeout, or silent for 900 s."""
    silent = silent_ms(status, now_ms)
    return not status.get("is_online") or silent is None or silent > HOLD_MS


def current(status: Answer, at_ms: int) -> Answer:
    """Give the status without the values that said nothing any more at an instant: measured 900 s before it.

    at_ms : [ms since 1970, UTC]. A value whose time is not known is kept.
    """
    measured = {quantity.name: measured_ms(status, quantity.name) for quantity in QUANTITIES}
    return {**status, **{name: None for name, at in measured.items() if at is not None and at_ms - at > HOLD_MS}}


def is_recording(status: Answer) -> bool:
    """Tell whether all that is known of it was imported: it has values, but never spoke itself."""
    return not isinstance(status.get("last_seen"), str) and bool(status.get("measured_at"))


def measured_ms(status: Answer, field: str) -> int | None:
    """Event time of a field's newest value. [ms since 1970, UTC]"""
    text = status.get("measured_at", {}).get(field)
    return instant(text) if isinstance(text, str) else None


def activity(status: Answer) -> Activity:
    """Say what the machine does by its newest values, as rollups do (docs/reference/rollups.md)."""
    power = value(status, "power")
    running = flag(status, "compressor_running")
    if flag(status, "defrost_active"):
        return "defrost"
    if running is None and power is None:
        return "unknown"
    if running is None:
        running = power is not None and power >= _RUNNING_W
    if flag(status, "dhw_active"):
        return "hot water"
    if not running:
        return "standby" if power is not None and power >= 1.0 else "off"
    return "cooling" if _cools(status) else "heating"


def _cools(status: Answer) -> bool:
    outlet, inlet, ambient = (value(status, f"temp_{place}") for place in ("outlet", "inlet", "ambient"))
    if outlet is None or inlet is None or ambient is None:
        return False
    return outlet - inlet < _COOLING_BELOW_K and ambient >= _COOLING_FROM_C


def open_alerts(alerts: list[Answer]) -> list[Answer]:
    """Keep the alerts that stand, worst first, of equals the oldest first."""
    standing = [alert for alert in alerts if alert.get("state") not in _CLOSED_STATES]
    return sorted(standing, key=lambda alert: (alert.get("alert_level") != "critical", str(alert.get("since"))))


def reported(alerts: list[Answer], now_ms: int) -> list[list[Answer]]:
    """Gather by type what the device itself reported within a day, which has no end; the worst and newest first.

    now_ms : [ms since 1970, UTC]. Of each type the newest first.
    """
    by_type: dict[str, list[Answer]] = {}
    for alert in sorted(alerts, key=lambda alert: instant(alert["time"]), reverse=True):
        if alert.get("state") == "noted" and now_ms - instant(alert["time"]) <= REPORTED_FOR_MS:
            by_type.setdefault(str(alert["alert_type"]), []).append(alert)
    return sorted(by_type.values(), key=lambda found: found[0].get("alert_level") != "critical")


def bound_of(status: Answer, alert_type: str) -> tuple[str, str, Answer] | None:
    """Find what an alert type judges: (quantity, "low" or "high", bound of the API); None if no limit of ours."""
    for field, sides in status.get("limits", {}).items():
        for side, bound in sides.items():
            if bound.get("alert_type") == alert_type and field in BY_NAME:
                return field, side, bound
    return None


def site_zone(status: Answer) -> ZoneInfo:
    """Give the site's time zone; UTC where its metadata name none."""
    return zone_of(status.get("metadata", {}).get("timezone"))


def is_simulated(status: Answer) -> bool:
    """Tell whether the device says that it is none."""
    return str(status.get("attributes", {}).get("simulated", "")).lower() in {"true", "1"}
