"""Profiles: what stands where."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from .weather import COAST, INLAND, Climate


@dataclass(frozen=True)
class Profile:
    """A house, its unit and how both are set.

    loss_w_k, house_j_k       : heat loss and storage of the house.
    emitter_w_k, loop_j_k     : heating water to room; storage of the water and what it fills.
    capacity_w, least         : heat at 7 C outdoors; the least share of it that it can give (1: on or off).
    approach_k                : outdoor air minus evaporating temperature at full load, without frost.
    efficiency                : of the compressor, a share of the ideal at a lift of 25 K.
    power_limit_w             : what the inverter takes at most, without fan and pump.
    curve_c, curve_slope      : flow set point at 20 C outdoors, and its rise for each K less.
    indoor_c, setback_k       : room set point by day, and how much less from 22 to 5 h UTC.
    tank_l                    : hot-water tank; 0: none. dhw_c: its set point, dhw_w: charging, coil_w_k: coil.
    """

    climate: Climate
    refrigerant: str
    loss_w_k: float
    house_j_k: float
    emitter_w_k: float
    loop_j_k: float
    capacity_w: float
    least: float
    approach_k: float
    efficiency: float
    power_limit_w: float
    curve_c: float
    curve_slope: float
    flow_l_min: float
    flow_meter: bool = True
    counters: bool = False
    indoor_c: float = 20.5
    setback_k: float = 0.0
    gains_w: float = 450.0
    tank_l: float = 0.0
    dhw_c: float = 45.0
    dhw_w: float = 3500.0
    coil_w_k: float = 1500.0
    dhw_kwh_day: float = 4.0
    backup_w: float = 0.0


PROFILES = {
    # A modulating R32 unit on large radiators inland, with a tank as warm as such a unit makes it below 400 psi.
    "terrace": Profile(
        INLAND, "R32", 135.0, 32e6, 190.0, 0.55e6, 5500.0, 0.28, 6.5, 0.455, 2300.0, 26.0, 0.72, 16.0,
        setback_k=0.8, tank_l=180.0, dhw_c=41.0, dhw_w=2800.0, coil_w_k=1900.0, backup_w=2000.0,
    ),
    # A modulating R290 unit on underfloor heating by the sea.
    "villa": Profile(
        COAST, "R290", 210.0, 60e6, 420.0, 1.6e6, 8000.0, 0.28, 5.0, 0.41, 2350.0, 26.0, 0.52, 24.0,
        counters=True, setback_k=0.5, tank_l=250.0, dhw_c=47.0, dhw_w=4500.0, coil_w_k=1600.0, dhw_kwh_day=5.0,
        backup_w=2000.0,
    ),
    # An R410A unit that is on or off, by the room thermostat; no tank, no flow meter: its COP is estimated.
    "cottage": Profile(
        INLAND, "R410A", 150.0, 28e6, 400.0, 0.5e6, 7000.0, 1.0, 7.0, 0.45, 2400.0, 30.0, 0.60, 25.0,
        flow_meter=False,
    ),
}  # fmt: skip


def varied(profile: Profile, seed: int) -> Profile:
    """Make a neighbour's version of a profile: loss, storage and emitters differ by up to an eighth."""
    draw = random.Random(f"house {seed}")
    loss, house, emitter = (draw.uniform(0.88, 1.12) for _ in range(3))
    return replace(
        profile,
        loss_w_k=profile.loss_w_k * loss,
        house_j_k=profile.house_j_k * house,
        emitter_w_k=profile.emitter_w_k * loss * (1.0 + (emitter - 1.0) / 3.0),
    )
