"""The last hour in steps of ten seconds: what was received, and what became of it. In memory, bounded."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import msgspec

STEP_S = 10.0
HOUR_STEPS = 360
WINDOWS = {"60s": 6, "1h": HOUR_STEPS}
"""In steps."""


class Mark(msgspec.Struct, frozen=True):
    """How things were.

    at      : monotonic. [s]
    sums    : of readings.
    written : by the journal; lived: of that, what was not imported. [bytes]
    """

    at: float
    sums: dict[str, int]
    written: int
    lived: int


class Past:
    """Marks of the last hour; asked once a second to `note` one. clock: monotonic. [s]"""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._next = clock, clock()
        self._marks: deque[Mark] = deque(maxlen=HOUR_STEPS + 1)

    def note(self, sums: Mapping[str, int], written: int, imported: int = 0) -> None:
        """Keep how things are, if ten seconds have passed; see Mark. imported: of what is written. [bytes]"""
        now = self._clock()
        if now >= self._next:
            self._marks.append(Mark(now, dict(sums), written, written - imported))
            self._next = max(self._next, now - STEP_S / 2) + STEP_S

    def received(self) -> list[int]:
        """Readings received in each ten seconds of the last hour, oldest first."""
        return [after.sums["received"] - before.sums["received"] for before, after in pairwise(list(self._marks))]

    def windows(self, sums: Mapping[str, int]) -> dict[str, dict[str, Any]]:
        """Say what was added to each sum in the last minute and hour, or since the start if that is less.

        seconds : how long that is, up to ten more. in_flight may be negative: fewer are than were.
        """
        now, kept = self._clock(), list(self._marks)
        return {name: _added(kept[-1 - steps :][0], sums, now) for name, steps in WINDOWS.items()} if kept else {}

    def written_rate(self) -> float | None:
        """How fast the journal grew in the last minute; None at first. [bytes/s]"""
        kept = list(self._marks)[-1 - WINDOWS["60s"] :]
        return (kept[-1].written - kept[0].written) / (kept[-1].at - kept[0].at) if len(kept) > 1 else None

    def hourly_rate(self) -> float | None:
        """How fast the journal grew in the last hour by what it is sent day by day, imports apart. [bytes/s]

        None before a whole hour has passed: a burst says nothing of the days to come.
        """
        kept = list(self._marks)
        if len(kept) <= HOUR_STEPS:
            return None
        return (kept[-1].lived - kept[0].lived) / (kept[-1].at - kept[0].at)


def _added(mark: Mark, sums: Mapping[str, int], now: float) -> dict[str, Any]:
    added = {name: count - mark.sums.get(name, 0) for name, count in sums.items()}
    return {"seconds": round(now - mark.at), **added}
