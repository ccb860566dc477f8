"""kpi_sums: what a span of rollups comes to: energies by mode, COP, starts, mean outdoors, coverage."""

from collections.abc import Iterable
from typing import get_args

import msgspec

from flows.model.quantities import HEAT_SOURCES, MODES
from flows.model.rollup import BUCKET_MS
from panel_app.components.device import Answer
from panel_app.components.kpi_requests import LAST_MS, Hours
from panel_app.components.sentence import Cop, Origin
from panel_app.words import instant

ENOUGH = 0.5
"""Share of a span, or of its electricity, from which on its figures are shown."""

OPEN_S = 60.0
"""What was sent last counts once the next reading comes: so much of a span is not called missing. [s]"""

RUNNING = frozenset({"space", "dhw", "cooling", "defrost"})
"""Modes in which the machine runs."""

_LEAST_KWH = 0.05
"""Less electricity than this gives no COP. [kWh]"""


class Sums(msgspec.Struct, frozen=True):
    """A span as a whole.

    electric, heat    : by mode, those that are not zero. [kWh]
    with_heat         : of `electric`, what was used while heat was known. [kWh]
    heat_source       : where heat came from, of several the least certain; None where it is not known.
    starts, defrosts  : how often they began; None where that is not known.
    starts_by_power   : whether starts are told by its power, as cycles are: the compressor's state is not sent.
    ambient           : mean outdoors over the time it is known. [°C]
    backup            : electricity of the backup heater, None where the device does not send it. [kWh]
    coverage, electric_coverage : share of the span in which anything, or the electricity, is known. [0 … 1]
    run_coverage      : and in which it is known whether it ran.
    """

    electric: dict[str, float]
    heat: dict[str, float]
    with_heat: dict[str, float]
    heat_source: Origin | None
    starts: int | None
    defrosts: int | None
    ambient: float | None
    coverage: float
    electric_coverage: float
    backup: float | None = None
    run_coverage: float = 1.0
    starts_by_power: bool = False

    @property
    def heat_share(self) -> float:
        """Share of the running machine's electricity for which heat is known. [0 … 1]"""
        used = sum(kwh for mode, kwh in self.electric.items() if mode in RUNNING)
        known = sum(kwh for mode, kwh in self.with_heat.items() if mode in RUNNING)
        return known / used if used > 0 else float(self.heat_source is not None)

    def cop(self, *modes: str) -> float | None:
        """Heat over the electricity used while it was known, of some modes; of all but cooling by default.

        None where the machine only rested: what standby used is no measure of it.
        """
        chosen = modes or tuple(mode for mode in MODES if mode != "cooling")
        heat = sum(self.heat.get(mode, 0.0) for mode in chosen)
        electric = sum(self.with_heat.get(mode, 0.0) for mode in chosen)
        ran = any(self.with_heat.get(mode) for mode in chosen if mode in RUNNING)
        return heat / electric if ran and electric >= _LEAST_KWH and self.heat_source else None


def sums_of(answers: Iterable[Answer], span: Hours, cycles: Iterable[Answer] = (), runs: bool = False) -> Sums:
    """Add up the answers of /series that kpi_requests asked for one span.

    cycles : that reach into the span; runs: whether it runs at the span's end, in a cycle that is none yet.
    """
    total = _Total()
    for answer in answers:
        total.add(answer)
    length_s = max((span.end - span.start) / 1_000, 1.0)
    run_coverage = _share(total.seconds - total.unknown_s, length_s)
    sends_state = total.compressor_s > 0
    starts = round(total.starts) if sends_state else None
    if not sends_state and run_coverage >= ENOUGH:
        # A machine that rested in the span and runs at its end has begun in between.
        starts = _begun(cycles, span) + int(runs and total.rested_s > 0)
    return Sums(
        electric=total.electric,
        heat=total.heat,
        with_heat=total.with_heat,
        heat_source=total.source(),
        starts=starts,
        defrosts=round(total.defrosts) if total.defrosts else None,
        ambient=total.ambient_c_s / total.ambient_s if total.ambient_s > 0 else None,
        coverage=_share(total.seconds, length_s),
        electric_coverage=_share(total.electric_s, length_s),
        backup=total.backup_w_s / 3_600_000 if total.backup_s > 0 else None,
        run_coverage=run_coverage,
        starts_by_power=not sends_state,
    )


def cop_of(answer: Answer, now_ms: int) -> Cop | None:
    """COP of the last 30 min; None at rest, or where heat or electricity is not known for half of it.

    answer: of kpi_requests.cop_request.
    """
    found = sums_of([answer], Hours(now_ms - LAST_MS, now_ms))
    value = found.cop()
    if value is None or found.heat_source is None or found.electric_coverage < ENOUGH or found.heat_share < ENOUGH:
        return None
    return Cop(value, found.heat_source)


def _begun(cycles: Iterable[Answer], span: Hours) -> int:
    """Count the cycles that were seen to begin in a span."""
    return sum(c["begun_by"] == "edge" and span.start <= instant(c["start"]) < span.end for c in cycles)


def _share(known_s: float, length_s: float) -> float:
    """Share of a span; the minute that the next reading will close is not missing."""
    return 1.0 if known_s >= length_s - OPEN_S and known_s > 0 else known_s / length_s


class _Total:
    """Sums as they grow."""

    def __init__(self) -> None:
        self.electric: dict[str, float] = {}
        self.heat: dict[str, float] = {}
        self.with_heat: dict[str, float] = {}
        self.sources: set[str] = set()
        self.unknown_s = self.rested_s = 0.0
        self.seconds = self.starts = self.defrosts = 0.0
        self.compressor_s = self.electric_s = self.ambient_s = self.ambient_c_s = 0.0
        self.backup_s = self.backup_w_s = 0.0

    def add(self, answer: Answer) -> None:
        length_s = BUCKET_MS[answer["resolution"]] / 1_000
        names = list(answer["values"])
        for bucket in zip(*answer["values"].values(), strict=True):
            self._add_bucket(dict(zip(names, bucket, strict=True)), length_s)
        if answer.get("heat_source"):
            self.sources.add(answer["heat_source"])

    def _add_bucket(self, row: dict[str, float | None], length_s: float) -> None:
        def held(name: str) -> float:
            return row.get(name) or 0.0

        heat_is_known = any(row.get(f"heat_kwh_{mode}") for mode in MODES)
        ran = any(held(f"electric_kwh_{mode}") > 0 for mode in RUNNING)
        for mode in MODES:
            self.seconds += held(f"seconds_{mode}")
            _grow(self.electric, mode, held(f"electric_kwh_{mode}"))
            _grow(self.heat, mode, held(f"heat_kwh_{mode}"))
            if heat_is_known or not ran:
                _grow(self.with_heat, mode, held(f"electric_kwh_{mode}"))
        self.unknown_s += held("seconds_unknown")
        self.rested_s += held("seconds_standby")
        self.starts += held("compressor_running_starts")
        self.defrosts += held("defrost_active_starts")
        self.compressor_s += held("compressor_running_coverage") * length_s
        self.electric_s += max(held("power_coverage"), held("electric_energy_coverage")) * length_s
        ambient_s = held("temp_ambient_coverage") * length_s
        self.ambient_s += ambient_s
        self.ambient_c_s += held("temp_ambient_mean") * ambient_s
        backup_s = held("backup_power_coverage") * length_s
        self.backup_s += backup_s
        self.backup_w_s += held("backup_power_mean") * backup_s

    def source(self) -> Origin | None:
        known = [name for name in HEAT_SOURCES if name in self.sources]
        origins: tuple[Origin, ...] = get_args(Origin)
        return next((origin for origin in origins if known and origin == known[-1]), None)


def _grow(sums: dict[str, float], mode: str, kwh: float) -> None:
    if kwh:
        sums[mode] = sums.get(mode, 0.0) + kwh
