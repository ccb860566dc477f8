"""The house and its hot-water tank: where heat is kept, and where it goes."""

from __future__ import annotations

import math

from .noise import Noise
from .profiles import Profile
from .times import DAY_S, HOUR_S


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
