"""Rollup rows by docs/reference/rollups.md.

Time between the first and the newest sample of a device is cut into pieces in which nothing changes. For each,
every held value is looked up afresh. A bucket of any resolution is the exact sum (fsum) of its pieces: hours and
days come straight from the samples, not from minutes.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import pairwise
from math import fsum, isclose
from typing import NamedTuple

from tests.oracle.readings import FLAGS, Samples, Values

HOLD = 900_000
LENGTH = {"1m": 60_000, "1h": 3_600_000, "1d": 86_400_000}
LEAST_CERTAIN_FIRST = ("estimated", "measured", "counter")
GLYCOL_CP = ((0, 4186), (10, 4120), (15, 4100), (20, 4070), (25, 3980), (30, 3900))
"""Glycol [%] and heat capacity of the mixture [J/(kg K)]."""


class Site(NamedTuple):
    """What of a device's metadata enters its rollups, from a moment on.

    valid_from: [ms since 1970, UTC]; glycol: [%]; eta: share of the Carnot COP.
    """

    valid_from: int = 0
    glycol: float = 0.0
    eta: float = 0.5


ORDINARY = (Site(),)


class Piece(NamedTuple):
    """A span [start, end) in which nothing changes; energies [kWh] within it, heat None where not known."""

    start: int
    end: int
    held: Values
    mode: str
    electric: float
    heat: float | None
    source: str


class Row(NamedTuple):
    """One rollup row; columns that are zero or uncovered are absent."""

    count: int
    columns: dict[str, float]
    heat_source: str


class History:
    """The samples of one device, to be asked what was held when."""

    def __init__(self, samples: Samples) -> None:
        self.times = sorted(samples)
        self.samples = samples
        self.sent: dict[str, list[int]] = {}
        for at in self.times:
            for name in samples[at]:
                self.sent.setdefault(name, []).append(at)

    def last_sent(self, name: str, before: int) -> int | None:
        """When a quantity was last sent strictly before a time."""
        times = self.sent.get(name, [])
        found = bisect_left(times, before)
        return times[found - 1] if found else None

    def held(self, moment: int) -> Values:
        """All values held at a moment."""
        values: Values = {}
        for name in self.sent:
            at = self.last_sent(name, moment + 1)
            if at is not None and moment - at < HOLD:
                values[name] = self.samples[at][name]
        return values

    def changes(self, start: int, end: int, others: list[int]) -> list[int]:
        """Moments in (start, end) where a hold may run out or a minute begins, and those of `others` in it."""
        first, last = bisect_right(self.times, start - HOLD), bisect_left(self.times, end - HOLD)
        moments = {at + HOLD for at in self.times[first:last]} | set(others)
        moments.update(range(start - start % 60_000 + 60_000, end, 60_000))
        return sorted(moment for moment in moments if start < moment < end)


def pieces(history: History, sites: tuple[Site, ...] = ORDINARY) -> Iterator[Piece]:
    """Cut a device's time into pieces, oldest first. sites: oldest first."""
    for left, right in pairwise(history.times):
        counter = {name: _counted(history, name, left, right) for name in ("electric_energy", "heat_energy")}
        end = min(right, left + HOLD)
        cuts = [left, *history.changes(left, end, [site.valid_from for site in sites]), end]
        for start, stop in pairwise(cuts):
            held = history.held(start)
            mode = mode_of(held)
            hours = (stop - start) / 3_600_000
            share = (stop - start) / (right - left)
            electric, heat = counter["electric_energy"], counter["heat_energy"]
            kwh = electric * share if electric is not None else held.get("power", 0.0) / 1000 * hours
            if heat is not None:
                yield Piece(start, stop, held, mode, kwh, heat * share, "counter")
            else:
                watt, source = heat_of(held, mode, [s for s in (Site(), *sites) if s.valid_from <= start][-1])
                yield Piece(start, stop, held, mode, kwh, None if watt is None else watt / 1000 * hours, source)


def _counted(history: History, name: str, left: int, right: int) -> float | None:
    """Energy a counter gives the interval [left, right), None where it gives none. [kWh]"""
    before = history.last_sent(name, right)
    if before is None or right - before > HOLD:
        return None
    now = history.samples[right].get(name)
    if now is None:
        return 0.0
    difference = now - history.samples[before][name]
    most = 50 * (right - before) / 3_600_000
    least = -most if name == "heat_energy" else 0.0
    return difference if least <= difference <= most + 1 else None


def mode_of(held: Values) -> str:
    """What the machine does while these values hold."""
    if held.get("defrost_active"):
        return "defrost"
    if held.get("dhw_active"):
        return "dhw"
    if "compressor_running" in held:
        running = held["compressor_running"]
    elif "power" in held:
        running = held["power"] >= 150
    else:
        return "unknown"
    if not running:
        return "standby"
    warm = held.get("temp_ambient", -273.0) >= 15
    return "cooling" if warm and _delta(held, 0.0) < -0.5 else "space"


def heat_of(held: Values, mode: str, site: Site) -> tuple[float | None, str]:
    """Heat from held values and where it comes from; None where it is not known. [W]"""
    if "flow_rate" in held:
        if not {"temp_inlet", "temp_outlet"} <= held.keys():
            return None, ""
        return held["flow_rate"] / 60 * _heat_capacity(site.glycol) * _delta(held, 0.0), "measured"
    ideal = carnot(held)
    if mode not in ("space", "dhw", "defrost") or "power" not in held or ideal is None:
        return None, ""
    return held["power"] * site.eta * ideal * (-1 if _delta(held, 0.0) < 0 else 1), "estimated"


def _heat_capacity(glycol: float) -> float:
    for (low, at_low), (high, at_high) in pairwise(GLYCOL_CP):
        if glycol <= high:
            return at_low + (at_high - at_low) * (glycol - low) / (high - low)
    return GLYCOL_CP[-1][1]


def carnot(held: Values) -> float | None:
    """The Carnot COP, None without both temperatures or without a lift."""
    if not {"temp_outlet", "temp_ambient"} <= held.keys():
        return None
    condensing, evaporating = held["temp_outlet"] + 2, held["temp_ambient"] - 6
    return (condensing + 273) / (condensing - evaporating) if condensing > evaporating else None


def _delta(held: Values, unknown: float) -> float:
    known = "temp_inlet" in held and "temp_outlet" in held
    return held["temp_outlet"] - held["temp_inlet"] if known else unknown


def rows(samples: Samples, sites: tuple[Site, ...] = ORDINARY) -> dict[tuple[str, int], Row]:
    """Compute every closed bucket of a device, by resolution and start."""
    history = History(samples)
    found: dict[tuple[str, int], Row] = {}
    if not history.times:
        return found
    all_pieces = list(pieces(history, sites))
    starts = [piece.start for piece in all_pieces]
    for resolution, length in LENGTH.items():
        inhabited = {moment - moment % length for moment in [*history.times, *starts]}
        for start in inhabited:
            end = start + length
            if end <= history.times[-1]:
                inside = all_pieces[bisect_left(starts, start) : bisect_left(starts, end)]
                found[resolution, start] = _row(history, inside, start, end)
    return found


def _row(history: History, inside: list[Piece], start: int, end: int) -> Row:
    times = history.times[bisect_left(history.times, start) : bisect_left(history.times, end)]
    columns: dict[str, float] = {}
    held: dict[str, list[tuple[float, int]]] = {}
    for piece in inside:
        for name, value in piece.held.items():
            held.setdefault(name, []).append((value, piece.end - piece.start))
    for name, spans in held.items():
        known = sum(ms for _, ms in spans)
        columns[f"{name}_coverage"] = known / (end - start)
        mean = fsum(value * ms for value, ms in spans) / known
        if name in FLAGS:
            columns[f"{name}_share"] = mean
        else:
            columns[f"{name}_mean"] = mean
            columns[f"{name}_min"] = min(value for value, _ in spans)
            columns[f"{name}_max"] = max(value for value, _ in spans)
    for name in FLAGS:
        columns[f"{name}_starts"] = sum(_starts(history, name, at) for at in times)
    columns |= _energies(inside)
    sources = {piece.source for piece in inside if piece.heat is not None}
    source = next((source for source in LEAST_CERTAIN_FIRST if source in sources), "")
    return Row(len(times), {name: value for name, value in columns.items() if value or not _adds_up(name)}, source)


def _starts(history: History, name: str, at: int) -> bool:
    if not history.samples[at].get(name):
        return False
    before = history.last_sent(name, at)
    return before is not None and at - before <= HOLD and not history.samples[before][name]


def _energies(inside: list[Piece]) -> dict[str, float]:
    columns: dict[str, float] = {}
    for mode in {piece.mode for piece in inside}:
        of_mode = [piece for piece in inside if piece.mode == mode]
        columns[f"seconds_{mode}"] = sum(piece.end - piece.start for piece in of_mode) / 1000
        columns[f"electric_kwh_{mode}"] = fsum(piece.electric for piece in of_mode)
        columns[f"heat_kwh_{mode}"] = fsum(piece.heat for piece in of_mode if piece.heat is not None)
    heating = [p for p in inside if p.mode in ("space", "dhw") and p.heat is not None and "temp_outlet" in p.held]
    with_ambient = [p for p in heating if "temp_ambient" in p.held]
    columns["heat_kwh_x_outlet"] = fsum(p.heat * p.held["temp_outlet"] for p in heating)
    columns["heat_kwh_x_ambient"] = fsum(p.heat * p.held["temp_ambient"] for p in with_ambient)
    columns["carnot_ideal_kwh"] = fsum(
        p.heat / carnot(p.held) for p in heating if p.heat > 0 and _delta(p.held, 0.0) > 1 and carnot(p.held)
    )
    return columns


def _adds_up(column: str) -> bool:
    return column.endswith("_starts") or "_kwh" in column or column.startswith("seconds_")


def differences(expected: Row, count: int, columns: dict[str, float], heat_source: str) -> list[str]:
    """Say where a stored row is not the expected one, to 1e-9; a sum that is absent is zero."""
    found = []
    if count != expected.count:
        found.append(f"count is {count}, expected {expected.count}")
    if heat_source != expected.heat_source:
        found.append(f"heat_source is {heat_source!r}, expected {expected.heat_source!r}")
    for name in sorted(expected.columns.keys() | columns.keys()):
        absent, slack = (0.0, 1e-12) if _adds_up(name) else (None, 1e-9)
        given, wanted = columns.get(name, absent), expected.columns.get(name, absent)
        if given is None or wanted is None or not isclose(given, wanted, rel_tol=1e-9, abs_tol=slack):
            found.append(f"{name} is {given}, expected {wanted}")
    return found
