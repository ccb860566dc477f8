"""The recorded heat pump, and what its publisher says it used and gave (flows/demo/data/heat-pump-stats/SOURCE.md)."""

import csv
from datetime import datetime
from typing import NamedTuple

from flows.demo.recording import FOLDER
from flows.model.quantities import MODES, QUANTITIES
from flows.physics.segments import MINUTE_MS
from flows.sources.recording import REPEAT_MS, readings
from tests.folding import Sample, fold_range, open_minute

RECORDING = FOLDER / "2024-10-10_defrost_during_ch_raw.csv"
TOLERANCE = 0.005
_ROUNDING = 0.00005
_STORED = {quantity.path: quantity.name for quantity in QUANTITIES if quantity.path}


class Session(NamedTuple):
    """One session: from its first frame to the next session's [ms since 1970, UTC], energies in kWh."""

    name: str
    start: int
    end: int
    electric_kwh: float
    heat_kwh: float
    cop: float


def ms(text: str) -> int:
    """Read an ISO time. [ms since 1970, UTC]"""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def sessions() -> list[Session]:
    """Read the time-weighted energies that our pipeline should give."""
    with RECORDING.with_name("expected_sessions.csv").open() as file:
        rows = list(csv.DictReader(file))
    starts = [ms(row["start_utc"]) for row in rows]
    ends = [*starts[1:], ms(rows[-1]["end_utc"]) + 30_000]
    numbers = [[float(row[f"timeweighted_{what}"]) for what in ("in_kwh", "out_kwh", "cop")] for row in rows]
    names = [f"{row['session']}-{row['start_utc'][8:16]}" for row in rows]
    return [Session(*parts, *each) for *parts, each in zip(names, starts, ends, numbers, strict=True)]


def samples(repeat_ms: int = REPEAT_MS) -> list[Sample]:
    """Read the recording as stored fields."""
    return [
        Sample(at, {_STORED[group, key]: value for group in payload for key, value in payload[group].items()})
        for at, payload in readings(RECORDING, repeat_ms)
    ]


def energies(rows: list[dict[str, float]]) -> tuple[float, float]:
    """Add up electricity and heat of rollup rows' values, over all modes. [kWh]"""
    electric, heat = (
        sum(row.get(f"{kind}_kwh_{mode}", 0.0) for row in rows for mode in MODES) for kind in ("electric", "heat")
    )
    return electric, heat


def energies_between(history: list[Sample], start: int, end: int) -> tuple[float, float]:
    """Fold the samples from start to end, both of them samples, however they lie in their minutes. [kWh]

    What is counted up to one sample is the closed minutes and what the open one has come to.
    """
    before, after = (_energies_until([sample for sample in history if sample.at <= at]) for at in (start, end))
    return after[0] - before[0], after[1] - before[1]


def _energies_until(history: list[Sample]) -> tuple[float, float]:
    minutes = fold_range(history, 0, history[-1].at, [])
    last = open_minute(history, [])
    return energies([minute.values for minute in [*minutes, *([last] if last else [])]])


def agrees(found: float, expected: float) -> bool:
    """Compare with a published figure, which has four decimals."""
    return abs(found - expected) <= TOLERANCE * abs(expected) + _ROUNDING


def whole_minute_spans() -> list[Session]:
    """Join sessions until each begins and ends at a whole minute: what minute rows can be held against."""
    spans: list[Session] = []
    for session in sessions():
        if spans and spans[-1].end % MINUTE_MS:
            last = spans.pop()
            electric, heat = last.electric_kwh + session.electric_kwh, last.heat_kwh + session.heat_kwh
            session = Session(f"{last.name}+", last.start, session.end, electric, heat, heat / electric)
        spans.append(session)
    return spans
