"""What rollups tell of each bucket besides means: its energies by mode, and how much of it was seen.

Raw rows have none of it, and a question that names it is answered in rollups: so it is asked for besides, at the
resolution that `/series` chose.
"""

from typing import Any

import numpy as np

from flows.model.quantities import MODES
from panel_app.charts.frame import STEP_MS, Answer, Floats
from panel_app.charts.panes import LANES
from panel_app.components.kpi_sums import RUNNING

COMPRESSOR = "compressor_running"
FIELDS: tuple[str, ...] = (
    *(f"{part}_{mode}" for part in ("heat_kwh", "electric_kwh", "seconds") for mode in MODES),
    *(f"{lane.flag}_coverage" for lane in LANES),
)
"""What to ask of `/series` besides."""

_COUNTED = tuple(mode for mode in MODES if mode != "cooling")


def joined(series: Answer, more: Answer) -> Answer:
    """Put what was asked besides beside what was asked first; a bucket may have come or gone in between."""
    places = {at: i for i, at in enumerate(more["time"])}
    rows = [places.get(at) for at in series["time"]]
    columns = {
        name: [None if i is None else column[i] for i in rows]
        for name, column in more["values"].items()
        if name not in series["values"]
    }
    return {**series, "values": {**series["values"], **columns}}


def energies(answer: Answer) -> tuple[Floats, Floats] | None:
    """Give heat and the electricity used for it of each bucket, as the cards count them. [kWh]

    None where the answer does not tell. Cooling is left out, and so is what a machine used that ran while no heat
    was known (kpi_sums).
    """
    heat, electric = (
        {mode: _column(answer, f"{part}_{mode}") for mode in MODES} for part in ("heat_kwh", "electric_kwh")
    )
    if any(column is None for column in (*heat.values(), *electric.values())):
        return None
    is_known = np.any([column != 0 for column in heat.values()], axis=0)
    ran = np.any([electric[mode] > 0 for mode in RUNNING], axis=0)
    given, used = (np.sum([columns[mode] for mode in _COUNTED], axis=0) for columns in (heat, electric))
    return given, np.where(is_known | ~ran, used, 0.0)


def with_running(answer: Answer) -> Answer:
    """Add the share of time that the machine ran where its device does not send that: by its modes."""
    values = answer["values"]
    seconds = {mode: _column(answer, f"seconds_{mode}") for mode in MODES}
    is_sent = any(share is not None for share in values.get(COMPRESSOR) or ())
    if is_sent or answer["resolution"] == "raw" or any(column is None for column in seconds.values()):
        return answer
    ran = np.sum([seconds[mode] for mode in RUNNING], axis=0)
    known = ran + seconds["standby"]
    share: list[Any] = np.divide(ran, known, out=np.full(known.size, np.nan), where=known > 0).tolist()
    coverage = known * 1_000 / STEP_MS[answer["resolution"]]
    told = {COMPRESSOR: share, f"{COMPRESSOR}_coverage": coverage.tolist()}
    return {**answer, "values": {**values, **told}}


def _column(answer: Answer, name: str) -> Any:
    """Give a column of amounts, of which none is absent; None where it was not asked for."""
    column = answer["values"].get(name)
    return None if column is None else np.nan_to_num(np.array(column, dtype=np.float64))
