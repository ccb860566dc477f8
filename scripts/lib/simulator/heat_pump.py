"""The heat pump: what it decides to do, and what comes of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from .changes import Change
from .house import House, Tank, water_j_l_k
from .noise import Noise
from .profiles import Profile
from .refrigerant import REFRIGERANTS
from .times import DAY_S, HOUR_S
from .weather import Weather

OFF, SPACE, DHW, DEFROST, BOOST = range(5)
"""What the unit does; BOOST: the backup heater alone makes the tank hot, once a week."""

POWER_FACTOR = 0.95
STANDBY_W, FAN_W, PUMP_W = 12.0, 40.0, 40.0
BOOST_C = 55.0
NIGHT_H = (22, 5)


class State(NamedTuple):
    """What changes smoothly, at one end of a segment. [C, W; heat and electric counters: kWh]"""

    ambient: float
    water: float
    heat: float
    indoor: float
    tank: float
    evaporating: float
    condensing: float
    discharge: float
    power: float
    setpoint: float


def carnot_like_cop(efficiency: float, evaporating: float, condensing: float) -> float:
    """Heat per electricity of a compressor: all its electricity becomes heat, on top of what it lifts. [C]

    Of the ideal cooling machine it reaches a share; it falls with the lift, to meet the public fleet.
    """
    lift = max(condensing - evaporating, 12.0)
    return 1.0 + efficiency * (1.18 - 0.0072 * lift) * (evaporating + 273.15) / lift


class HeatPump:
    """An air-to-water heat pump in its house. Deterministic for profile, seed, start and changes.

    Time passes in segments of 60 s around whatever happens and up to 300 s else, on a fixed grid; a reading lies
    on the straight line between a segment's ends. So the pace of asking changes nothing. Ask oldest first.

    heat_j, backup_j, electric_j : what it gave and took since the start; electricity without the heater. [J]
    """

    DEFROST_C = (-4.0, 12.0, 42.0)
    """Evaporating, condensing and discharge temperature while the circuit is turned round. [C]"""

    def __init__(
        self,
        profile: Profile,
        seed: int,
        start_ms: int,
        changes: Sequence[Change] = (),
        weather: Weather | None = None,
    ) -> None:
        self.profile, self.changes = profile, tuple(changes)
        self.refrigerant = REFRIGERANTS[profile.refrigerant]
        self.weather = weather or Weather(profile.climate, seed)
        self.noise = Noise(seed)
        self.start_ms = self.end_ms = start_ms - start_ms % 60_000
        self.span_ms = 0
        ambient = self.weather.at(self.end_ms)[0]
        self.mild = ambient
        self.levels: dict[str, float] = {}
        # A little too cold, so that whoever starts it sees something happen at once.
        indoor = max(self.indoor_set(start_ms // 1000) - 0.4, ambient)
        self.house, self.tank = House(profile, indoor, ambient), Tank(profile, self.noise)
        self.tank.celsius -= 4.0 * self.noise.share(2)
        self.mode, self.since_s, self.resume, self.idle_s = OFF, 3600, OFF, 3600
        self.calls = False
        self.frost = 0.6 * self.noise.share(3) if ambient < 5.0 else 0.0
        self.heater = False
        self.flow, self.flow_set = 0.0, profile.curve_c + profile.curve_slope * (20.0 - ambient)
        self.heat_j = self.backup_j = self.electric_j = self.positive_j = 0.0
        self.backup_w = 0.0
        water, indoor, tank = self.house.water, self.house.indoor, self.tank.celsius
        self.after = State(ambient, water, 0.0, indoor, tank, ambient, ambient, ambient, STANDBY_W, self.flow_set)
        self.before = self.after

    def advance(self, ms: int) -> None:
        """Let time pass until a segment holds `ms`."""
        while self.end_ms <= ms:
            self._step()

    def stored_j(self) -> float:
        """Heat in house, water and tank, from 0 C."""
        return self.house.stored_j() + self.tank.stored_j()

    @property
    def compressor(self) -> bool:
        return SPACE <= self.mode <= DEFROST

    def indoor_set(self, at_s: int) -> float:
        hour = at_s % DAY_S // HOUR_S
        night = hour >= NIGHT_H[0] or hour < NIGHT_H[1]
        return self.profile.indoor_c + self.levels.get("indoor_raised", 0.0) - night * self.profile.setback_k

    # -- what to do

    def _enter(self, mode: int) -> None:
        if mode != self.mode:
            if mode in (OFF, BOOST):
                self.idle_s = 0
            self.mode, self.since_s = mode, 0

    def _decide(self, at_s: int) -> None:
        mode, since = self.mode, self.since_s
        if mode == DEFROST:
            if self.frost <= 0.0 or since >= 900:
                self._enter(self.resume)
            return
        if self.frost >= 1.0 and mode in (SPACE, DHW) and since >= 300 and "frozen_evaporator" not in self.levels:
            self.resume = mode
            self._enter(DEFROST)
            return
        if self.profile.tank_l and self._heats_tank(at_s):
            return
        wants = self._room_wants(at_s)
        if wants and (self.mode == SPACE or self.idle_s >= 600 or self.mode == DHW):
            self._enter(SPACE)
        elif not wants:
            self._enter(OFF)

    def _heats_tank(self, at_s: int) -> bool:
        """Charge below the set point until it is reached; on Sundays at 2 h UTC the heater goes on to 55 C."""
        tank, target = self.tank.celsius, self.profile.dhw_c
        if self.mode == BOOST:
            if tank < BOOST_C and self.since_s < 4 * HOUR_S:
                return True
            self._enter(OFF)
        elif self.mode == DHW:
            return tank < target
        elif self.profile.backup_w and at_s % (7 * DAY_S) // HOUR_S == 74 and tank < BOOST_C - 5.0:
            self._enter(BOOST)
            return True
        elif tank < target - 7.0 and (self.mode == SPACE or self.idle_s >= 600):
            self._enter(DHW)
            return True
        return False

    def _room_wants(self, at_s: int) -> bool:
        """Thermostat; a unit that modulates also stops when its water is too warm at its least output."""
        p, after, target = self.profile, self.after, self.indoor_set(at_s)
        over, under = (0.35, 0.35) if p.least == 1.0 else (0.5, 0.1)
        if after.indoor > target + over:
            self.calls = False
        elif after.indoor < target - under:
            self.calls = True
        cycling = self.levels.get("short_cycling")
        if cycling and self.calls and self.mode in (OFF, SPACE):
            half = 300 - 60 * round(2.0 * cycling)
            if self.since_s >= half:
                self.idle_s = 600
                return self.mode == OFF
            return self.mode == SPACE
        if p.least == 1.0 or not self.calls:
            return self.calls
        if self.mode == SPACE:
            outlet = after.water + after.heat / (p.flow_l_min / 30.0 * water_j_l_k(after.water))
            return outlet < self.flow_set + 4.0 or self.since_s < 600
        return self.house.water < self.flow_set - 3.0 or self.mode == DHW

    # -- what comes of it

    def _step(self) -> None:
        at_ms = self.end_ms
        at_s = at_ms // 1000
        if self.changes:
            self.levels = {change.name: size for change in self.changes for size in [change.at(at_ms)] if size}
        self._decide(at_s)
        busy = self.since_s < 600 or "short_cycling" in self.levels
        dt = 60 if busy else 300 - at_s % 300
        levels, p, mode, start = self.levels, self.profile, self.mode, self.after
        ambient, humidity = self.weather.at(at_ms + dt * 1000)
        self.mild += (ambient - self.mild) * dt / 10800.0
        self.flow_set = flow_set = min(
            p.curve_c + p.curve_slope * (20.0 - self.mild) + levels.get("curve_raised", 0.0), 58.0
        )
        low = levels.get("low_charge", 0.0)
        heater_w = self._heater_w(ambient)
        pump = mode != OFF or self.since_s < 180 or heater_w > 0.0
        self.flow = flow = p.flow_l_min * (1.0 - 0.6 * levels.get("dirty_filter", 0.0)) if pump else 0.0
        water_w_k = flow / 60.0 * water_j_l_k(start.water) if pump else 1.0

        # Heat wanted, and what the compressor takes for it.
        wanted = self._wanted_w(ambient, low, water_w_k)
        load = wanted / p.capacity_w
        power = STANDBY_W + PUMP_W * pump
        evaporating = condensing = discharge = ambient
        if mode == SPACE or mode == DHW:
            wanted, compressor_w, evaporating, condensing = self._compress(wanted, ambient, low, water_w_k)
            discharge = self.refrigerant.discharge_c(evaporating, condensing) + 18.0 * low
            power += FAN_W + compressor_w
        elif mode == DEFROST:
            evaporating, condensing, discharge = self.DEFROST_C
            power += 0.12 * p.capacity_w
        self._frost(mode, load, ambient, humidity, dt)

        # Heat given: it lags a minute behind; where it goes loses none of it.
        heat = wanted + (start.heat - wanted) * math.exp(-dt / 60.0)
        if mode in (OFF, BOOST) and self.since_s >= 120:
            heat = 0.0
        heat_j = 0.5 * (start.heat + heat) * dt
        self.backup_w = heater_w
        backup_j = heater_w * dt
        to_tank = mode in (DHW, BOOST) or (mode == DEFROST and self.resume == DHW)
        self.house.step(0.0 if to_tank else heat_j + backup_j, ambient, dt)
        if p.tank_l:
            self.tank.step(heat_j + backup_j if to_tank else 0.0, at_s, dt)
        tank = self.tank.celsius
        water = tank + (heat + heater_w) / p.coil_w_k if to_tank else self.house.water

        # What the sensors see follows within a minute or two.
        fast, slow = math.exp(-dt / 45.0), math.exp(-dt / (150.0 if load else 900.0))
        self.before = start if self.since_s else start._replace(power=power)
        self.after = State(
            ambient,
            water + (start.water - water) * fast,
            heat,
            self.house.indoor,
            tank,
            evaporating + (start.evaporating - evaporating) * fast,
            condensing + (start.condensing - condensing) * fast,
            discharge + (start.discharge - discharge) * slow,
            power,
            flow_set,
        )
        self.heat_j += heat_j
        self.positive_j += max(heat_j, 0.0)
        self.backup_j += backup_j
        self.electric_j += 0.5 * (self.before.power + power) * dt
        self.since_s += dt
        self.idle_s += dt
        self.span_ms = dt * 1000
        self.end_ms = at_ms + self.span_ms

    def _compress(
        self, wanted: float, ambient: float, low: float, water_w_k: float
    ) -> tuple[float, float, float, float]:
        """Heat it gives, power it takes, evaporating and condensing temperature. [W, W, C, C]"""
        p = self.profile
        load = wanted / p.capacity_w
        water = self.tank.celsius + wanted / p.coil_w_k if self.mode == DHW else self.house.water
        outlet = water + wanted / 2.0 / water_w_k
        evaporating = ambient - p.approach_k * (0.35 + 0.65 * load) - 2.6 * self.frost - 10.0 * low
        condensing = outlet + 0.4 + 1.6 * load - 1.5 * low
        efficiency = (
            p.efficiency
            * (1.0 - 0.22 * low)
            * (1.0 - 0.04 * min(self.frost, 6.0))
            * (1.0 - 0.3 * (load - 0.5) ** 2)
        )
        power = wanted / carnot_like_cop(efficiency, evaporating, condensing)
        if power <= p.power_limit_w:
            return wanted, power, evaporating, condensing
        return wanted * p.power_limit_w / power, p.power_limit_w, evaporating, condensing

    def _heater_w(self, ambient: float) -> float:
        """The backup heater: stuck, for the weekly boost, or where the compressor is too weak in the cold. [W]"""
        p = self.profile
        stuck = self.levels.get("heater_stuck", 0.0) * (p.backup_w or 2000.0)
        short = (
            self.mode == SPACE
            and ambient < -5.0
            and self.house.water < self.flow_set - (3.0 if self.heater else 6.0)
        )
        self.heater = short and self.since_s >= 1200
        return max(stuck, p.backup_w if self.mode == BOOST or self.heater else 0.0)

    def _wanted_w(self, ambient: float, low: float, water_w_k: float) -> float:
        p, mode = self.profile, self.mode
        if mode == OFF or mode == BOOST:
            return 0.0
        if mode == DEFROST:
            return -0.4 * p.capacity_w
        most = (
            p.capacity_w
            * (1.0 + 0.015 * min(ambient - 7.0, 8.0))
            * (1.0 - 0.08 * min(self.frost, 6.0))
            * (1.0 - 0.35 * low)
        )
        if mode == DHW:
            return min(most, p.dhw_w)
        if p.least == 1.0 or "short_cycling" in self.levels:
            return most
        house = self.house
        target = self.flow_set - self.after.heat / 2.0 / water_w_k
        hold = p.emitter_w_k * (house.water - house.indoor) - self.backup_w
        return min(max(hold + p.loop_j_k * (target - house.water) / 1500.0, p.least * p.capacity_w), most)

    def _frost(self, mode: int, load: float, ambient: float, humidity: float, dt: int) -> None:
        """Frost grows on a coil below 0 C in humid air; a defrost (at 1) or warm air melts it."""
        if mode == DEFROST:
            self.frost -= dt / 330.0
        elif self.compressor and ambient < 5.5 and self.after.evaporating < -0.5:
            wet = (
                max(humidity - 0.55, 0.0)
                / 0.35
                * min((5.5 - ambient) / 3.0, 1.0)
                * max(1.0 + 0.08 * min(ambient, 0.0), 0.3)
            )
            most = 1.0 + 5.0 * self.levels.get("frozen_evaporator", 0.0)
            self.frost = min(self.frost + wet * (0.4 + 0.6 * load) * dt / 4800.0, most)
        elif ambient > 5.5:
            self.frost -= (ambient - 5.0) * dt / 14400.0
        self.frost = max(self.frost, 0.0)
