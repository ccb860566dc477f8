"""Refrigerants: their pressure and the temperature of their hot gas."""

from __future__ import annotations

import math
from typing import NamedTuple


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
