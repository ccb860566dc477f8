"""What the demo is: which houses, since when, and what of their history is still wanted."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import msgspec

from flows.demo.folder import note_of
from flows.model.device import Bounds, DeviceMetadata
from flows.model.history import Standing
from flows.model.times import DAY_MS, HOUR_MS

HISTORY_DAYS = 395
"""Thirteen months."""

FINE_DAYS = 7
LIVE_BACK_MS = 6 * HOUR_MS
COARSE_MS, FINE_MS, LIVE_MS = 300_000, 10_000, 5_000
"""Between readings: of history, of its last days, and of what is sent live. Each divides the one before. [ms]"""


class Event(NamedTuple):
    """What happens to a house: the simulator's name for it, its size, and how many days before the demo began."""

    name: str
    size: float
    days_ago: float


class Site(NamedTuple):
    """One simulated house.

    profile : of the simulator: house and unit.
    seed    : of its weather and noise.
    """

    device_id: str
    profile: str
    seed: int
    metadata: DeviceMetadata
    events: tuple[Event, ...] = ()


SITES = (
    # The story: the curve was raised, which costs COP; then refrigerant began to leak; as it was no longer warm
    # enough, the thermostat was turned up, so that it works as hard as it can while the demo is new.
    Site(
        "demo-bristol",
        "terrace",
        20,
        DeviceMetadata(
            name="Simulated terrace, Bristol",
            location="Bristol, United Kingdom",
            timezone="Europe/London",
            refrigerant="R32",
            spf_boundary="H2",
            # R32 works at a higher pressure than the shipped thresholds are meant for.
            limits={"pressure_low": Bounds(75.0, 45.0), "compressor_temp": Bounds(80.0, 95.0)},
        ),
        (Event("curve_raised", 5.0, 42.0), Event("low_charge", 0.9, 9.0), Event("indoor_raised", 3.5, 0.25)),
    ),
    Site(
        "demo-kassel",
        "cottage",
        7,
        DeviceMetadata(
            name="Simulated cottage, Kassel",
            location="Kassel, Germany",
            timezone="Europe/Berlin",
            refrigerant="R410A",
            spf_boundary="H4",
        ),
    ),
    Site(
        "demo-malmo",
        "villa",
        11,
        DeviceMetadata(
            name="Simulated villa, Malmö",
            location="Malmö, Sweden",
            timezone="Europe/Stockholm",
            refrigerant="R290",
            spf_boundary="H2",
        ),
    ),
)


class Began(msgspec.Struct, frozen=True):
    """When a data folder's demo began, for ever: everything in it is dated by this. [ms since 1970, UTC]

    days      : of history before.
    fine_days : at the end of history, how many have readings every FINE_MS.
    """

    at: int
    days: int = HISTORY_DAYS
    fine_days: int = FINE_DAYS

    @property
    def start(self) -> int:
        """First reading. [ms since 1970, UTC]"""
        return self.at - self.days * DAY_MS

    @property
    def recent(self) -> int:
        """From here on readings are fine. [ms since 1970, UTC]"""
        return max(self.at - self.fine_days * DAY_MS, self.start)


class Span(NamedTuple):
    """Readings wanted: from start until before end, every step. [ms since 1970, UTC; ms]"""

    start: int
    end: int
    step_ms: int

    @property
    def readings(self) -> int:
        """How many those are."""
        return len(range(self.start, self.end, self.step_ms))


def began_in(data: Path, now: int) -> Began:
    """Read when the demo of a folder began; the first time it begins now. now: [ms since 1970, UTC]"""
    note = note_of(data)
    if note.exists():
        return msgspec.json.decode(note.read_bytes(), type=Began)
    began = Began(now // COARSE_MS * COARSE_MS)
    new = note.with_suffix(".new")
    new.write_bytes(msgspec.json.encode(began))
    new.replace(note)
    return began


def import_id(device_id: str, part: str, version: object) -> str:
    """Name an import of the demo; the same one goes on where it stood."""
    return hashlib.sha256(f"demo\0{device_id}\0{part}\0{version}".encode()).hexdigest()[:32]


def past_wanted(began: Began, standing: Standing) -> list[Span]:
    """List what is missing of the months before the last days."""
    if standing.ended:
        return []
    return _spans(max(began.start, standing.at + 1), began.recent, COARSE_MS)


def missing_from(began: Began, standing: Standing, whole: int) -> int:
    """Tell from when on something is missing of the last days. [ms since 1970, UTC]

    whole : up to where nothing is missing behind the import, once that has ended. [ms since 1970, UTC]
    """
    return max(began.recent, standing.at + 1, whole if standing.ended else 0)


def live_from(start: int, now: int) -> int:
    """Choose from when on readings are live: some hours ago, for history raises no alerts. start: as above."""
    return -(-min(max(start, now - LIVE_BACK_MS), now) // FINE_MS) * FINE_MS


def recent_wanted(began: Began, start: int, live: int) -> list[Span]:
    """List what is to be imported of the last days, and of those since: from start until life. See above."""
    fine = live - began.fine_days * DAY_MS
    return _spans(start, fine, COARSE_MS) + _spans(max(start, fine), live, FINE_MS)


def _spans(start: int, end: int, step_ms: int) -> list[Span]:
    """From the next whole step on; nothing where that is the end."""
    start, end = -(-start // step_ms) * step_ms, -(-end // step_ms) * step_ms
    return [Span(start, end, step_ms)] if start < end else []
