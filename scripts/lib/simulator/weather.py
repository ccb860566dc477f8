"""The air outdoors, from seed and time alone."""

from __future__ import annotations

import math
import random
from typing import NamedTuple


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
