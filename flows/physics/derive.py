"""Quantities that follow from one message alone (docs/reference/quantities.md).

`derived_values` computes them for one reading, `derived_table` for rows of a device: the same, bit for bit.
"""

from itertools import pairwise

import numpy as np

from flows.model.device import DEFAULT_METADATA, DeviceMetadata
from flows.model.quantities import QUANTITIES
from flows.model.reading import Value
from flows.model.table import Numbers, Table
from flows.physics.heat import heat_capacity, heat_power
from flows.physics.performance import carnot_cop, carnot_cops
from flows.physics.refrigerant import absolute_psi, dew_temperature, dew_temperatures

DERIVED_NAMES = tuple(q.name for q in QUANTITIES if q.origin == "derived")
DERIVED = frozenset(DERIVED_NAMES)
PHASES = ("phase1", "phase2", "phase3")
_POWERS = tuple(f"{phase}_power" for phase in PHASES)
_COUNTERS = tuple(f"{phase}_energy" for phase in PHASES)


def phase_sums(values: dict[str, Value]) -> dict[str, float]:
    """Power as the sum of the phases where it is absent, and the electricity counter likewise. [W, kWh]

    The counter needs all three phases, else a missing one would look like a reset.
    """
    sums: dict[str, float] = {}
    if "power" not in values:
        powers = [float(values[name]) for name in _POWERS if name in values]
        if powers:
            sums["power"] = sum(powers)
    if "electric_energy" not in values:
        counters = [float(values[name]) for name in _COUNTERS if name in values]
        if len(counters) == len(_COUNTERS):
            sums["electric_energy"] = sum(counters)
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
    if high is not None and low is not None and low > 0.0:
        out["pressure_ratio"] = high / low
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
    starts = np.searchsorted(table.at, [entry.valid_from for entry in history])
    for metadata, (start, end) in zip(
        [DEFAULT_METADATA, *history], pairwise([0, *starts, len(table.at)]), strict=True
    ):
        if start < end:
            for name, column in _derived_columns(table, slice(start, end), metadata).items():
                values[start:end, DERIVED_NAMES.index(name)] = column
    return Table(table.at, DERIVED_NAMES, values)


def _derived_columns(table: Table, rows: slice, metadata: DeviceMetadata) -> dict[str, Numbers]:
    """Compute the derived columns of rows that share their metadata."""

    def column(name: str) -> Numbers:
        if name not in table.names:
            return np.full(rows.stop - rows.start, np.nan)
        return table.values[rows, table.names.index(name)]

    inlet, outlet, ambient = column("temp_inlet"), column("temp_outlet"), column("temp_ambient")
    high = absolute_psi(column("pressure_high"), metadata.pressure_absolute)
    low = absolute_psi(column("pressure_low"), metadata.pressure_absolute)
    out = {
        "delta_t": outlet - inlet,
        "heat_power": heat_power(column("flow_rate"), outlet, inlet, heat_capacity(metadata.glycol_percent)),
        "carnot_cop": carnot_cops(outlet, ambient),
        "pressure_ratio": high / np.where(low > 0.0, low, np.nan),
    }
    if metadata.refrigerant:
        t_sat_low = dew_temperatures(low, metadata.refrigerant)
        t_sat_high = dew_temperatures(high, metadata.refrigerant)
        out["t_sat_low"], out["t_sat_high"] = t_sat_low, t_sat_high
        out["evaporator_approach"] = ambient - t_sat_low
        out["discharge_superheat"] = column("temp_compressor") - t_sat_high
        out["condenser_approach"] = t_sat_high - outlet
    return out
