"""COP in the read-out: heat over electricity of the half hour (or bucket) until each value."""

import numpy as np

from panel_app.charts.frame import HOLD_MS, Floats, Frame, Line

WINDOW_MS = 1_800_000
_LEAST_KWH = 0.02
"""Below this much electricity a ratio says nothing."""


def cop(
    frame: Frame, heat: str, electricity: str, energies: tuple[Floats, Floats] | None = None
) -> tuple[Floats, Floats]:
    """Compute COP at the times both are known; NaN where too little electricity was used. [ms since 1970], [1]

    Energies are summed over the window and then divided; values are held at most 900 s.
    energies : of rollups heat and electricity of each bucket (buckets.energies), without which they have no COP:
               means are of the time that each is known, which may be little of it, and not the same. [kWh]
    """
    at, given, used = _both(frame.lines[heat], frame.lines[electricity])
    if at.size < 1 or (frame.step and energies is None):
        return np.empty(0), np.empty(0)
    if energies is not None and frame.step:
        ends = frame.time + frame.step / 2
        parts = energies
    else:
        ends = at
        before = np.minimum(np.diff(at, prepend=at[0]), HOLD_MS)
        parts = np.roll(given, 1) * before / 3.6e9, np.roll(used, 1) * before / 3.6e9
    heat_kwh, used_kwh = (np.concatenate([[0.0], np.cumsum(kwh)]) for kwh in parts)
    first = np.searchsorted(ends, at - window_ms(frame), side="right")
    last = np.searchsorted(ends, at, side="right")
    heat_in, used_in = heat_kwh[last] - heat_kwh[first], used_kwh[last] - used_kwh[first]
    enough = used_in >= _LEAST_KWH
    return at, np.where(enough, heat_in / np.where(enough, used_in, 1.0), np.nan)


def window_ms(frame: Frame) -> int:
    """Length that a COP is of: half an hour, or the bucket where that is longer. [ms]"""
    return max(WINDOW_MS, frame.step)


def _both(heat: Line, electricity: Line) -> tuple[Floats, Floats, Floats]:
    at, in_heat, in_used = np.intersect1d(heat.at, electricity.at, return_indices=True)
    given, used = heat.value[in_heat], electricity.value[in_used]
    known = np.isfinite(given) & np.isfinite(used)
    return at[known], given[known], used[known]
