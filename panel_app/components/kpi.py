"""kpi: COP, electricity, heat and starts of today so far, beside the same hours of the week before."""

from collections.abc import Mapping
from statistics import median
from typing import Any, Literal

import msgspec
from markupsafe import Markup

from panel_app.components.device import RUNS, Answer, activity, current, is_simulated, measured_ms
from panel_app.components.kpi_requests import Comparison
from panel_app.components.kpi_sums import ENOUGH, Sums, sums_of
from panel_app.components.render import render
from panel_app.words import adding, clock, day, instant, lasting, number, percent, said, signed, with_unit

ALIKE = 0.05
"""Totals are compared where the coverages differ by no more than this. [0 … 1]"""

_TIMES = 10.0
"""From so many times as much on, both figures say it: a percentage of next to nothing has thousands."""

_PARTS = {
    "space": "space",
    "dhw": "hot water",
    "defrost": "defrost",
    "cooling": "cooling",
    "standby": "standby",
    "unknown": "unknown",
}

_WITHOUT_BACKUP = ("", "H1", "H2")
"""Boundaries whose electricity leaves the backup heater out; so does one that nobody told."""

_DOT = "\u00a0· "
"""Between parts: a line may end with it, but none begins with it."""


class Card(msgspec.Struct, frozen=True):
    """One figure. state little: too little data, `below` says what is missing. Texts are "" where not known."""

    name: str
    title: str
    state: Literal["value", "little", "loading"]
    figure: str = ""
    unit: str = ""
    then: str = ""
    difference: str = ""
    below: str = ""
    origin: str = ""
    boundary: str = ""


class Missing(msgspec.Struct, frozen=True):
    """Why nothing is known of a span of which no share is covered: of anything, and of the electricity."""

    readings: str = "no readings today"
    power: str = "no power readings today"


_TITLES = {"cop": "COP", "electricity": "Electricity", "heat": "Heat", "starts": "Compressor starts"}


def kpi_cards(status: Answer, hours: Comparison, answers: Mapping[str, Any] | None) -> Markup:
    """Draw the four cards.

    status  : answer of /api/devices/{id}/status, for the boundary, η and whether the device is simulated.
    hours   : kpi_requests.comparison; answers: by key of its requests, None while they are asked for.
    """
    boundary = str(status.get("metadata", {}).get("spf_boundary") or "")
    heading = {
        "until": clock(hours.today.end, hours.zone),
        "then_day": day(hours.then.end if hours.of_recording else hours.then.start, hours.zone),
        "simulated": is_simulated(status),
        "of_recording": hours.of_recording,
    }
    if answers is None:
        loading = [Card(name, title, "loading") for name, title in _TITLES.items()]
        return render("kpi", cards=loading, outdoor="", coverage="", note="", **heading)
    cycles, runs = answers.get("cycles") or [], activity(current(status, hours.today.end)) in RUNS
    today = sums_of(_answers(answers, "today"), hours.today, cycles, runs)
    then = sums_of(_answers(answers, "then"), hours.then, answers.get("cycles_then") or [])
    return render(
        "kpi",
        cards=cards(today, then, boundary, cycles, _missing(status, hours)),
        outdoor=_outdoor(today, then),
        coverage=f"coverage {percent(today.coverage)}, then {percent(then.coverage)}",
        note=_note(today, status),
        **heading,
    )


def cards(
    today: Sums, then: Sums, boundary: str, cycles: list[Answer], missing: Missing | None = None
) -> list[Card]:
    """Say what the cards show."""
    missing = missing or Missing()
    return [
        _cop(today, then, boundary, missing),
        _electricity(today, then, boundary, missing),
        _heat(today, then, missing),
        _starts(today, then, cycles, missing),
    ]


def _missing(status: Answer, hours: Comparison) -> Missing:
    """Say what is true of a span without figures: the first readings give none yet."""
    which = "that day" if hours.of_recording else "today"
    yet = "too few readings yet"
    heard = any(instant(text) >= hours.today.start for text in status.get("measured_at", {}).values())
    measured = [at for field in ("power", "electric_energy") if (at := measured_ms(status, field)) is not None]
    if measured and max(measured) >= hours.today.start:
        power = yet
    elif heard and not measured:
        power = "the device does not send its power"
    else:
        power = f"no power readings {which}"
    return Missing(yet if heard else f"no readings {which}", power)


def _answers(answers: Mapping[str, Any], which: str) -> list[Answer]:
    return [answer for key, answer in answers.items() if key.startswith(f"{which}-") and answer]


def _cop(today: Sums, then: Sums, boundary: str, missing: Missing) -> Card:
    value = today.cop()
    if not _heat_is_known(today) or value is None:
        return Card("cop", _TITLES["cop"], "little", below=_missing_heat(today, missing), boundary=boundary)
    estimated = today.heat_source == "estimated"
    decimals = 1 if estimated else 2
    before = then.cop() if _heat_is_known(then) else None
    # What the water gives after the compressor stopped is standby's heat, though the run before paid for it.
    standby = ("standby",) if today.heat.get("standby") else ()
    name = "space with defrost and standby" if standby else "space with defrost"
    space, dhw = today.cop("space", "defrost", *standby), today.cop("dhw")
    parts = [
        f"{name}\u00a0{_about(space, estimated, decimals)}" if space is not None else "",
        f"hot water\u00a0{_about(dhw, estimated, decimals)}" if dhw is not None else "",
        "without cooling" if today.electric.get("cooling") else "",
    ]
    return Card(
        "cop",
        _TITLES["cop"],
        "value",
        figure=_about(value, estimated, decimals),
        then="" if before is None else _about(before, then.heat_source == "estimated", decimals),
        difference=""
        if before is None or today.heat_source != then.heat_source
        else signed(round(value, decimals) - round(before, decimals), decimals),
        below=_DOT.join(part for part in parts if part),
        origin=today.heat_source or "",
        boundary=boundary,
    )


def _electricity(today: Sums, then: Sums, boundary: str, missing: Missing) -> Card:
    if today.electric_coverage < ENOUGH:
        below = _covered("electricity", today.electric_coverage, missing.power)
        return Card("electricity", _TITLES["electricity"], "little", below=below)
    before = then.electric if then.electric_coverage >= ENOUGH else None
    alike = abs(today.electric_coverage - then.electric_coverage) <= ALIKE
    backup = "" if boundary not in _WITHOUT_BACKUP else _backup(today.backup)
    return _energy("electricity", today.electric, before, alike, besides=backup)


def _backup(kwh: float | None) -> str:
    """Name what the backup heater used, unless it would read as nothing."""
    if kwh is None or kwh < 0.005:
        return ""
    return f"backup heater\u00a0{with_unit(number(kwh, 1 if kwh >= 10 else 2), 'kWh')} besides"


def _heat(today: Sums, then: Sums, missing: Missing) -> Card:
    if not _heat_is_known(today):
        return Card("heat", _TITLES["heat"], "little", below=_missing_heat(today, missing))
    before = then.heat if _heat_is_known(then) else None
    alike = abs(today.coverage - then.coverage) <= ALIKE and today.heat_source == then.heat_source
    return _energy("heat", today.heat, before, alike, today.heat_source or "")


def _energy(
    name: str,
    modes: dict[str, float],
    before: dict[str, float] | None,
    alike: bool,
    origin: str = "",
    besides: str = "",
) -> Card:
    """Make a card of energies; its parts add up to its figure as they are shown, without what is `besides`."""
    counted = [mode for mode in _PARTS if not (name == "heat" and mode == "cooling")]
    chosen = [mode for mode in counted if mode in modes]
    total = sum(modes[mode] for mode in chosen)
    decimals = 1 if abs(total) >= 10 else 2
    parts = adding([modes[mode] for mode in chosen], decimals)
    figure = round(sum(parts), decimals)
    words = [f"{_PARTS[mode]}\u00a0{number(part, decimals)}" for mode, part in zip(chosen, parts, strict=True)]
    if name == "heat" and "cooling" in modes:
        words.append(f"cooling\u00a0{number(modes['cooling'], decimals)} apart")
    if besides:
        words.append(besides)
    estimated = origin == "estimated"
    earlier = None
    if before is not None:
        earlier = round(
            sum(kwh for mode, kwh in before.items() if not (name == "heat" and mode == "cooling")), decimals
        )
    difference = ""
    if earlier is not None and earlier > 0 and alike and figure < _TIMES * earlier:
        difference = with_unit(signed(100 * (figure / earlier - 1)), "%")
    return Card(
        name,
        _TITLES[name],
        "value",
        figure=_about(figure, estimated, decimals),
        unit="kWh",
        then="" if earlier is None else _about(earlier, estimated, decimals),
        difference=difference,
        below=_DOT.join(words),
        origin=origin,
    )


def _starts(today: Sums, then: Sums, cycles: list[Answer], missing: Missing) -> Card:
    if today.starts is None or today.coverage < ENOUGH:
        none = "the device sends neither its compressor's state nor its power"
        below = (
            _covered("", today.coverage, missing.readings)
            if today.coverage < ENOUGH
            else _covered("running", today.run_coverage, none)
        )
        return Card("starts", _TITLES["starts"], "little", below=below)
    runs = [c["seconds"] for c in cycles if c.get("begun_by") == "edge" and c.get("ended_by") == "edge"]
    parts = [
        "by its power" if today.starts_by_power else "",
        f"median run {lasting(median(runs) * 1_000)}" if runs else "",
        f"{today.defrosts} defrost{'s' if today.defrosts != 1 else ''}" if today.defrosts else "",
    ]
    before = then.starts if then.coverage >= ENOUGH else None
    alike = abs(today.coverage - then.coverage) <= ALIKE
    return Card(
        "starts",
        _TITLES["starts"],
        "value",
        figure=number(today.starts),
        then="" if before is None else number(before),
        difference=signed(today.starts - before) if before is not None and alike else "",
        below=_DOT.join(part for part in parts if part),
    )


def _heat_is_known(sums: Sums) -> bool:
    return sums.heat_source is not None and sums.coverage >= ENOUGH and sums.heat_share >= ENOUGH


def _missing_heat(sums: Sums, missing: Missing) -> str:
    if sums.coverage < ENOUGH:
        return _covered("", sums.coverage, missing.readings)
    if sums.electric and not any(mode in sums.electric for mode in ("space", "dhw", "defrost")):
        return "no heat given yet"
    if sums.heat_source is None:
        return "heat not known: no flow rate, no counter"
    if sums.heat_share < ENOUGH:
        return f"heat known for {percent(sums.heat_share)} of the electricity"
    return "too little electricity for a COP"


def _covered(what: str, share: float, none: str) -> str:
    if not share:
        return none
    return (
        f"{percent(share)} of the span covered" if not what else f"{what} known for {percent(share)} of the span"
    )


def _about(value: float, estimated: bool, decimals: int) -> str:
    return f"≈\u00a0{number(value, decimals)}" if estimated else number(value, decimals)


def _outdoor(today: Sums, then: Sums) -> str:
    if today.ambient is None:
        return ""
    earlier = "" if then.ambient is None else f", then {said('temp_ambient', then.ambient)}"
    return f"mean outdoor {said('temp_ambient', today.ambient)}{earlier}"


def _note(today: Sums, status: Answer) -> str:
    if today.heat_source != "estimated":
        return ""
    share = status.get("metadata", {}).get("carnot_fraction")
    known = f", η {number(share, 2)}" if isinstance(share, int | float) else ""
    return (
        f"Estimated: heat = electricity × η × Carnot{known}. Until η is calibrated for this device it may read"
        f" {with_unit('40', '%')} wrong."
    )
