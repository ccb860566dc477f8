"""Threshold rules of alerts: data, shipped in flows/graphs/alert_rules.toml."""

import tomllib
from math import inf
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from flows.model.alert import Level
from flows.model.cells import COLUMN
from flows.model.device import Bounds
from flows.model.table import Numbers

SHIPPED_RULES = Path(__file__).parent.parent / "graphs" / "alert_rules.toml"


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One threshold rule on one quantity.

    warning, critical : thresholds in the quantity's unit; None: no such level.
    direction         : high: reached at or above; low: reached at or below.
    clear_by          : how far beyond the threshold a value must come back to leave a level.
    running_only      : judged only while the compressor runs, outside defrost and its first 3 minutes.
    """

    alert_type: str
    quantity: str
    direction: Literal["high", "low"]
    warning: float | None = None
    critical: float | None = None
    clear_by: float = 0.0
    running_only: bool = False

    def overridden(self, bounds: Bounds | None) -> "Rule":
        """Return this rule with a device's own thresholds where it has them."""
        if bounds is None:
            return self
        return msgspec.structs.replace(
            self,
            warning=self.warning if bounds.warning is None else bounds.warning,
            critical=self.critical if bounds.critical is None else bounds.critical,
        )

    def level(self, value: float, current: Level | None) -> Level | None:
        """Judge a value, given the level that holds now; None is well."""
        for level, threshold in (("critical", self.critical), ("warning", self.warning)):
            if threshold is None:
                continue
            held = current == "critical" or current == level
            slack = self.clear_by if held else 0.0
            reached = value >= threshold - slack if self.direction == "high" else value <= threshold + slack
            if reached:
                return level  # type: ignore[return-value]
        return None


class Bands(msgspec.Struct, frozen=True):
    """For each quantity between which values, ends excluded, no rule reaches a level that is not held yet.

    columns : of the quantities, see cells.py. low, high: as many.
    """

    columns: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def bands(rules: list[Rule]) -> Bands:
    """Find the bands of rules."""
    found: dict[str, tuple[float, float]] = {}
    for rule in rules:
        low, high = found.get(rule.quantity, (-inf, inf))
        thresholds = [threshold for threshold in (rule.warning, rule.critical) if threshold is not None]
        if rule.direction == "high":
            high = min([high, *thresholds])
        else:
            low = max([low, *thresholds])
        found[rule.quantity] = low, high
    return Bands(
        tuple(COLUMN[quantity] for quantity in found),
        tuple(low for low, _ in found.values()),
        tuple(high for _, high in found.values()),
    )


def noteworthy(matrix: Numbers, within: Bands) -> NDArray[np.bool_]:
    """Tell of which rows a value leaves its band: then the rules must be asked, else no alert can be raised.

    matrix : see cells.py.
    """
    judged = matrix[:, within.columns]
    return np.asarray(((judged <= within.low) | (judged >= within.high)).any(axis=1))


def load_rules(path: Path) -> list[Rule]:
    """Read a rule file. Raises ValueError with a sentence that names the rule and the field."""
    rules = []
    for alert_type, body in tomllib.loads(path.read_text()).items():
        try:
            rules.append(msgspec.convert({"alert_type": alert_type, **body}, Rule))
        except (msgspec.ValidationError, TypeError) as error:
            raise ValueError(f"{path.name}: [{alert_type}] {error}") from None
    return rules
