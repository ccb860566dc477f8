"""The one table of quantities: what a reading can hold, and how it is kept, checked and drawn.

A new sensor is one row here. Validation, store columns, API fields and the docs table read it.
"""

from typing import Literal

import msgspec

Kind = Literal["number", "flag", "counter"]
Origin = Literal["payload", "derived"]
Value = float | bool


class Quantity(msgspec.Struct, frozen=True):
    """One named value of a reading.

    name    : the stored field.
    path    : where the payload has it, group and key; derived quantities have none.
    unit    : "" for flags and ratios.
    low     : smallest value a working sensor can send, in `unit`.
    high    : largest such value, in `unit`.
    label   : what a person reads.
    colour  : its one plot colour, the same in both themes.
    kind    : number (mean, min, max), flag (share, starts) or counter (as a number; fold takes differences).
    origin  : from the payload, or derived from one message alone.
    """

    name: str
    path: tuple[str, ...]
    unit: str
    low: float
    high: float
    label: str
    colour: str
    kind: Kind = "number"
    origin: Origin = "payload"


def _temperature(name: str, path: tuple[str, ...], label: str, colour: str, high: float = 125.0) -> Quantity:
    return Quantity(name, path, "°C", -40.0, high, label, colour)


def _flag(name: str, path: tuple[str, ...], label: str, colour: str) -> Quantity:
    return Quantity(name, path, "", 0.0, 1.0, label, colour, kind="flag")


def _derived(name: str, unit: str, label: str, colour: str) -> Quantity:
    return Quantity(name, (), unit, float("-inf"), float("inf"), label, colour, origin="derived")


def _phase(number: int) -> tuple[Quantity, ...]:
    group, name, label = f"phase{number}", f"phase{number}_", f"Phase {number} "
    voltage, current, power = "#858358", "#477577", "#089487"
    return (
        Quantity(name + "voltage", ("electrical", group, "voltage"), "V", 0, 300, label + "voltage", voltage),
        Quantity(name + "current", ("electrical", group, "current"), "A", 0, 100, label + "current", current),
        Quantity(name + "power", ("electrical", group, "power"), "W", -1000, 50000, label + "power", power),
        Quantity(
            name + "energy",
            ("electrical", group, "energy"),
            "kWh",
            0,
            1e9,
            label + "energy",
            power,
            "counter",
        ),
        Quantity(
            name + "frequency", ("electrical", group, "frequency"), "Hz", 40, 70, label + "frequency", voltage
        ),
        Quantity(name + "pf", ("electrical", group, "power_factor"), "", -1, 1, label + "power factor", current),
    )


QUANTITIES: tuple[Quantity, ...] = (
    _temperature("temp_inlet", ("temperature", "inlet"), "Return water", "#4183EA"),
    _temperature("temp_outlet", ("temperature", "outlet"), "Flow water", "#CB4496"),
    _temperature("temp_ambient", ("temperature", "ambient"), "Outdoor", "#3A8EB0"),
    _temperature("temp_compressor", ("temperature", "compressor"), "Discharge", "#995F5F", high=150.0),
    _temperature("temp_indoor", ("temperature", "indoor"), "Indoor", "#888D30"),
    _temperature("temp_dhw", ("temperature", "dhw"), "Hot water tank", "#337B2C"),
    Quantity("voltage", ("electrical", "voltage"), "V", 0, 300, "Voltage", "#858358"),
    Quantity("current", ("electrical", "current"), "A", 0, 100, "Current", "#477577"),
    Quantity("power", ("electrical", "power"), "W", -1000, 50000, "Electrical power", "#089487"),
    *_phase(1),
    *_phase(2),
    *_phase(3),
    Quantity("pressure_high", ("pressure", "high"), "psi", 0, 700, "High pressure", "#676ED1"),
    Quantity("pressure_low", ("pressure", "low"), "psi", 0, 700, "Low pressure", "#4A9266"),
    _flag("compressor_running", ("status", "compressor"), "Compressor", "#69737D"),
    _flag("fan_running", ("status", "fan"), "Fan", "#69737D"),
    _flag("defrost_active", ("status", "defrost"), "Defrost", "#3192C9"),
    _flag("dhw_active", ("status", "dhw"), "Hot water", "#337B2C"),
    Quantity("flow_rate", ("hydraulic", "flow"), "L/min", 0, 200, "Water flow", "#0897A9"),
    Quantity("water_pressure", ("hydraulic", "pressure"), "bar", 0, 10, "Water pressure", "#607195"),
    Quantity("backup_power", ("electrical", "backup"), "W", 0, 20000, "Backup heater power", "#8F6940"),
    _flag("backup_active", ("status", "backup"), "Backup heater", "#8F6940"),
    _temperature("setpoint_flow", ("setpoint", "flow"), "Flow set point", "#CB4496"),
    _temperature("setpoint_indoor", ("setpoint", "indoor"), "Indoor set point", "#888D30"),
    _temperature("setpoint_dhw", ("setpoint", "dhw"), "Hot water set point", "#337B2C"),
    Quantity("heat_energy", ("energy", "heat"), "kWh", 0, 1e9, "Heat counter", "#8E57D8", "counter"),
    Quantity(
        "electric_energy", ("energy", "electric"), "kWh", 0, 1e9, "Electricity counter", "#089487", "counter"
    ),
    _derived("delta_t", "K", "Flow minus return", "#CB4496"),
    _derived("heat_power", "W", "Heat output", "#8E57D8"),
    _derived("carnot_cop", "", "Carnot COP", "#5E8133"),
    _derived("t_sat_low", "°C", "Evaporating temperature", "#4A9266"),
    _derived("t_sat_high", "°C", "Condensing temperature", "#676ED1"),
    _derived("pressure_ratio", "", "Pressure ratio", "#676ED1"),
    _derived("discharge_superheat", "K", "Discharge superheat", "#995F5F"),
    _derived("evaporator_approach", "K", "Evaporator approach", "#4A9266"),
    _derived("condenser_approach", "K", "Condenser approach", "#676ED1"),
)

BY_NAME: dict[str, Quantity] = {q.name: q for q in QUANTITIES}
NUMBERS: tuple[str, ...] = tuple(q.name for q in QUANTITIES if q.kind != "flag")
FLAGS: tuple[str, ...] = tuple(q.name for q in QUANTITIES if q.kind == "flag")
FLAG_NAMES: frozenset[str] = frozenset(FLAGS)
COUNTERS: frozenset[str] = frozenset(q.name for q in QUANTITIES if q.kind == "counter")

MODES: tuple[str, ...] = ("space", "dhw", "cooling", "defrost", "standby", "unknown")
HEAT_SOURCES: tuple[str, ...] = ("counter", "measured", "estimated")

ENERGY_COLUMNS: tuple[str, ...] = (
    *(f"seconds_{mode}" for mode in MODES),
    *(f"electric_kwh_{mode}" for mode in MODES),
    *(f"heat_kwh_{mode}" for mode in MODES),
    "heat_kwh_x_outlet",
    "heat_kwh_x_ambient",
    "carnot_ideal_kwh",
)
"""Columns of a rollup row that add up: seconds, kWh, and kWh times °C."""


def rollup_columns(quantity: Quantity) -> tuple[str, ...]:
    """Name the columns one quantity has in a rollup row."""
    parts = ("share", "starts", "coverage") if quantity.kind == "flag" else ("mean", "min", "max", "coverage")
    return tuple(f"{quantity.name}_{part}" for part in parts)
