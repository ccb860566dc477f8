"""Heat of devices without a flow meter: its power from the energies of buckets, which are estimated or counted."""

from typing import Any

import numpy as np

from flows.model.quantities import MODES
from panel_app.charts.frame import Answer, Floats

HEAT = "heat_power"
_KWH, _SECONDS = (tuple(f"{part}_{mode}" for mode in MODES) for part in ("heat_kwh", "seconds"))
FIELDS: tuple[str, ...] = (*_KWH, *_SECONDS)
"""What to ask of `/series` for it; only rollups have them."""

_WS_PER_KWH = 3.6e6


def is_in_energies(answer: Answer) -> bool:
    """Tell whether heat is known, but only as energies: an answer of rollups without any power of heat."""
    return answer.get("heat_source") is not None and not _is_measured(answer)


def with_power(answer: Answer) -> Answer:
    """Add the mean power of heat in each bucket, over the time that is known, where only energies tell it. [W]"""
    values = answer["values"]
    if _is_measured(answer) or any(name not in values for name in FIELDS):
        return answer
    kwh, seconds = (_summed(values, names) for names in (_KWH, _SECONDS))
    watts = np.divide(kwh * _WS_PER_KWH, seconds, out=np.full(kwh.size, np.nan), where=seconds > 0)
    return {**answer, "values": {**values, HEAT: {"mean": watts.tolist()}}}


def _is_measured(answer: Answer) -> bool:
    given: Any = answer["values"].get(HEAT) or ()
    return any(value is not None for value in (given["mean"] if isinstance(given, dict) else given))


def _summed(values: dict[str, Any], names: tuple[str, ...]) -> Floats:
    """Sum columns; NaN where none is known."""
    columns = np.array([values[name] for name in names], dtype=np.float64)
    return np.where(np.isnan(columns).all(axis=0), np.nan, np.nansum(columns, axis=0))
