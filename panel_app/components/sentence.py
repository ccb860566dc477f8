"""sentence: the first line of the page; it answers "is it well now?", and all below is its evidence."""

from collections.abc import Mapping
from typing import Literal

import msgspec
from markupsafe import Markup

from flows.model.quantities import BY_NAME
from panel_app.components.device import (
    Activity,
    Answer,
    activity,
    bound_of,
    is_stale,
    open_alerts,
    silent_ms,
    site_zone,
    value,
)
from panel_app.components.render import render
from panel_app.words import age, clock, instant, lasting, limit, number, said, shortened

Level = Literal["well", "warning", "critical", "cannot-tell"]
Origin = Literal["measured", "counter", "estimated"]


class Cop(msgspec.Struct, frozen=True):
    """Heat over electricity of the last 30 min; origin: where the heat is known from."""

    value: float
    origin: Origin


class Facts(msgspec.Struct, frozen=True):
    """What the sentence is made of.

    status : answer of /api/devices/{id}/status, with newer values of the live feed where there are any.
    alerts : answer of /api/alerts of this device, or None while it is not known.
    now_ms : [ms since 1970, UTC].
    cop    : of the last 30 min (kpi_sums.cop_of), None where it is not known.
    since  : by flag, from when on it is as it is (flags.flags_since). [ms since 1970, UTC]
    """

    status: Answer
    alerts: list[Answer] | None
    now_ms: int
    cop: Cop | None = None
    since: Mapping[str, int] = {}


class Judgement(msgspec.Struct, frozen=True):
    """The sentence: lead says the level in words, rest the evidence; state: what is said aloud when it changes."""

    level: Level
    lead: str
    rest: str
    state: str


_DOING: dict[Activity, str] = {"heating": "heating", "hot water": "heating hot water", "cooling": "cooling"}
_FLAG_OF: dict[Activity, str] = {
    "off": "compressor_running",
    "standby": "compressor_running",
    "defrost": "defrost_active",
    "hot water": "dhw_active",
}
_PLAINEST = ("temp_outlet", "temp_inlet", "temp_ambient", "temp_indoor", "power", "voltage")
_LAST_WILL_MS = 120_000
"""Offline with a reading younger than this: the device said goodbye, or its broker did."""

_IN_WORDS = {"temp_compressor": "discharge temperature", "power": "power", "temp_inlet": "return water"}


def sentence(facts: Facts) -> Markup:
    """Write the first line; a screen reader says its state when that changes, not its numbers."""
    return render("sentence", said=judge(facts))


def judge(facts: Facts) -> Judgement:
    """Decide: the first that holds of cannot tell, needs you, worth a look, all well."""
    if is_stale(facts.status, facts.now_ms):
        return _cannot_tell(facts)
    standing = open_alerts(facts.alerts or [])
    if not standing:
        return _well(facts)
    worst = standing[0]
    level: Level = "critical" if worst.get("alert_level") == "critical" else "warning"
    lead = "Needs you" if level == "critical" else "Worth a look"
    still = f"; {_still(facts)}" if _still(facts) else ""
    trouble = _trouble(facts, worst)
    others = len(standing) - 1
    also = f", and {others} more open alert{'s' if others > 1 else ''}" if others else ""
    return Judgement(
        level,
        lead,
        f"{trouble}{also}{still}, {_heard(facts)}.",
        f"{lead}: {str(worst.get('alert_type')).replace('_', ' ')} {level}{also}.",
    )


def _well(facts: Facts) -> Judgement:
    parts = [_doing(facts), _cop(facts, " over the last 30 min")]
    parts.append("no open alert" if facts.alerts is not None else "alerts not known yet")
    parts.append(_heard(facts))
    doing = activity(facts.status)
    state = _DOING.get(doing) or {"defrost": "defrosting", "unknown": ""}.get(doing, "resting")
    return Judgement(
        "well",
        "All well",
        ", ".join(part for part in parts if part) + ".",
        f"All well: {state or 'no open alert'}.",
    )


def _cannot_tell(facts: Facts) -> Judgement:
    silent = silent_ms(facts.status, facts.now_ms)
    if silent is None:
        return Judgement(
            "cannot-tell", "Cannot tell", "it has not sent a reading yet.", "Cannot tell: no reading yet."
        )
    quiet = (
        f"no reading for {lasting(silent)}"
        if facts.status.get("is_online") or silent > _LAST_WILL_MS
        else f"the device went offline, its last reading was {age(silent)} ago"
    )
    doing = activity(facts.status)
    was = _DOING.get(doing) or {"defrost": "defrosting", "unknown": ""}.get(doing, "resting")
    outlet = value(facts.status, "temp_outlet")
    if was and outlet is not None and was != "resting":
        was += f" at {said('temp_outlet', outlet)} flow"
    others = [alert for alert in open_alerts(facts.alerts or []) if alert.get("alert_type") != "device_offline"]
    alerts = "" if facts.alerts is None else f"with {_count(len(others))}"
    then = " ".join(part for part in (f"it was {was}" if was else "", alerts) if part)
    if not was and alerts:
        then = f"it had {_count(len(others))}"
    return Judgement(
        "cannot-tell",
        "Cannot tell",
        f"{quiet}; {then}." if then else f"{quiet}.",
        "Cannot tell: no recent reading.",
    )


def _count(alerts: int) -> str:
    return f"{alerts or 'no'} open alert{'s' if alerts > 1 else ''}"


def _doing(facts: Facts) -> str:
    """Say what it does with the temperatures that belong to it, as far as they are known."""
    doing = activity(facts.status)
    outlet, inlet = _said(facts, "temp_outlet"), _said(facts, "temp_inlet")
    if doing == "unknown":
        known = [f"{_name(field)} {_said(facts, field)}" for field in _PLAINEST if _said(facts, field)]
        return ", ".join(known[:2])
    since = facts.since.get(_FLAG_OF.get(doing, ""))
    from_when = f" since {clock(since, site_zone(facts.status))}" if since is not None else ""
    if since is not None and facts.now_ms - since >= 86_400_000:
        from_when = f" for {lasting(facts.now_ms - since)}"
    if doing in ("off", "standby"):
        outdoor = _said(facts, "temp_ambient")
        return f"resting{from_when}" + (f", outdoor {outdoor}" if outdoor else "")
    if doing == "defrost":
        return f"defrosting{from_when}" + (f", flow {outlet}" if outlet else "")
    tank = _said(facts, "temp_dhw") if doing == "hot water" else ""
    temperatures = " and ".join(
        part
        for part in (
            f"{outlet} flow" if outlet else "",
            f"{inlet} return" if inlet else "",
            f"{tank} tank" if tank else "",
        )
        if part
    )
    return f"{_DOING[doing]} at {temperatures}" if temperatures else f"{_DOING[doing]}{from_when}"


def _still(facts: Facts) -> str:
    doing = activity(facts.status)
    if doing == "unknown":
        return ""
    word = _DOING.get(doing) or ("defrosting" if doing == "defrost" else "resting")
    outlet = _said(facts, "temp_outlet")
    parts = [f"{'still ' if doing in _DOING else ''}{word}", f"flow {outlet}" if outlet else "", _cop(facts, "")]
    return ", ".join(part for part in parts if part)


def _trouble(facts: Facts, alert: Answer) -> str:
    """Say an alert: what is measured, from where on that is too much, and for how long."""
    found = bound_of(facts.status, str(alert.get("alert_type")))
    lasts = f"for {lasting(max(facts.now_ms - instant(alert['since']), 0))}"
    threshold = found[2].get(str(alert.get("alert_level"))) if found else None
    if found is None or threshold is None:
        return f"{_message(alert)}, {lasts}"
    field, side, _ = found
    down = " down" if side == "low" else ""
    measured, at_change = value(facts.status, field), alert.get("value")
    beyond = measured is not None and (measured <= threshold if side == "low" else measured >= threshold)
    is_now = f"is {said(field, measured)}" if beyond or at_change is None else f"was {said(field, at_change)}"
    return f"{_name(field)} {is_now}, {alert['alert_level']} from {limit(field, threshold)}{down}, {lasts}"


def _message(alert: Answer) -> str:
    return shortened(str(alert.get("message") or alert.get("alert_type")).rstrip(". "))


def _cop(facts: Facts, span: str) -> str:
    if facts.cop is None:
        return ""
    if facts.cop.origin == "estimated":
        return f"COP ≈\u00a0{number(facts.cop.value, 1)} estimated{span}"
    return f"COP {number(facts.cop.value, 1)} {_FROM[facts.cop.origin]}{span}"


_FROM: dict[Origin, str] = {"measured": "measured", "counter": "from its counters"}


def _heard(facts: Facts) -> str:
    return f"last reading {age(silent_ms(facts.status, facts.now_ms) or 0)} ago"


def _said(facts: Facts, field: str) -> str:
    found = value(facts.status, field)
    return "" if found is None else said(field, found)


def _name(field: str) -> str:
    return _IN_WORDS.get(field) or BY_NAME[field].label.lower()
