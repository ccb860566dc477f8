"""Faults and events: what goes wrong or is set otherwise, how much, and when."""

from __future__ import annotations

import re
from typing import NamedTuple

from .times import parse_time

FAULTS = {
    "low_charge": "refrigerant leaks: low pressure and capacity fall, the discharge gas gets hotter",
    "short_cycling": "the compressor starts every 6 to 10 minutes while heat is wanted",
    "frozen_evaporator": "frost is not melted: the evaporator gets ever colder below the air, capacity falls",
    "dirty_filter": "the water filter clogs: less flow, more between flow and return, higher pressure",
    "heater_stuck": "the backup heater stays on",
    "dropout": "the device is silent for blocks of ten minutes",
    "reboot": "the device restarts again and again: gaps, 85.0 as first temperatures, counters from 0",
    "uptime_clock": "timestamps are milliseconds since boot, as of old firmware",
    "stuck_sensor": "the flow temperature sensor keeps its last value",
    "spikes": "single values are absurd",
    "wrong_clock": "the device's clock is ahead",
}
EVENTS = {"curve_raised": "the heating curve is raised by so many K", "indoor_raised": "so is the room set point"}
RAMP_MS = {"low_charge": 7 * 86_400_000, "dirty_filter": 7 * 86_400_000}
"""How long a fault grows until it has its severity; the others have it at once."""


class Change(NamedTuple):
    """A fault or an event: its name, its severity (of a fault 0 to 1) or size, and its span. [ms since 1970]"""

    name: str
    size: float
    start_ms: int
    end_ms: int

    def at(self, ms: int) -> float:
        """Its size at a time; 0 outside its span."""
        if not self.start_ms <= ms < self.end_ms:
            return 0.0
        ramp = RAMP_MS.get(self.name)
        return self.size if ramp is None else self.size * min((ms - self.start_ms) / ramp, 1.0)


CHANGE = re.compile(r"(?P<name>[a-z_]+)(:(?P<size>-?[0-9.]+))?(@(?P<start>.*?)(\.\.(?P<end>.*))?)?")
ALWAYS_MS, NEVER_MS = 0, 10**15


def parse_change(text: str, now_ms: int, known: dict[str, str]) -> Change:
    """Read NAME[:size][@start[..end]]; the name is one of the known. Raises ValueError with a sentence."""
    match = CHANGE.fullmatch(text)
    if not match or match["name"] not in known:
        raise ValueError(f"{text!r} is not NAME[:size][@start[..end]] with one of {', '.join(known)}")
    name, event = match["name"], match["name"] in EVENTS
    try:
        size = float(match["size"] or (3.0 if event else 1.0))
    except ValueError:
        raise ValueError(f"{match['size']!r} in {text!r} is no number") from None
    if not event and not 0.0 < size <= 1.0:
        raise ValueError(f"the severity {size:g} of {name} is not above 0 and at most 1")
    if event and not -10.0 <= size <= 15.0:
        raise ValueError(f"{size:g} K of {name} is not from -10 to 15")
    start = parse_time(match["start"], now_ms) if match["start"] else ALWAYS_MS
    end = parse_time(match["end"], now_ms) if match["end"] else NEVER_MS
    if end <= start:
        raise ValueError(f"{text!r} ends before it starts")
    return Change(name, size, start, end)
