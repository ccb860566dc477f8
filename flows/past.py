"""The last hour in steps of ten seconds: what was received, and what became of it. In memory, bounded."""

import time
from collections import deque
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

STEP_S = 10.0
HOUR_STEPS = 360
WINDOWS = {"60s": 6, "1h": HOUR_STEPS}
"""In steps."""


class Past:
    """Sums as they were; asked once a second to `note` them."""

    def __init__(self) -> None:
        self._sums: deque[dict[str, int]] = deque(maxlen=HOUR_STEPS + 1)
        self._written: deque[int] = deque(maxlen=HOUR_STEPS + 1)
        self._next = time.monotonic()

    def note(self, sums: Mapping[str, int], written: int) -> None:
        """Keep the sums if ten seconds have passed. written: by the journal. [bytes]"""
        now = time.monotonic()
        if now >= self._next:
            self._sums.append(dict(sums))
            self._written.append(written)
            self._next = max(self._next + STEP_S, now)

    def received(self) -> list[int]:
        """Readings received in each ten seconds of the last hour, oldest first."""
        counts = [sums["received"] for sums in list(self._sums)]
        return [after - before for before, after in pairwise(counts)]

    def windows(self, sums: Mapping[str, int]) -> dict[str, dict[str, Any]]:
        """Say what was added to each sum in the last minute and hour, or since the start.

        seconds : how long that is, to ten seconds. in_flight may be negative: fewer are than were.
        """
        kept = list(self._sums)
        return {name: _added(kept[-1 - steps :], sums) for name, steps in WINDOWS.items()} if kept else {}

    def written_rate(self, written: int) -> tuple[float, float] | None:
        """Bytes a second of the journal in the last minute and hour; None in the first ten seconds."""
        kept = list(self._written)
        if len(kept) < 2:
            return None
        minute, hour = kept[-7:], kept
        return tuple((written - part[0]) / (STEP_S * (len(part) - 1)) for part in (minute, hour))  # type: ignore[return-value]


def _added(kept: list[dict[str, int]], sums: Mapping[str, int]) -> dict[str, Any]:
    return {
        "seconds": round(STEP_S * max(0, len(kept) - 1)),
        **{name: count - kept[0].get(name, 0) for name, count in sums.items()},
    }
