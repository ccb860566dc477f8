"""sentence: the first line of the page; it answers "is it well now?", and all below is its evidence."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from markupsafe import Markup

from flows.model.quantities import BY_NAME
from panel_app.components.device import (
    Activity,
    Answer,
    activity,
    bound_of,
    current,
    flag,
    is_recording,
    is_stale,
    last_seen,
    measured_ms,
    open_alerts,
    reported,
    silent_ms,
    site_zone,
    value,
)
from panel_app.components.render import render
from panel_app.components.short_cycling import short_cycling
from panel_app.words import age, clock, instant, lasting, limit, number, said, shortened, when

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
    cycles : of the last hour, answer of /episodes.
    """

    status: Answer
    alerts: list[Answer] | None
    now_ms: int
    cop: Cop | None = None
    since: Mapping[str, int] = {}
    cycles: Sequence[Answer] = ()

    @property
    def current(self) -> Answer:
        """The status with what it says of now alone."""
        return current(self.status, self.now_ms)


class Judgement(msgspec.Struct, frozen=True):
    """The sentence.

    lead  : the level in words, "" where there is none to say. rest: the evidence.
    state : what is said aloud when it changes.
    """

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
_HEATS = ("compressor_running", "power")
_TEMPERATURES = ("temp_outlet", "temp_inlet")
_BACKUP_W = 50.0
"""From this on a backup heater that does not say so itself is on. [W]"""

_LAST_WILL_MS = 120_000
"""Offline with a reading younger than this: the device said goodbye, or its broker did."""

_IN_WORDS = {"temp_compressor": "discharge temperature", "power": "power", "temp_inlet": "return water"}


def sentence(facts: Facts) -> Markup:
    """Write the first line; a screen reader says its state when that changes, not its numbers."""
    return render("sentence", said=judge(facts))


def judge(facts: Facts) -> Judgement:
    """Decide: the first that holds of cannot tell, needs you, worth a look, all well."""
    if is_recording(facts.status):
        return _recording(facts)
    if is_stale(facts.status, facts.now_ms):
        return _cannot_tell(facts)
    standing = open_alerts(facts.alerts or [])
    if not standing:
        return _reported(facts) or _short_cycling(facts) or _well(facts)
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
    parts = [_doing(facts), _backup(facts), _cop(facts, " over the last 30 min")]
    parts.append("no open alert" if facts.alerts is not None else "alerts not known yet")
    parts.append(_heard(facts))
    rest = ", ".join(part for part in parts if part) + "."
    doing = activity(facts.current)
    if doing == "unknown" and activity(facts.status) != "unknown":
        return Judgement("cannot-tell", "Cannot tell", rest, "Cannot tell: no heating values.")
    state = _DOING.get(doing) or {"defrost": "defrosting", "unknown": ""}.get(doing, "resting")
    return Judgement(
        "well",
        "All well",
        rest,
        f"All well: {state or 'no open alert'}.",
    )


def _reported(facts: Facts) -> Judgement | None:
    """Say what the device itself reported; whether it is over nobody knows, so it is worth a look, no more."""
    found = reported(facts.alerts or [], facts.now_ms)
    if not found:
        return None
    newest, others = found[0][0], len(found) - 1
    ago = lasting(max(facts.now_ms - instant(newest["time"]), 0))
    level, what = newest["alert_level"], str(newest["alert_type"]).removeprefix("device_").replace("_", " ")
    also = f", and {others} other thing{'s' if others > 1 else ''}" if others else ""
    still = f"{_still(facts)}, " if _still(facts) else ""
    return Judgement(
        "warning",
        "Worth a look",
        f"the device reported {what}, {level}, {ago} ago{also}; {still}{_heard(facts)}.",
        f"Worth a look: the device reported {what}, {level}{also}.",
    )


def _short_cycling(facts: Facts) -> Judgement | None:
    """Say that it starts too often, which no alert tells."""
    runs = bool(flag(facts.current, "compressor_running"))
    found = short_cycling(facts.cycles, facts.now_ms, facts.since.get("compressor_running") if runs else None)
    if found is None:
        return None
    run = "" if found.run_ms is None else f", median run {lasting(found.run_ms)}"
    doing = _still(facts)
    return Judgement(
        "warning",
        "Worth a look",
        f"{found.starts} starts in the last hour{run}; {f'{doing}, ' if doing else ''}{_heard(facts)}.",
        "Worth a look: short cycling.",
    )


def _recording(facts: Facts) -> Judgement:
    """Say of imported history what it is: nothing of it is late or silent."""
    newest = last_seen(facts.status) or 0
    until = when(newest, facts.now_ms, site_zone(facts.status))
    return Judgement(
        "cannot-tell",
        "",
        f"{facts.status['device_id']} holds history up to {until}; nothing is live.",
        "It holds history; nothing is live.",
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
    then_known = current(facts.status, facts.now_ms - silent)
    doing = activity(then_known)
    was = _DOING.get(doing) or {"defrost": "defrosting", "unknown": ""}.get(doing, "resting")
    outlet = value(then_known, "temp_outlet")
    if was and outlet is not None and was != "resting":
        was += f" at {said('temp_outlet', outlet)} flow"
    alerts = _others(facts)
    then = " ".join(part for part in (f"it was {was}" if was else "", f"with {alerts}" if alerts else "") if part)
    if not was and alerts:
        then = f"it had {alerts}"
    return Judgement(
        "cannot-tell",
        "Cannot tell",
        f"{quiet}; {then}." if then else f"{quiet}.",
        "Cannot tell: no recent reading.",
    )


def _others(facts: Facts) -> str:
    """Count the open alerts beside that of its silence, which the sentence says already."""
    if facts.alerts is None:
        return ""
    standing = open_alerts(facts.alerts)
    others = sum(alert.get("alert_type") != "device_offline" for alert in standing)
    if others == len(standing):
        return f"{others or 'no'} open alert{'s' if others > 1 else ''}"
    return f"{others} other open alert{'s' if others > 1 else ''}" if others else ""


def _doing(facts: Facts) -> str:
    """Say what it does with the temperatures that belong to it, as far as they are known."""
    doing = activity(facts.current)
    outlet, inlet = _said(facts, "temp_outlet"), _said(facts, "temp_inlet")
    if doing == "unknown":
        known = [f"{_name(field)} {_said(facts, field)}" for field in _PLAINEST if _said(facts, field)]
        missing = _missing(facts, _HEATS)
        return ", ".join([*([f"no heating values for {missing}"] if missing else []), *known[:2]])
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
    if temperatures:
        return f"{_DOING[doing]} at {temperatures}"
    missing = _missing(facts, _TEMPERATURES)
    return f"{_DOING[doing]}{from_when}" + (f", no temperatures for {missing}" if missing else "")


def _missing(facts: Facts, fields: Sequence[str]) -> str:
    """Say how long none of some fields has come; "" where one is current, or none ever came."""
    measured = [at for field in fields if (at := measured_ms(facts.status, field)) is not None]
    if not measured or any(facts.current.get(field) is not None for field in fields):
        return ""
    return lasting(facts.now_ms - max(measured))


def _backup(facts: Facts) -> str:
    """Name a backup heater that runs: it costs several times what the machine does."""
    power = value(facts.current, "backup_power")
    is_on = flag(facts.current, "backup_active") or (power is not None and power >= _BACKUP_W)
    if not is_on:
        return ""
    return "backup heater on" + (f" at {said('backup_power', power)}" if power else "")


def _still(facts: Facts) -> str:
    doing = activity(facts.current)
    if doing == "unknown":
        return _backup(facts)
    word = _DOING.get(doing) or ("defrosting" if doing == "defrost" else "resting")
    outlet = _said(facts, "temp_outlet")
    flow = f"flow {outlet}" if outlet else ""
    parts = [f"{'still ' if doing in _DOING else ''}{word}", flow, _backup(facts), _cop(facts, "")]
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
    measured, at_change = value(facts.current, field), alert.get("value")
    beyond = measured is not None and (measured <= threshold if side == "low" else measured >= threshold)
    if measured is None and at_change is None:
        return f"{_message(alert)}, {lasts}"
    is_now = f"is {said(field, measured)}" if beyond or at_change is None else f"was {said(field, at_change)}"
    return f"{_name(field)} {is_now}, {alert['alert_level']} from {limit(field, threshold)}{down}, {lasts}"


def _message(alert: Answer) -> str:
    return shortened(str(alert.get("message") or alert.get("alert_type")).rstrip(". "))


def _cop(facts: Facts, span: str) -> str:
    if facts.cop is None or any(_missing(facts, [field]) for field in ("power", "temp_outlet")):
        return ""
    if facts.cop.origin == "estimated":
        return f"COP ≈\u00a0{number(facts.cop.value, 1)} estimated{span}"
    return f"COP {number(facts.cop.value, 1)} {_FROM[facts.cop.origin]}{span}"


_FROM: dict[Origin, str] = {"measured": "measured", "counter": "from its counters"}


def _heard(facts: Facts) -> str:
    return f"last reading {age(silent_ms(facts.status, facts.now_ms) or 0)} ago"


def _said(facts: Facts, field: str) -> str:
    found = value(facts.current, field)
    return "" if found is None else said(field, found)


def _name(field: str) -> str:
    return _IN_WORDS.get(field) or BY_NAME[field].label.lower()
