"""Quantities that follow from one message alone (docs/reference/quantities.md).

`derived_values` computes them for one reading, `derived_table` for rows of a device: the same, bit for bit.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from flows.model.cells import COLUMN, DERIVED_NAMES
from flows.model.device import DEFAULT_METADATA, DeviceMetadata
from flows.model.quantities import Value
from flows.model.table import Numbers, Table, Times
from flows.physics.heat import heat_capacity, heat_power
from flows.physics.performance import carnot_cop, carnot_cops
from flows.physics.refrigerant import absolute_psi, dew_temperature, dew_temperatures

DERIVED = frozenset(DERIVED_NAMES)
PHASES = ("phase1", "phase2", "phase3")
_SUMS: dict[str, tuple[Times, int]] = {
    "power": (np.array([COLUMN[f"{phase}_power"] for phase in PHASES]), 1),
    "electric_energy": (np.array([COLUMN[f"{phase}_energy"] for phase in PHASES]), len(PHASES)),
}
"""What is a sum over phases: their columns, and how many of them it needs."""

Rows = slice | list[int] | Times
Flags = NDArray[np.bool_]


def add_phase_sums(matrix: Numbers) -> dict[str, Flags]:
    """Give power as the sum of the phases where it is absent, and the electricity counter likewise. [W, kWh]

    matrix : see cells.py.
    Returns, by quantity, which rows got such a sum; quantities of which none did are left out. The counter needs
    all three phases, else a missing one would look like a reset.
    """
    sums: dict[str, Flags] = {}
    for name, (columns, fewest) in _SUMS.items():
        phases = matrix[:, columns]
        known = ~np.isnan(phases)
        if not known.any():
            continue
        own = matrix[:, COLUMN[name]]
        summed: Flags = np.isnan(own) & (known.sum(axis=1) >= fewest)
        if summed.any():
            total = np.zeros(len(matrix))
            for column in range(len(PHASES)):
                total = np.where(known[:, column], total + phases[:, column], total)
            own[summed] = total[summed]
            sums[name] = summed
    return sums


def derived_values(values: dict[str, Value], metadata: DeviceMetadata) -> dict[str, Value]:
    """Compute what one message's own values give; absent where an input is.

    values   : by quantity, in its unit.
    metadata : refrigerant, gauge or absolute pressure, glycol.
    Gives delta_t [K], heat_power [W], carnot_cop, t_sat_low, t_sat_high [°C], pressure_ratio,
    discharge_superheat, evaporator_approach, condenser_approach [K].
    """
    get = values.get
    out: dict[str, Value] = {}
    inlet, outlet, ambient = get("temp_inlet"), get("temp_outlet"), get("temp_ambient")
    if outlet is not None:
        if inlet is not None:
            out["delta_t"] = outlet - inlet
            flow_rate = get("flow_rate")
            if flow_rate is not None:
                out["heat_power"] = heat_power(flow_rate, outlet, inlet, heat_capacity(metadata.glycol_percent))
        if ambient is not None:
            ideal = carnot_cop(outlet, ambient)
            if ideal is not None:
                out["carnot_cop"] = ideal
    high, low = get("pressure_high"), get("pressure_low")
    high = absolute_psi(high, metadata.pressure_absolute) if high is not None else None
    low = absolute_psi(low, metadata.pressure_absolute) if low is not None else None
    if high is not None and low is not None and low > 0.0 and isfinite(ratio := high / low):
        out["pressure_ratio"] = ratio
    if metadata.refrigerant:
        _add_saturation(out, values, low, high, metadata.refrigerant)
    return out


def _add_saturation(
    out: dict[str, Value], values: dict[str, Value], low: float | None, high: float | None, refrigerant: str
) -> None:
    """Add what follows from the dew temperatures at two pressures. [psia]"""
    t_sat_low = dew_temperature(low, refrigerant) if low is not None else None
    if t_sat_low is not None:
        out["t_sat_low"] = t_sat_low
        if "temp_ambient" in values:
            out["evaporator_approach"] = values["temp_ambient"] - t_sat_low
    t_sat_high = dew_temperature(high, refrigerant) if high is not None else None
    if t_sat_high is not None:
        out["t_sat_high"] = t_sat_high
        if "temp_compressor" in values:
            out["discharge_superheat"] = values["temp_compressor"] - t_sat_high
        if "temp_outlet" in values:
            out["condenser_approach"] = t_sat_high - values["temp_outlet"]


def derived_table(table: Table, history: list[DeviceMetadata]) -> Table:
    """Compute the derived quantities of rows of one device, as `derived_values` does row by row.

    table   : payload values; columns that it lacks are missing everywhere.
    history : the device's metadata, oldest valid_from first.
    Gives the columns DERIVED_NAMES at the same times; NaN where a row has no such value.
    """
    values = np.full((len(table.at), len(DERIVED_NAMES)), np.nan)
    for metadata, rows in in_force(table.at, history):

        def column(name: str, rows: slice = rows) -> Numbers:
            if name not in table.names:
                return np.full(rows.stop - rows.start, np.nan)
            return table.values[rows, table.names.index(name)]

        for name, derived in _derived_columns(column, metadata).items():
            values[rows, DERIVED_NAMES.index(name)] = derived
    return Table(table.at, DERIVED_NAMES, values)


def in_force(at: Times, history: list[DeviceMetadata]) -> Iterator[tuple[DeviceMetadata, slice]]:
    """Say what metadata holds for which of these times, ascending. history: oldest valid_from first."""
    starts = np.searchsorted(at, [entry.valid_from for entry in history]).tolist()
    for metadata, (start, end) in zip([DEFAULT_METADATA, *history], pairwise([0, *starts, len(at)]), strict=True):
        if start < end:
            yield metadata, slice(start, end)


def add_derived(matrix: Numbers, rows: Rows, metadata: DeviceMetadata) -> None:
    """Compute the derived columns of rows that share their metadata. matrix: see cells.py."""
    columns = matrix[rows]
    for name, column in _derived_columns(lambda name: columns[:, COLUMN[name]], metadata).items():
        matrix[rows, COLUMN[name]] = column


def _ratio(high: Numbers, low: Numbers) -> Numbers:
    with np.errstate(over="ignore"):
        ratio = high / np.where(low > 0.0, low, np.nan)
    return np.where(np.isinf(ratio), np.nan, ratio)


def _derived_columns(column: Callable[[str], Numbers], metadata: DeviceMetadata) -> dict[str, Numbers]:
    inlet, outlet, ambient = column("temp_inlet"), column("temp_outlet"), column("temp_ambient")
    high = absolute_psi(column("pressure_high"), metadata.pressure_absolute)
    low = absolute_psi(column("pressure_low"), metadata.pressure_absolute)
    out = {
        "delta_t": outlet - inlet,
        "heat_power": heat_power(column("flow_rate"), outlet, inlet, heat_capacity(metadata.glycol_percent)),
        "carnot_cop": carnot_cops(outlet, ambient),
        "pressure_ratio": _ratio(high, low),
    }
    if metadata.refrigerant:
        t_sat_low = dew_temperatures(low, metadata.refrigerant)
        t_sat_high = dew_temperatures(high, metadata.refrigerant)
        out["t_sat_low"], out["t_sat_high"] = t_sat_low, t_sat_high
        out["evaporator_approach"] = ambient - t_sat_low
        out["discharge_superheat"] = column("temp_compressor") - t_sat_high
        out["condenser_approach"] = t_sat_high - outlet
    return out
