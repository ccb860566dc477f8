"""scale: a value between its limits: thin ticks warn, thick ones are critical, the dot is the value."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from panel_app.words import limit

_ROOM = 0.25
"""Beyond the outermost limits, as a share of the distance between them."""

_LOW_ONLY = 4.0
_HIGH_ONLY = 1.1


class Tick(msgspec.Struct, frozen=True):
    """at: from the left end. [%, 0 … 100]"""

    at: float
    level: Literal["warning", "critical"]


class Scale(msgspec.Struct, frozen=True):
    """dot: the value's place, at an end where it lies beyond. [%, 0 … 100]; words: the limits, said."""

    ticks: list[Tick]
    dot: float
    words: str


def scale_of(field: str, held: float | None, sides: Mapping[str, Mapping[str, Any]]) -> Scale | None:
    """Draw a value's limits; None where there are none.

    sides : of the API's `limits` of one quantity: low and high, each with warning and critical.
    """
    bounds = [
        (level, side, float(bound[level]))
        for side, bound in sides.items()
        for level in ("warning", "critical")
        if bound.get(level) is not None
    ]
    if not bounds or held is None:
        return None
    low, high = _ends(
        [at for _, side, at in bounds if side == "low"], [at for _, side, at in bounds if side == "high"]
    )
    words = ", ".join(
        f"{level} from {limit(field, at)}{' down' if side == 'low' else ''}" for level, side, at in bounds
    )
    return Scale(
        [Tick(_place(at, low, high), "critical" if level == "critical" else "warning") for level, _, at in bounds],
        _place(held, low, high),
        words,
    )


def _ends(lows: list[float], highs: list[float]) -> tuple[float, float]:
    if lows and highs:
        room = _ROOM * (max(highs) - min(lows))
        return min(lows) - room, max(highs) + room
    if highs:
        return min(0.0, *highs), max(highs) * _HIGH_ONLY if max(highs) > 0 else 1.0
    return min(0.0, *lows), max(lows) * _LOW_ONLY if max(lows) > 0 else 1.0


def _place(at: float, low: float, high: float) -> float:
    share = (at - low) / (high - low) if high > low else 0.5
    return round(100.0 * min(max(share, 0.0), 1.0), 1)
