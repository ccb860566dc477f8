"""now: every field the device ever sent, with its age, its limits and how far it is to be believed."""

from collections.abc import Collection, Mapping
from typing import Literal

import msgspec
from markupsafe import Markup

from flows.model.quantities import BY_NAME, FLAG_NAMES
from panel_app.components.device import (
    HOLD_MS,
    RESTS,
    Answer,
    activity,
    current,
    flag,
    is_recording,
    is_stale,
    measured_ms,
    open_alerts,
    sent_fields,
    value,
)
from panel_app.components.now_fields import GROUPS, MOST_READ, SET_POINTS
from panel_app.components.render import render
from panel_app.components.scale import Scale, scale_of
from panel_app.words import age, unit_of, value_of

State = Literal["ok", "warning", "critical", "stale", "untrusted"]


class Cell(msgspec.Struct, frozen=True):
    """One field. text: its value; age: "" where not known; since: of a flag, how long it has been so.

    order : its place among the most read on a phone, 0 where it is not among them.
    """

    field: str
    label: str
    title: str
    text: str
    unit: str
    age: str
    state: State
    colour: str
    is_flag: bool = False
    on: bool = False
    since: str = ""
    scale: Scale | None = None
    order: int = 0


class Group(msgspec.Struct, frozen=True):
    """Cells that belong together."""

    name: str
    cells: list[Cell]


def now(
    status: Answer,
    alerts: list[Answer],
    now_ms: int,
    since: Mapping[str, int] | None = None,
    untrusted: Collection[str] = (),
) -> Markup:
    """Draw the strip.

    status    : answer of /api/devices/{id}/status.
    alerts    : answer of /api/alerts of this device; an open one colours its field.
    now_ms    : [ms since 1970, UTC].
    since     : by flag, from when on it is as it is (flags.flags_since). [ms since 1970, UTC]
    untrusted : fields that the newest message calls not valid.
    """
    groups = now_groups(status, alerts, now_ms, since or {}, untrusted)
    cells = [cell for group in groups for cell in group.cells]
    more = any(not cell.is_flag and not cell.order for cell in cells)
    return render("now", groups=groups, fields=len(cells), more=more, of_recording=is_recording(status))


def now_groups(
    status: Answer,
    alerts: list[Answer],
    now_ms: int,
    since: Mapping[str, int],
    untrusted: Collection[str],
) -> list[Group]:
    """Say what the strip shows."""
    sent = sent_fields(status)
    levels = _levels(status, alerts)
    most_read = _most_read(sent)
    stale = is_stale(status, now_ms)
    refrigerant = str(status.get("metadata", {}).get("refrigerant") or "")
    groups = []
    for name, labels in GROUPS:
        cells = []
        for field, label in labels.items():
            if field in sent:
                measured = measured_ms(status, field)
                state = _state(field, levels, untrusted, stale, None if measured is None else now_ms - measured)
                cells.append(_cell(status, field, label, state, now_ms, since, most_read))
        if cells:
            groups.append(
                Group(f"{name} · {refrigerant}" if name == "Refrigerant" and refrigerant else name, cells)
            )
    return groups


def _cell(
    status: Answer,
    field: str,
    label: str,
    state: State,
    now_ms: int,
    since: Mapping[str, int],
    most_read: dict[str, int],
) -> Cell:
    quantity = BY_NAME[field]
    measured = measured_ms(status, field)
    old = "" if measured is None else age(now_ms - measured)
    if field in FLAG_NAMES:
        on = bool(flag(status, field))
        became = since.get(field)
        lasts = "" if became is None or state == "stale" else age(now_ms - became)
        text = "untrusted" if state == "untrusted" else ("on" if on else "off")
        return Cell(field, label, quantity.label, text, "", old, state, quantity.colour, True, on, lasts)
    held = value(status, field)
    believed = state != "untrusted"
    if field == "carnot_cop" and activity(current(status, measured or now_ms)) in RESTS:
        return Cell(field, label, quantity.label, "–", "", old, state, quantity.colour)  # of a machine at work
    return Cell(
        field=field,
        label=label,
        title=quantity.label,
        text=value_of(field, held) if believed else "untrusted",
        unit=unit_of(field) if believed else "",
        age=old,
        state=state,
        colour=quantity.colour,
        scale=scale_of(field, held, status.get("limits", {}).get(field, {})) if believed else None,
        order=most_read.get(field, 0),
    )


def _state(
    field: str, levels: dict[str, State], untrusted: Collection[str], stale: bool, age_ms: int | None
) -> State:
    """Decide how a field is shown. A set point stays as it was set; any other value is held 900 s."""
    if field in untrusted:
        return "untrusted"
    if stale or (age_ms is not None and age_ms > HOLD_MS and field not in SET_POINTS):
        return "stale"
    return levels.get(field, "ok")


def _levels(status: Answer, alerts: list[Answer]) -> dict[str, State]:
    """Give the level of the open alert that judges each field: what a limit means when is the rule's matter."""
    levels = {str(alert["alert_type"]): str(alert["alert_level"]) for alert in reversed(open_alerts(alerts))}
    found: dict[str, State] = {}
    for field, sides in status.get("limits", {}).items():
        reached = {levels.get(str(bound["alert_type"])) for bound in sides.values()}
        if "critical" in reached:
            found[field] = "critical"
        elif "warning" in reached:
            found[field] = "warning"
    return found


def _most_read(sent: list[str]) -> dict[str, int]:
    shown = [field for _, labels in GROUPS for field in labels if field in sent and field not in FLAG_NAMES]
    first = [field for field in MOST_READ if field in shown]
    rest = [field for field in shown if field not in first]
    chosen = (first + rest)[: len(MOST_READ)]
    return {field: place for place, field in enumerate(chosen, start=1)}
