"""Noise that is the same however often it is asked for."""

from __future__ import annotations

import random


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
