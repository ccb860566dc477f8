"""now_fields: which group of the Now strip a quantity stands in, and its short name there."""

from flows.model.quantities import QUANTITIES

GROUPS: tuple[tuple[str, dict[str, str]], ...] = (
    (
        "Water",
        {
            "temp_outlet": "Flow",
            "temp_inlet": "Return",
            "temp_dhw": "Hot water",
            "flow_rate": "Flow rate",
            "water_pressure": "Pressure",
        },
    ),
    ("Air", {"temp_ambient": "Outdoor", "temp_indoor": "Indoor"}),
    ("Set points", {"setpoint_flow": "Flow set", "setpoint_indoor": "Indoor set", "setpoint_dhw": "Tank set"}),
    ("Counters", {"heat_energy": "Heat", "electric_energy": "Electricity"}),
    ("Electrical", {"power": "Power", "voltage": "Voltage", "current": "Current", "backup_power": "Backup"}),
    (
        "Refrigerant",
        {"temp_compressor": "Discharge", "pressure_high": "High press.", "pressure_low": "Low press."},
    ),
    (
        "State",
        {
            "compressor_running": "Compressor",
            "fan_running": "Fan",
            "defrost_active": "Defrost",
            "dhw_active": "Hot water",
            "backup_active": "Backup",
        },
    ),
    *(
        (
            f"Phase {number}",
            {
                f"phase{number}_voltage": "Voltage",
                f"phase{number}_current": "Current",
                f"phase{number}_power": "Power",
                f"phase{number}_energy": "Energy",
                f"phase{number}_frequency": "Frequency",
                f"phase{number}_pf": "Power factor",
            },
        )
        for number in (1, 2, 3)
    ),
    (
        "Derived",
        {
            "delta_t": "ΔT",
            "heat_power": "Heat",
            "carnot_cop": "Carnot COP",
            "t_sat_low": "Evaporating",
            "t_sat_high": "Condensing",
            "pressure_ratio": "Press. ratio",
            "discharge_superheat": "Superheat",
            "evaporator_approach": "Evap. appr.",
            "condenser_approach": "Cond. appr.",
        },
    ),
)
"""Groups in the order of the strip, each with its quantities and how they are called there."""

MOST_READ: tuple[str, ...] = (
    "temp_outlet",
    "temp_inlet",
    "temp_dhw",
    "temp_ambient",
    "temp_indoor",
    "flow_rate",
    "power",
    "voltage",
    "current",
    "temp_compressor",
    "pressure_high",
    "pressure_low",
)
"""What a phone shows first; of a device that sends less, what comes next in the strip moves up."""

SET_POINTS = frozenset(quantity.name for quantity in QUANTITIES if quantity.name.startswith("setpoint_"))
