"""Episodes by docs/reference/episodes.md: every piece of time is asked afresh whether the machine is on."""

from itertools import pairwise
from math import fsum, isclose
from typing import NamedTuple

from tests.oracle.readings import Samples, Values
from tests.oracle.rollups import HOLD, LEAST_CERTAIN_FIRST, ORDINARY, History, Piece, Site, pieces

DAY = 86_400_000
KINDS = ("cycle", "defrost", "dhw_run")


class Episode(NamedTuple):
    """One episode [start, end). [ms since 1970, UTC]"""

    kind: str
    start: int
    end: int
    begun_by: str
    ended_by: str
    values: dict[str, float]
    heat_source: str


def episodes(samples: Samples, sites: tuple[Site, ...] = ORDINARY) -> list[Episode]:
    """All that ended, by kind and start."""
    history = History(samples)
    if not history.times:
        return []
    parts = list(pieces(history, sites))
    found = [
        Episode("gap", left, right, "edge", "edge", {}, "")
        for left, right in pairwise(history.times)
        if right - left > HOLD
    ]
    for kind in KINDS:
        found += _episodes(history, parts, kind)
    return sorted(found)


def is_on(held: Values, kind: str) -> bool | None:
    """Whether a machine with these values does it; None where nothing says."""
    if kind == "defrost":
        return held.get("defrost_active")
    if kind == "dhw_run":
        return held.get("dhw_active")
    if "compressor_running" in held:
        return held["compressor_running"]
    return held["power"] >= 150 if "power" in held else None


def _episodes(history: History, parts: list[Piece], kind: str) -> list[Episode]:
    found: list[Episode] = []
    newest = history.times[-1]
    run: list[Piece] = []
    begun = "gap"
    for place, part in enumerate(parts):
        before = parts[place - 1] if place and parts[place - 1].end == part.start else None
        if is_on(part.held, kind) and not run:
            begun = "edge" if before and is_on(before.held, kind) is False else "gap"
        if is_on(part.held, kind):
            run.append(part)
            after = parts[place + 1] if place + 1 < len(parts) and parts[place + 1].start == part.end else None
            held = after.held if after else history.held(part.end) if part.end == newest else {}
            if is_on(held, kind):
                continue
            found += _cut(history, kind, run, begun, "edge" if is_on(held, kind) is False else "gap")
            run = []
    if run:  # still on: only its days
        found += _cut(history, kind, run, begun, "open")
    return found


def _cut(history: History, kind: str, run: list[Piece], begun: str, ended: str) -> list[Episode]:
    """At midnights that have a whole day of the run before them."""
    first, last = run[0].start, run[-1].end
    cuts = [day for day in range(first - first % DAY, last + DAY, DAY) if day - DAY >= first and day < last]
    if ended == "open" and last % DAY == 0 and last - DAY >= first:
        cuts.append(last)
    found = []
    for start, end in pairwise([first, *cuts, last]):
        if start == end or (end == last and end not in cuts and ended == "open"):
            continue
        inside = [part for part in run if start <= part.start < end]
        how = (begun if start == first else "midnight", "midnight" if end in cuts else ended)
        found.append(_episode(history, kind, start, end, how, inside))
    return found


def _episode(
    history: History, kind: str, start: int, end: int, how: tuple[str, str], inside: list[Piece]
) -> Episode:
    values: dict[str, float] = {}
    if any("power" in part.held or _counts(history, part) for part in inside):
        values["electric_kwh"] = fsum(part.electric for part in inside)
    heats = [part.heat for part in inside if part.heat is not None]
    if heats:
        values["heat_kwh"] = fsum(heats)
    for name in ("outlet", "inlet", "ambient"):
        known = [(p.held[f"temp_{name}"], p.end - p.start) for p in inside if f"temp_{name}" in p.held]
        if known:
            values[f"{name}_mean"] = fsum(value * ms for value, ms in known) / sum(ms for _, ms in known)
    for name in ("outlet", "compressor"):
        known_values = [part.held[f"temp_{name}"] for part in inside if f"temp_{name}" in part.held]
        if known_values:
            values[f"{name}_max"] = max(known_values)
    tank = [part.held["temp_dhw"] for part in inside if "temp_dhw" in part.held]
    if tank:
        values["dhw_start"], values["dhw_end"] = tank[0], tank[-1]
    if kind == "cycle":
        dhw = [(part.held["dhw_active"], part.end - part.start) for part in inside if "dhw_active" in part.held]
        if dhw:
            values["dhw_share"] = sum(ms for on, ms in dhw if on) / sum(ms for _, ms in dhw)
        values["defrosts"] = sum(_defrost_begins(history, part) for part in inside)
    sources = {part.source for part in inside if part.heat is not None}
    source = next((each for each in LEAST_CERTAIN_FIRST if each in sources), "")
    return Episode(kind, start, end, *how, values, source)


def _counts(history: History, part: Piece) -> bool:
    """Whether the electricity counter gives this piece its energy."""
    right = next(at for at in history.times if at > part.start)
    before = history.last_sent("electric_energy", right)
    if before is None or right - before > HOLD:
        return False
    now = history.samples[right].get("electric_energy")
    if now is None:
        return True
    return 0 <= now - history.samples[before]["electric_energy"] <= 50 * (right - before) / 3_600_000 + 1


def _defrost_begins(history: History, part: Piece) -> bool:
    """Whether it is on in this piece, and not known to be on in the moment before."""
    if not part.held.get("defrost_active"):
        return False
    return not history.held(part.start - 1).get("defrost_active")


def differences(expected: list[Episode], given: list[Episode]) -> list[str]:
    """Say where episodes are not the expected ones, values to 1e-9."""
    found = []
    wanted, there = ({each[:2]: each for each in each_of} for each_of in (expected, given))
    for key in sorted(wanted.keys() | there.keys()):
        if key not in wanted or key not in there:
            found.append(f"{key} is {there.get(key)}, expected {wanted.get(key)}")
            continue
        want, have = wanted[key], there[key]
        if (
            want[2:5] != have[2:5]
            or want.heat_source != have.heat_source
            or want.values.keys() != have.values.keys()
        ):
            found.append(f"{key} is {have}, expected {want}")
        found += [
            f"{key} {name} is {have.values[name]}, expected {value}"
            for name, value in want.values.items()
            if name in have.values and not isclose(have.values[name], value, rel_tol=1e-9, abs_tol=1e-12)
        ]
    return found
