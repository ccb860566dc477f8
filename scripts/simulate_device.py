#!/usr/bin/env python3
"""Play heat pumps over MQTT, as devices in the field would.

    python scripts/simulate_device.py --device-id site1 --interval 10

Runs alone: Python 3.8 or newer and paho-mqtt 1.6 or 2.x, nothing else, which is why it is one long file. Ctrl-C
ends it. Its model, assumptions and limits: docs/explanation/simulator.md. It shares no formula with the project's
own physics, else a wrong one would confirm itself.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, NamedTuple, TextIO

VERSION = "1.1.0"
DEVICE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
UTC = timezone.utc  # noqa: UP017 (Python 3.8 has no datetime.UTC)
HOUR_S, DAY_S = 3600, 86400
Row = "dict[str, Any]"
"""What one device measured at one instant: stored field -> number or flag."""


# ---- Refrigerant -----------------------------------------------------------------------------------------------


class Refrigerant(NamedTuple):
    """How a refrigerant's pressure and discharge temperature go with its saturation temperature.

    coefficients : of ln(p / psia), a cubic in 1000 K / T - 3.5; fitted to the dew line, -35 to 65 C, to 0.25 %.
    superheat_k  : of the discharge gas without lift. [K]
    superheat_share : how much of the lift between evaporating and condensing adds to it.
    """

    coefficients: tuple[float, float, float, float]
    superheat_k: float
    superheat_share: float

    def gauge_psi(self, saturation_c: float) -> float:
        """Pressure at which it evaporates or condenses. [psig]"""
        a, b, c, d = self.coefficients
        u = 1000.0 / (saturation_c + 273.15) - 3.5
        return math.exp(a + u * (b + u * (c + u * d))) - 14.696

    def discharge_c(self, evaporating_c: float, condensing_c: float) -> float:
        """Temperature of the gas that leaves a healthy compressor. [C]"""
        return condensing_c + self.superheat_k + self.superheat_share * (condensing_c - evaporating_c)


REFRIGERANTS = {
    "R32": Refrigerant((5.15359, -2.38158, -0.00431, -0.05449), 5.0, 0.48),
    "R410A": Refrigerant((5.13286, -2.36896, -0.00335, -0.06523), 7.0, 0.36),
    "R290": Refrigerant((4.59704, -2.26796, -0.01957, -0.0346), 5.0, 0.26),
}


# ---- Weather ---------------------------------------------------------------------------------------------------


class Climate(NamedTuple):
    """mean_c: of the year; season_k, day_k, spell_k: how far season, hour and weather take it from there. [K]"""

    mean_c: float
    season_k: float
    day_k: float
    spell_k: float


COAST = Climate(10.8, 5.2, 1.7, 3.6)
INLAND = Climate(9.4, 8.0, 3.0, 5.6)


class Weather:
    """Outdoor temperature and humidity of a place, from seed and time alone.

    A year, a day and four spells of 2.7 to 17 days as smooth waves; clear spells have wider days.
    Worked out every quarter of an hour and straight in between.
    """

    KNOT_MS = 900_000
    SPELLS = ((2.7, 0.22), (5.3, 0.28), (9.1, 0.28), (17.3, 0.22))
    COLDEST_DAY, COLDEST_HOUR = 20, 4.5

    def __init__(self, climate: Climate, seed: int) -> None:
        turn = random.Random(f"weather {seed}")
        self.climate = climate
        self.waves = [
            (2.0 * math.pi / days, share, turn.uniform(0.0, 2.0 * math.pi)) for days, share in self.SPELLS
        ]
        self.cloud = turn.uniform(0.0, 2.0 * math.pi)
        self.index = -1
        self.left = self.right = (0.0, 0.0)

    def at(self, ms: int) -> tuple[float, float]:
        """Temperature [C] and relative humidity [0 to 1] at a time. [ms since 1970]"""
        index, rest = divmod(ms, self.KNOT_MS)
        if index != self.index:
            self.left = self.right if index == self.index + 1 else self._knot(index)
            self.right = self._knot(index + 1)
            self.index = index
        share = rest / self.KNOT_MS
        (cold, dry), (warm, wet) = self.left, self.right
        return cold + (warm - cold) * share, dry + (wet - dry) * share

    def _knot(self, index: int) -> tuple[float, float]:
        days = index * self.KNOT_MS / 86_400_000.0
        climate = self.climate
        winter = math.cos(2.0 * math.pi * (days - self.COLDEST_DAY) / 365.2425)
        night = math.cos(2.0 * math.pi * (days - self.COLDEST_HOUR / 24.0))
        spell = sum(share * math.sin(pace * days + phase) for pace, share, phase in self.waves)
        clear = 0.5 + 0.5 * math.sin(1.7 * days + self.cloud)
        width = climate.day_k * (0.5 + 0.8 * clear) * (1.0 - 0.35 * winter)
        temperature = climate.mean_c - climate.season_k * winter + climate.spell_k * spell - width * night
        humidity = 0.80 + 0.05 * winter + (0.04 + 0.08 * clear) * night - 0.06 * clear
        return temperature, min(max(humidity, 0.35), 0.99)


# ---- Profiles: what stands where -------------------------------------------------------------------------------


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


# ---- Faults and events -----------------------------------------------------------------------------------------


FAULTS = {
    "low_charge": "refrigerant leaks: low pressure and capacity fall, the discharge gas gets hotter",
    "short_cycling": "the compressor starts every 6 to 10 minutes while heat is wanted",
    "frozen_evaporator": "frost is not melted: the evaporator gets ever colder below the air, capacity falls",
    "dirty_filter": "the water filter clogs: less flow, more between flow and return, higher pressure",
    "heater_stuck": "the backup heater stays on",
    "dropout": "the device is silent for blocks of ten minutes",
    "reboot": "the device restarts again and again: gaps, 85.0 as first temperatures, counters from 0",
    "uptime_clock": "timestamps are milliseconds since boot, as of old firmware",
    "stuck_sensor": "the flow temperature sensor keeps its last value",
    "spikes": "single values are absurd",
    "wrong_clock": "the device's clock is ahead",
}
EVENTS = {"curve_raised": "the heating curve is raised by so many K", "indoor_raised": "so is the room set point"}
RAMP_MS = {"low_charge": 7 * 86_400_000, "dirty_filter": 7 * 86_400_000}
"""How long a fault grows until it has its severity; the others have it at once."""


class Change(NamedTuple):
    """A fault or an event: its name, its severity (of a fault 0 to 1) or size, and its span. [ms since 1970]"""

    name: str
    size: float
    start_ms: int
    end_ms: int

    def at(self, ms: int) -> float:
        """Its size at a time; 0 outside its span."""
        if not self.start_ms <= ms < self.end_ms:
            return 0.0
        ramp = RAMP_MS.get(self.name)
        return self.size if ramp is None else self.size * min((ms - self.start_ms) / ramp, 1.0)


CHANGE = re.compile(r"(?P<name>[a-z_]+)(:(?P<size>-?[0-9.]+))?(@(?P<start>.*?)(\.\.(?P<end>.*))?)?")
ALWAYS_MS, NEVER_MS = 0, 10**15


def parse_change(text: str, now_ms: int, known: dict[str, str]) -> Change:
    """Read NAME[:size][@start[..end]]; the name is one of the known. Raises ValueError with a sentence."""
    match = CHANGE.fullmatch(text)
    if not match or match["name"] not in known:
        raise ValueError(f"{text!r} is not NAME[:size][@start[..end]] with one of {', '.join(known)}")
    name, event = match["name"], match["name"] in EVENTS
    try:
        size = float(match["size"] or (3.0 if event else 1.0))
    except ValueError:
        raise ValueError(f"{match['size']!r} in {text!r} is no number") from None
    if not event and not 0.0 < size <= 1.0:
        raise ValueError(f"the severity {size:g} of {name} is not above 0 and at most 1")
    if event and not -10.0 <= size <= 15.0:
        raise ValueError(f"{size:g} K of {name} is not from -10 to 15")
    start = parse_time(match["start"], now_ms) if match["start"] else ALWAYS_MS
    end = parse_time(match["end"], now_ms) if match["end"] else NEVER_MS
    if end <= start:
        raise ValueError(f"{text!r} ends before it starts")
    return Change(name, size, start, end)


SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)(s|min|m|h|d|w)")
SPAN_S = {"s": 1, "m": 60, "min": 60, "h": HOUR_S, "d": DAY_S, "w": 7 * DAY_S}


def parse_span(text: str) -> int:
    """Read a length such as 14d, 36h or 10min. [ms] Raises ValueError with a sentence."""
    match = SPAN.fullmatch(text)
    if not match or float(match[1]) <= 0.0:
        raise ValueError(f"{text!r} is no length such as 14d, 36h or 10min")
    return int(float(match[1]) * SPAN_S[match[2]] * 1000)


def parse_time(text: str, now_ms: int) -> int:
    """Read ISO 8601 (without a zone: UTC), or a length before or after now: -3d, +6h. [ms since 1970]"""
    if text[:1] in ("-", "+") and SPAN.fullmatch(text[1:]):
        return now_ms + (-1 if text[0] == "-" else 1) * parse_span(text[1:])
    try:
        at = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)
    except ValueError:
        raise ValueError(f"{text!r} is no time such as 2026-01-31T12:00 (UTC) or -3d") from None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return round(at.timestamp() * 1000)


# ---- House and tank --------------------------------------------------------------------------------------------


def water_j_l_k(celsius: float) -> float:
    """Heat that a litre of water takes for a K: density times specific heat. [J/(L K)]"""
    return 4206.6 - 1.53 * celsius


class House:
    """A room that stores heat and loses it, and the heating water that warms it.

    Above 24 C people open windows: the loss grows. Counts what it got and lost. [J]
    """

    WINDOW_C = 24.0

    def __init__(self, profile: Profile, indoor: float, ambient: float) -> None:
        self.profile, self.indoor = profile, indoor
        self.water = self.indoor + 6.0 if ambient < 14.0 else self.indoor
        self.lost_j = self.gained_j = 0.0

    def step(self, heat_j: float, ambient: float, dt: int) -> None:
        """Give heat to the water and let time pass; no joule is made or lost. [J, C, s]"""
        p, indoor, water = self.profile, self.indoor, self.water
        rest = indoor + heat_j / dt / p.emitter_w_k
        self.water = rest + (water - rest) * math.exp(-dt * p.emitter_w_k / p.loop_j_k)
        emitted_j = heat_j - p.loop_j_k * (self.water - water)
        loss_w_k = p.loss_w_k
        if indoor > self.WINDOW_C:
            loss_w_k *= 1.0 + min(indoor - self.WINDOW_C, 4.0)
        lost_j = loss_w_k * (indoor - ambient) * dt
        gained_j = p.gains_w * dt
        self.lost_j += lost_j
        self.gained_j += gained_j
        self.indoor = indoor + (emitted_j + gained_j - lost_j) / p.house_j_k

    def stored_j(self) -> float:
        return self.profile.house_j_k * self.indoor + self.profile.loop_j_k * self.water


class Tank:
    """A mixed hot-water tank; people draw by the hour, more on some days. Counts what was drawn and lost. [J]"""

    LOSS_W_K, CELLAR_C = 1.8, 17.0
    DRAWS = (0, 0, 0, 0, 0, 2, 12, 16, 10, 5, 3, 3, 5, 3, 2, 2, 3, 5, 9, 8, 5, 4, 2, 1)
    """Share of a day's hot water, by hour UTC. [%]"""

    def __init__(self, profile: Profile, noise: Noise) -> None:
        self.profile, self.noise = profile, noise
        self.capacity_j_k = profile.tank_l * 4170.0
        self.celsius = profile.dhw_c - 2.0
        self.drawn_j = self.lost_j = 0.0

    def draw_w(self, at_s: int) -> float:
        """Heat that people take, averaged over the hour. [s since 1970]"""
        day, second = divmod(at_s, DAY_S)
        if self.celsius < 25.0:
            return 0.0
        today = 1.0 + 0.25 * max(-2.0, min(2.0, self.noise.slow(day)))
        return self.profile.dhw_kwh_day * 36e3 * self.DRAWS[second // HOUR_S] / HOUR_S * today

    def step(self, heat_j: float, at_s: int, dt: int) -> None:
        drawn_j = self.draw_w(at_s) * dt
        lost_j = self.LOSS_W_K * (self.celsius - self.CELLAR_C) * dt
        self.drawn_j += drawn_j
        self.lost_j += lost_j
        self.celsius += (heat_j - drawn_j - lost_j) / self.capacity_j_k

    def stored_j(self) -> float:
        return self.capacity_j_k * self.celsius


class Noise:
    """Repeatable noise: a value depends on seed and time alone, so nobody's pace of asking changes it."""

    TABLE = tuple(map(random.Random(0).gauss, [0.0] * 4096, [1.0] * 4096))

    def __init__(self, seed: int) -> None:
        self.key = random.Random(f"noise {seed}").getrandbits(61) | 1

    def hash(self, number: int) -> int:
        """A number's 32 shuffled bits."""
        mixed = (number + self.key) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
        mixed = (mixed ^ mixed >> 29) * self.key & 0xFFFFFFFFFFFFFFFF
        return mixed >> 31 & 0xFFFFFFFF

    def share(self, number: int) -> float:
        """Evenly from 0 to 1."""
        return self.hash(number) / 2**32

    def slow(self, number: int) -> float:
        """One normal value a number."""
        return self.TABLE[self.hash(number) & 4095]


# ---- The heat pump ---------------------------------------------------------------------------------------------


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


# ---- What the device measures ----------------------------------------------------------------------------------


class Device:
    """A monitoring device on a heat pump: what it measures, and in which form it says so.

    flow, counters : whether it has a flow meter and energy counters; None: as the profile says.
    Deterministic for its arguments; ask oldest first.
    """

    def __init__(
        self,
        device_id: str = "site1",
        profile: Profile = PROFILES["terrace"],
        seed: int = 0,
        start_ms: int = 0,
        changes: Sequence[Change] = (),
        flow: bool | None = None,
        counters: bool | None = None,
        weather: Weather | None = None,
    ) -> None:
        self.device_id, self.profile = device_id, profile
        self.pump = HeatPump(profile, seed, start_ms, changes, weather)
        self.noise = self.pump.noise
        self.flow = profile.flow_meter if flow is None else flow
        self.counters = profile.counters if counters is None else counters
        self.heater = profile.backup_w > 0.0 or any(change.name == "heater_stuck" for change in changes)
        self.changes = tuple(changes)
        self.boot: int | None = None
        self.boot_ms = self.pump.start_ms - HOUR_S * 1000
        self.counted_j = (0.0, 0.0)
        self.stuck: float | None = None
        self.said_rssi_ms = 0

    def sample(self, ms: int) -> Row | None:
        """Measure everything at a time; None where the device is silent. [ms since 1970]"""
        if not self.changes:
            return self._measure(ms)
        levels = {change.name: (size, change) for change in self.changes for size in [change.at(ms)] if size}
        if "stuck_sensor" in levels and self.stuck is None:
            self.stuck = self._measure(max(levels["stuck_sensor"][1].start_ms, self.pump.start_ms))["temp_outlet"]
        row = self._measure(ms)
        if "dropout" in levels and self.noise.share(ms // 600_000) < levels["dropout"][0]:
            return None
        if "reboot" in levels and self._boots(row, ms, *levels["reboot"]):
            return None
        if "stuck_sensor" in levels:
            row["temp_outlet"] = self.stuck
        if "spikes" in levels:
            self._spike(row, ms, levels["spikes"][0])
        return row

    def _measure(self, ms: int) -> Row:
        pump, p = self.pump, self.profile
        if pump.end_ms <= ms:
            pump.advance(ms)
        x = 1.0 - (pump.end_ms - ms) / pump.span_ms
        ambient, water, heat, indoor, tank, evaporating, condensing, discharge, power, setpoint = [
            a + (b - a) * x
            for a, b in zip(pump.before, pump.after)  # noqa: B905
        ]
        noise, table = pump.noise, pump.noise.TABLE
        bits = noise.hash(ms)
        one, two, three, four = (
            table[bits & 4095],
            table[bits >> 8 & 4095],
            table[bits >> 16 & 4095],
            table[bits >> 20],
        )
        flow, mode = pump.flow, pump.mode
        half = heat / (flow / 30.0 * water_j_l_k(water)) if flow else 0.0
        slot, rest = divmod(ms, 600_000)
        low, high = noise.slow(slot), noise.slow(slot + 1)
        voltage = round(231.0 + 2.0 * (low + (high - low) * rest / 600_000.0) + 0.2 * one, 1)
        current = round(power * (1.0 + 0.008 * two) / (voltage * POWER_FACTOR), 3)
        psi = pump.refrigerant.gauge_psi
        to_tank = mode == DHW or mode == BOOST or (mode == DEFROST and pump.resume == DHW)
        at_s = ms // 1000
        row = {
            "temp_inlet": round(water - half + 0.02 * three, 2),
            "temp_outlet": round(water + half + 0.02 * four, 2),
            "temp_ambient": round(ambient + 0.05 * one, 1),
            "temp_compressor": round(discharge + 0.1 * two, 1),
            "temp_indoor": round(indoor + 0.02 * three, 2),
            "voltage": voltage,
            "current": current,
            "power": round(voltage * current * POWER_FACTOR, 1),
            "pressure_high": round(psi(condensing) + 0.4 * four, 1),
            "pressure_low": round(psi(evaporating) + 0.2 * two, 1),
            "compressor_running": SPACE <= mode <= DEFROST,
            "fan_running": mode == SPACE or mode == DHW,
            "defrost_active": mode == DEFROST,
            "water_pressure": round(1.35 + 0.009 * water + 0.003 * one, 2),
            "setpoint_flow": round(setpoint, 1),
            "setpoint_indoor": pump.indoor_set(at_s),
        }
        if self.flow:
            row["flow_rate"] = round(flow * (1.0 + 0.004 * three), 2)
        if p.tank_l:
            row["temp_dhw"] = round(tank + 0.03 * four, 2)
            row["dhw_active"] = to_tank
            row["setpoint_dhw"] = BOOST_C if mode == BOOST else p.dhw_c
        if self.heater:
            row["backup_power"] = round(pump.backup_w * (voltage / 230.0) ** 2, 1)
            row["backup_active"] = pump.backup_w > 0.0
        if self.counters:
            left = (1.0 - x) * pump.span_ms / 1000.0
            heat_j = pump.positive_j - left * max(0.5 * (pump.before.heat + pump.after.heat), 0.0)
            electric_j = pump.electric_j - left * 0.5 * (pump.before.power + pump.after.power)
            row["heat_energy"] = round((heat_j - self.counted_j[0]) / 3.6e6, 3)
            row["electric_energy"] = round((electric_j - self.counted_j[1]) / 3.6e6, 3)
        return row

    def _boots(self, row: Row, ms: int, size: float, change: Change) -> bool:
        """Restart every 10 minutes / severity; whether it still starts. The first reading has power-on values."""
        period = int(600_000 / size)
        number, rest = divmod(ms - max(change.start_ms, self.pump.start_ms), period)
        if rest < 45_000 and number:
            return True
        if self.boot is not None and number != self.boot:
            self.boot_ms = ms - rest
            self.counted_j = (self.pump.positive_j, self.pump.electric_j)
            row.update({name: 0.0 for name in ("heat_energy", "electric_energy") if name in row})
            row.update({name: 85.0 for name in ("temp_inlet", "temp_outlet", "temp_ambient")})
        self.boot = number
        return False

    def _spike(self, row: Row, ms: int, size: float) -> None:
        """Severity 1: one reading in ten has an absurd value, some of it physically possible."""
        bits = self.noise.hash(ms + 7)
        if bits % 1000 < 100 * size:
            names = ("temp_outlet", "temp_inlet", "temp_ambient", "power", "pressure_high", "temp_indoor")
            name = names[bits // 1000 % len(names)]
            row[name] = (-127.0, 32767.0, round(row[name] * 2.5 + 20.0, 1))[bits // 7000 % 3]

    def clock_ms(self, ms: int) -> int:
        """What the device's own clock says at a time. [ms]"""
        ahead = sum(change.at(ms) for change in self.changes if change.name == "wrong_clock")
        if any(change.name == "uptime_clock" and change.at(ms) for change in self.changes):
            return int((ms - self.boot_ms) % 2**32)
        return ms + int(ahead * 86_400_000)

    def reading(self, ms: int) -> Row | None:
        """Measure at a time, in the form of docs/reference/mqtt.md; None where the device is silent."""
        row = self.sample(ms)
        return None if row is None else self.payload(ms, row)

    def payload(self, ms: int, row: Row) -> Row:
        """Bring what was measured into the nested form of a message."""
        temperature = {
            "inlet": row["temp_inlet"],
            "outlet": row["temp_outlet"],
            "ambient": row["temp_ambient"],
            "compressor": row["temp_compressor"],
            "indoor": row["temp_indoor"],
        }
        electrical = {"voltage": row["voltage"], "current": row["current"], "power": row["power"]}
        hydraulic = {"pressure": row["water_pressure"]}
        status = {
            "compressor": row["compressor_running"],
            "fan": row["fan_running"],
            "defrost": row["defrost_active"],
        }
        setpoint = {"flow": row["setpoint_flow"], "indoor": row["setpoint_indoor"]}
        message = {
            "device": self.device_id,
            "timestamp": self.clock_ms(ms) if self.changes else ms,
            "version": VERSION,
            "temperature": temperature,
            "electrical": electrical,
            "pressure": {"high": row["pressure_high"], "low": row["pressure_low"]},
            "hydraulic": hydraulic,
            "status": status,
            "setpoint": setpoint,
        }
        if "flow_rate" in row:
            hydraulic["flow"] = row["flow_rate"]
        if "temp_dhw" in row:
            temperature["dhw"], setpoint["dhw"] = row["temp_dhw"], row["setpoint_dhw"]
            status["dhw"] = row["dhw_active"]
        if "backup_power" in row:
            electrical["backup"], status["backup"] = row["backup_power"], row["backup_active"]
        if "heat_energy" in row:
            message["energy"] = {"heat": row["heat_energy"], "electric": row["electric_energy"]}
        message["alerts"] = alert_levels(row)
        message["valid"] = dict(ALL_VALID)
        return message

    def attributes(self) -> dict[str, str]:
        """What it publishes retained under status/: sub-topic -> text."""
        return {"version": VERSION, "simulated": "true"}


SENSORS = ("temp_inlet", "temp_outlet", "temp_ambient", "temp_compressor")
SENSORS += ("voltage", "current", "pressure_high", "pressure_low")
ALL_VALID = dict.fromkeys(SENSORS, True)

ALERT_LEVELS = {
    "voltage": ("voltage", (215.0, 245.0), (210.0, 250.0)),
    "compressor_temp": ("temp_compressor", (-99.0, 85.0), (-99.0, 95.0)),
    "pressure_high": ("pressure_high", (-99.0, 400.0), (-99.0, 450.0)),
    "pressure_low": ("pressure_low", (40.0, 999.0), (20.0, 999.0)),
    "current": ("current", (-1.0, 12.0), (-1.0, 15.0)),
}
"""By alert: the field, lowest and highest value that is still well, then that is still no critical one."""


def alert_level(name: str, value: float) -> int:
    """Judge a value as the firmware does: 0 ok, 1 warning, 2 critical."""
    _, well, bearable = ALERT_LEVELS[name]
    return (not well[0] < value < well[1]) + (not bearable[0] < value < bearable[1])


def alert_levels(row: Row) -> dict[str, int]:
    """Judge what was measured; pressures only while the compressor runs and does not defrost."""
    levels = {}
    refrigerant_runs = row["compressor_running"] and not row["defrost_active"]
    for name, (field, (low, high), _) in ALERT_LEVELS.items():
        judged = refrigerant_runs or name[0] != "p"
        levels[name] = alert_level(name, row[field]) if judged and not low < row[field] < high else 0
    return levels


def rows(device: Device, start_ms: int, end_ms: int, interval_s: float) -> Iterator[tuple[int, Row]]:
    """What a device measures from start until before end: time [ms since 1970] and stored fields.

    The same device goes on with a later span.
    """
    step_ms = round(interval_s * 1000)
    for ms in range(start_ms, end_ms, step_ms):
        row = device.sample(ms)
        if row is not None:
            yield ms, row


def readings(device: Device, start_ms: int, end_ms: int, interval_s: float) -> Iterator[tuple[int, Row]]:
    """Like `rows`, as nested messages."""
    return ((ms, device.payload(ms, row)) for ms, row in rows(device, start_ms, end_ms, interval_s))


# ---- CSV -------------------------------------------------------------------------------------------------------


def columns(device: Device) -> list[str]:
    """Stored fields that the device's rows hold, in the order of its CSV."""
    probe = Device("probe", device.profile, 0, 0, device.changes, device.flow, device.counters)
    return list(probe._measure(0))


def write_csv(device: Device, spans: Iterable[tuple[int, int, float]], out: TextIO) -> int:
    """Write rows of spans (start, end, interval: ms, ms, s) as CSV; the number of rows.

    Column time: ms since 1970; flags are 1 and 0; a missing value is an empty cell.
    """
    fields = columns(device)
    out.write("time," + ",".join(fields) + "\n")
    text = {True: "1", False: "0"}
    count = 0
    for span in spans:
        for ms, row in rows(device, *span):
            cells = [text[value] if value.__class__ is bool else str(value) for value in map(row.get, fields)]
            out.write(f"{ms},{','.join(cells)}\n".replace("None", ""))
            count += 1
    return count


def mapping(device: Device) -> str:
    """The mapping (TOML) with which `heatpump import csv` reads that CSV."""
    lines = ["[source]", 'time = "time"', 'time_format = "unix_ms"']
    for field in columns(device):
        lines += ["", f"[quantity.{field}]", f'field = "{field}"']
    return "\n".join(lines) + "\n"


# ---- Backfill: history goes through the import path ------------------------------------------------------------


def heatpump_command() -> str | None:
    """Find the `heatpump` command: beside this Python, or on the PATH."""
    beside = os.path.join(os.path.dirname(sys.executable), "heatpump")
    return beside if os.access(beside, os.X_OK) else shutil.which("heatpump")


def backfill(device: Device, start_ms: int, end_ms: int, interval_s: float, heatpump: str) -> bool:
    """Import what a device measured in a span; whether that went well. The flow must run."""
    with tempfile.TemporaryDirectory(prefix="heatpump-simulated-") as folder:
        table, fields = os.path.join(folder, device.device_id + ".csv"), os.path.join(folder, "mapping.toml")
        with open(table, "w", encoding="utf-8") as out:
            count = write_csv(device, [(start_ms, end_ms, interval_s)], out)
        with open(fields, "w", encoding="utf-8") as out:
            out.write(mapping(device))
        say(f"{device.device_id}: importing {count} readings from {iso(start_ms)} on")
        command = [heatpump, "import", "csv", table, "--device", device.device_id, "--map", fields]
        return subprocess.call(command) == 0


def bring_history(devices: Sequence[Device], start_ms: int, end_ms: int, interval_s: float) -> str:
    """Import the history of all devices; why it failed, or ""."""
    heatpump = heatpump_command()
    if heatpump is None:
        return (
            "--backfill needs the heatpump command, beside this Python or on the PATH: start this with the"
            " project's .venv/bin/python"
        )

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        for device in devices:
            if not backfill(device, start_ms, end_ms, interval_s, heatpump):
                return f"the history of {device.device_id} could not be imported; does the flow run (scripts/up)?"
    except KeyboardInterrupt:
        return "stopped; the history is imported in part, another start imports it anew"
    return ""


# ---- Publishing ------------------------------------------------------------------------------------------------


class Connection:
    """The MQTT side of one device or of many: last will, status, what is kept while the broker is away.

    The last will can name one device: of those that share a connection the first; the others are found silent.
    refused : why the broker will not have it, once it has said so.
    """

    LOGIN_REFUSED = (1, 2, 4, 5, 132, 133, 134, 135, 138)
    MOST_WAITING = 10_000

    def __init__(self, args: argparse.Namespace, devices: Sequence[Device], stop: threading.Event) -> None:
        self.devices = devices
        self.broker, self.port = args.broker, args.port
        self.address = f"{args.broker}:{args.port}"
        self.stop = stop
        self.refused = ""
        self.answered = False
        first = devices[0].device_id
        self.client = new_client("simulator-" + first)
        if args.password:
            self.client.username_pw_set(args.user or first, args.password)
        if args.ca:
            self.client.tls_set(ca_certs=args.ca)
        self.client.will_set(f"heatpump/{first}/status/online", "false", qos=1, retain=True)
        self.client.reconnect_delay_set(1, 30)
        self.client.max_queued_messages_set(0)
        self.client.max_inflight_messages_set(200)
        self.client.on_connect = self._connected
        self.client.on_disconnect = self._disconnected
        self.client.on_publish = self._published
        # Counted by one thread each: readings by the main one, status and answers by the client's.
        self.sent = self.said = self.acknowledged = 0

    def open(self) -> None:
        """Connect; while the broker is away, say so and try again, ever more slowly."""
        wait_s = 1
        while not self.stop.is_set():
            try:
                self.client.connect(self.broker, self.port, keepalive=30)
            except (OSError, ValueError) as error:
                reason = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or str(error)
                complain(f"no broker at {self.address} ({reason}); trying again in {wait_s} s")
                self.stop.wait(wait_s)
                wait_s = min(wait_s * 2, 30)
            else:
                self.client.loop_start()
                return

    def send(self, topic: str, text: str) -> None:
        """Publish at QoS 1; while disconnected it is kept and sent later."""
        self.client.publish(topic, text, qos=1)
        self.sent += 1

    @property
    def full(self) -> bool:
        """Whether so much waits for the broker that no more should be measured."""
        return self.sent + self.said - self.acknowledged >= self.MOST_WAITING + 5 * len(self.devices)

    def close(self, says_offline: bool = True) -> None:
        """Send what waits and say goodbye; give up after 2 s in which the broker takes nothing.

        says_offline : False for devices of a site that rests as a whole: nobody there is to miss them.
        """
        if self.client.is_connected():
            for device in self.devices if says_offline else ():
                self.client.publish(f"heatpump/{device.device_id}/status/online", "false", qos=1, retain=True)
                self.sent += 1
            progress, since_s = self.acknowledged, time.monotonic()
            while self.acknowledged < self.sent + self.said and time.monotonic() < since_s + 2.0:
                time.sleep(0.02)
                if self.acknowledged > progress:
                    progress, since_s = self.acknowledged, time.monotonic()
        self.client.disconnect()
        with suppress(AttributeError):  # its thread may end between paho's look at it and its wait for it
            self.client.loop_stop()

    def _connected(self, client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any = None) -> None:
        self.answered = True
        code = getattr(reason, "value", reason)
        if code in self.LOGIN_REFUSED:
            self.refused = f"the broker at {self.address} refuses this device: check --user and --password"
            self.stop.set()
        elif code == 0:
            say(f"connected to {self.address}")
            for device in self.devices:
                status = f"heatpump/{device.device_id}/status/"
                for name, text in (("online", "true"), *device.attributes().items()):
                    client.publish(status + name, text, qos=1, retain=True)
                    self.said += 1

    def _published(self, *_args: Any) -> None:
        self.acknowledged += 1

    def _disconnected(self, *_args: Any) -> None:
        answered, self.answered = self.answered, False
        if self.stop.is_set():
            return
        if not answered:
            complain(f"the broker at {self.address} closes the connection unasked; is MQTT_PASSWORD right?")
        else:
            complain(f"lost the broker at {self.address}; readings are kept until it is back")


def new_client(client_id: str) -> Any:
    """Make a client of paho-mqtt 1.6 or 2.x."""
    try:
        import paho.mqtt.client as mqtt
    except ImportError:
        sys.exit("simulate_device.py: paho-mqtt is missing: pip install paho-mqtt")
    if hasattr(mqtt, "CallbackAPIVersion"):
        return mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id)
    return mqtt.Client(client_id=client_id)


class Pace:
    """The simulated clock: this machine's, or from a start on so many times as fast until it reaches now."""

    def __init__(self, speed: float = 1.0, start_ms: int | None = None) -> None:
        self.speed, self.start_ms, self.since_s = speed, start_ms, time.monotonic()

    @property
    def real(self) -> bool:
        return self.start_ms is None

    def now_ms(self) -> int:
        wall = int(time.time() * 1000)
        if self.start_ms is None:
            return wall
        simulated = self.start_ms + int((time.monotonic() - self.since_s) * self.speed * 1000)
        if self.speed > 1.0 and simulated >= wall:
            self.start_ms, self.speed = None, 1.0
            return wall
        return simulated


OWN_CONNECTIONS = 10
"""Up to so many devices have a connection each, with a last will of their own; more share one."""


def publish(
    devices: Sequence[Device], args: argparse.Namespace, pace: Pace, begin_ms: int, stop: threading.Event
) -> str:
    """Publish readings until stopped or --end, each device every interval. Why the broker refused, or ""."""
    count = len(devices)
    groups = [[device] for device in devices] if count <= OWN_CONNECTIONS else [devices]
    links = [Connection(args, group, stop) for group in groups]
    for link in links:
        link.open()
    step_ms, number, told_s = args.interval * 1000.0, 0, time.monotonic()
    while not stop.is_set():
        due = begin_ms + int(number * step_ms / count)
        if due >= args.end_ms:
            break
        late_ms = pace.now_ms() - due
        if late_ms < 0:
            # Many devices are served in bursts of 20 ms: waking for each would cost more than the readings.
            stop.wait(max(-late_ms / 1000.0 / pace.speed, 0.02 if count > OWN_CONNECTIONS else 0.0))
            continue
        if pace.real and late_ms > max(600_000.0, 2.0 * step_ms):
            number += count * int(late_ms / step_ms)  # this machine slept
            continue
        device, link = devices[number % count], links[number % count % len(links)]
        if link.full:
            stop.wait(0.05)
            continue
        number += 1
        reading = device.reading(due)
        if reading is None:
            continue
        link.send(f"heatpump/{device.device_id}/data", json.dumps(reading, separators=(",", ":")))
        if len(links) > 1 or count == 1 or due - device.said_rssi_ms >= 60_000:
            device.said_rssi_ms = due
            link.send(
                f"heatpump/{device.device_id}/status/rssi", str(round(-62.0 + 2.0 * device.noise.slow(due + 1)))
            )
        if count == 1 and pace.speed <= 1.0:
            say(summary(due, reading))
        elif time.monotonic() - told_s >= 5.0:
            told_s = time.monotonic()
            say(f"{iso(due)}  {count} devices, {number} readings")
    stop.set()
    for link in links:
        link.close()
    return next((link.refused for link in links if link.refused), "")


def summary(ms: int, reading: Row) -> str:
    """Say a reading in one line."""
    temperature, status = reading["temperature"], reading["status"]
    doing = "defrost" if status["defrost"] else "hot water" if status.get("dhw") else "heating"
    doing = doing if status["compressor"] or status.get("dhw") else "standby"
    at = time.strftime("%H:%M:%S", time.localtime(ms / 1000))
    water = f"flow {temperature['outlet']:.1f} C  return {temperature['inlet']:.1f} C"
    return (
        f"{at}  {doing}  {water}  outdoor {temperature['ambient']:.1f} C  {reading['electrical']['power']:.0f} W"
    )


def iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def say(line: str, to: Any = None) -> None:
    """Print one line whole: several threads print here."""
    out = to or sys.stdout
    out.write(line + "\n")
    out.flush()


def complain(sentence: str) -> None:
    say("simulate_device.py: " + sentence, to=sys.stderr)


# ---- Command line ----------------------------------------------------------------------------------------------


def make_parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:<17} {text}" for name, text in {**FAULTS, **EVENTS}.items())
    parser = argparse.ArgumentParser(
        description="Play heat pumps over MQTT, as devices in the field would.",
        epilog=f"faults and events:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    environment = os.environ.get
    add = parser.add_argument
    add("--device-id", default="site1", help="its name, in topics and payloads (default: %(default)s)")
    add("--devices", type=int, default=1, metavar="N", help="so many: site1 to siteN, of all profiles in turn")
    add("--profile", choices=sorted(PROFILES), help="house and unit (default: terrace)")
    add("--interval", type=float, default=10.0, help="seconds between readings, 0.1 to 3600 (default: 10)")
    add("--broker", default=environment("MQTT_BROKER") or "127.0.0.1", help="host (default: %(default)s)")
    add("--port", type=int, help="port of the broker (default: 1883, with --ca 8883)")
    add(
        "--ca",
        default=environment("HEATPUMP_MQTT_CA", ""),
        metavar="FILE",
        help="CA of the broker's certificate: MQTT over TLS (default: HEATPUMP_MQTT_CA)",
    )
    add("--user", default=environment("MQTT_USER", ""), help="MQTT user (default: MQTT_USER, or the device id)")
    add("--password", default=environment("MQTT_PASSWORD", ""), help="MQTT password (default: MQTT_PASSWORD)")
    add("--seed", type=int, default=None, help="makes the readings repeatable at the same times")
    add("--speed", type=float, default=None, metavar="X", help="so many times as fast, until it reaches now")
    add("--start", metavar="T", help="simulated time it starts at: ISO 8601, UTC, or -3d (with --speed: -24h)")
    add("--end", metavar="T", help="simulated time it ends at")
    add("--since", metavar="T", help="the house's own start, before --start: goes on from a history made earlier")
    add("--backfill", metavar="SPAN", help="import so much history first (14d, 36h), then go on live")
    add("--csv", action="store_true", help="write the readings from --start to --end as CSV; needs no broker")
    add("--mapping", action="store_true", help="write the mapping with which `heatpump import csv` reads it")
    add("--fault", action="append", default=[], metavar="NAME[:SEVERITY][@START[..END]]", help="severity 0 to 1")
    add("--event", action="append", default=[], metavar="NAME[:K][@START[..END]]", help="a setting that changes")
    add(
        "--flow",
        dest="flow",
        action="store_true",
        default=None,
        help="with a flow meter (default: as the profile)",
    )
    add("--no-flow", dest="flow", action="store_false", help="without one")
    add("--counters", dest="counters", action="store_true", default=None, help="with energy counters")
    add("--no-counters", dest="counters", action="store_false", help="without")
    return parser


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; wrong arguments end with code 2.

    Adds what they come to: now_ms, start_ms (None: now), end_ms, since_ms (None: the start), backfill_ms, changes.
    """
    parser = make_parser()
    args = parser.parse_args(arguments)
    now_ms = args.now_ms = int(time.time() * 1000)
    if not DEVICE_ID.fullmatch(args.device_id):
        parser.error(f"--device-id: {args.device_id!r} must be 1 to 64 letters, digits, _ . or -")
    if not 0.1 <= args.interval <= 3600.0:
        parser.error(f"--interval: {args.interval:g} is not from 0.1 to 3600 seconds")
    if args.ca:
        try:
            ssl.create_default_context(cafile=args.ca)
        except OSError as error:  # of ssl too
            parser.error(f"--ca: {args.ca} is no certificate that can be read ({error.strerror or error})")
    if args.port is None:
        args.port = 8883 if args.ca else 1883
    if not 1 <= args.port <= 65535:
        parser.error(f"--port: {args.port} is not from 1 to 65535")
    if not args.broker:
        parser.error("--broker: must name a host")
    if not 1 <= args.devices <= 100_000:
        parser.error(f"--devices: {args.devices} is not from 1 to 100000")
    if args.speed is not None and not 0.01 <= args.speed <= 1e6:
        parser.error(f"--speed: {args.speed:g} is not from 0.01 to 1000000")
    option = ""
    try:
        option = "--start"
        start = args.start or ("-24h" if args.speed or args.csv else None)
        args.start_ms = parse_time(start, now_ms) if start else None
        option = "--end"
        args.end_ms = parse_time(args.end, now_ms) if args.end else now_ms if args.csv else NEVER_MS
        option = "--since"
        args.since_ms = parse_time(args.since, now_ms) if args.since else None
        option = "--backfill"
        args.backfill_ms = parse_span(args.backfill) if args.backfill else 0
        option = "--fault"
        args.changes = [parse_change(text, now_ms, FAULTS) for text in args.fault]
        option = "--event"
        args.changes += [parse_change(text, now_ms, EVENTS) for text in args.event]
    except (ValueError, OverflowError) as error:
        parser.error(f"{option}: {error}")
    if args.end_ms <= (now_ms if args.start_ms is None else args.start_ms):
        parser.error("--end: is not after the start")
    begin_ms = (now_ms if args.start_ms is None else args.start_ms) - args.backfill_ms
    if args.since_ms is not None and not 0 <= begin_ms - args.since_ms <= 10 * 366 * DAY_S * 1000:
        parser.error("--since: must be before the start, at most ten years")
    if args.csv and args.devices > 1:
        parser.error("--csv: writes one device, not --devices")
    if args.backfill and (args.start or args.speed or args.csv):
        parser.error("--backfill: goes on live from now, so not with --start, --speed or --csv")
    if args.backfill and args.devices > 20:
        parser.error("--backfill: at most 20 devices, each is an import of its own")
    return args


def make_devices(args: argparse.Namespace, start_ms: int) -> list[Device]:
    """Make the devices that a command line asks for; several are neighbours under the same weather."""
    seed = random.randrange(2**32) if args.seed is None else args.seed
    prefix = args.device_id.rstrip("0123456789")
    first = int(args.device_id[len(prefix) :] or 1)
    names = [args.profile] if args.profile else list(PROFILES) if args.devices > 1 else ["terrace"]
    weather = {name: Weather(PROFILES[name].climate, seed) for name in names}
    devices = []
    for index in range(args.devices):
        name = names[index % len(names)]
        devices.append(
            Device(
                args.device_id if args.devices == 1 else f"{prefix}{first + index}",
                varied(PROFILES[name], seed + index) if index else PROFILES[name],
                seed + index,
                start_ms,
                args.changes,
                args.flow,
                args.counters,
                weather[name],
            )
        )
    return devices


def main() -> int:
    args = parse()
    begin_ms = args.now_ms if args.start_ms is None else args.start_ms
    devices = make_devices(args, begin_ms - args.backfill_ms if args.since_ms is None else args.since_ms)
    if args.mapping:
        sys.stdout.write(mapping(devices[0]))
        return 0
    if args.csv:
        try:
            write_csv(devices[0], [(begin_ms, args.end_ms, args.interval)], sys.stdout)
            sys.stdout.flush()
        except (BrokenPipeError, KeyboardInterrupt):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else closing complains once more
            return 1
        return 0
    if args.backfill:
        failed = bring_history(devices, begin_ms - args.backfill_ms, begin_ms, args.interval)
        if failed:
            complain(failed)
            return 1
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    refused = publish(devices, args, Pace(args.speed or 1.0, args.start_ms), begin_ms, stop)
    if refused:
        complain(refused)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
