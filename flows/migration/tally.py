"""What a store holds, in counts and sums: of what was read of one, to be compared with what is in the other.

By section, device and day, so that what retention lets go meanwhile can be left out.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from math import isclose
from typing import cast

import msgspec
import numpy as np

from flows.model.quantities import MODES
from flows.model.rows import RawRow
from flows.model.times import DAY_MS
from flows.physics.derive import DERIVED
from flows.store.export import Exported, LetterCount, RollupRows, Section
from flows.store.protocol import StoredDeadLetter

PASSING: frozenset[Section] = frozenset(("raw", "1m", "dead_letter_count", "dead_letter"))
"""Sections that retention lets go: counted by day."""

MARKS: frozenset[Section] = frozenset(("forgotten", "retained"))
"""What is no row: how far a store has let go differs, once it was written to."""

CLOSE = 1e-9
"""Sums of the same numbers differ by their order."""


class Sum(msgspec.Struct, array_like=True):
    """rows: how many; total: of the absolute values they hold, or of their lengths as text."""

    rows: int = 0
    total: float = 0.0

    def add(self, rows: int, total: float) -> None:
        """Count more."""
        self.rows += rows
        self.total += total

    def like(self, other: "Sum") -> bool:
        """Tell whether both can be of the same rows."""
        return self.rows == other.rows and isclose(self.total, other.total, rel_tol=CLOSE)


class Tally(msgspec.Struct):
    """Counts and sums.

    sums : by section, device ("" where it has none) and day since 1970 (0 where it is not in PASSING).
    kwh  : by UTC month, electricity and heat of the hours. [kWh]
    """

    sums: dict[Section, dict[str, dict[int, Sum]]] = {}
    kwh: dict[str, tuple[float, float]] = {}

    def add(self, section: Section, device_id: str, batch: Exported) -> None:
        """Count a batch."""
        if section in MARKS:
            return
        days = self.sums.setdefault(section, {}).setdefault(device_id, {})
        for day, rows, total in _amounts(batch):
            days.setdefault(day if section in PASSING else 0, Sum()).add(rows, total)
        if section == "1h":
            for part in cast(list[RollupRows], batch):
                self._add_energy(part)

    def merge(self, other: "Tally") -> None:
        """Count all that another one has counted."""
        for section, devices in other.sums.items():
            for device_id, days in devices.items():
                mine = self.sums.setdefault(section, {}).setdefault(device_id, {})
                for day, amount in days.items():
                    mine.setdefault(day, Sum()).add(amount.rows, amount.total)
        for month, (electric, heat) in other.kwh.items():
            before = self.kwh.get(month, (0.0, 0.0))
            self.kwh[month] = (before[0] + electric, before[1] + heat)

    def of(self, section: Section, device_id: str, since: int = 0) -> Sum:
        """Sum a section of a device up, from a day on."""
        found = Sum()
        for day, amount in self.sums.get(section, {}).get(device_id, {}).items():
            if day >= since or section not in PASSING:
                found.add(amount.rows, amount.total)
        return found

    def _add_energy(self, rows: RollupRows) -> None:
        table = rows.table
        months = [f"{datetime.fromtimestamp(start / 1000, UTC):%Y-%m}" for start in table.start.tolist()]
        both = (_sums(rows, f"{kind}_kwh_") for kind in ("electric", "heat"))
        for month, electric, heat in zip(months, *both, strict=True):
            before = self.kwh.get(month, (0.0, 0.0))
            self.kwh[month] = (before[0] + electric, before[1] + heat)


def _sums(rows: RollupRows, prefix: str) -> list[float]:
    """Sum the energies of all modes up, row by row. [kWh]"""
    names = rows.table.names
    columns = [names.index(f"{prefix}{mode}") for mode in MODES if f"{prefix}{mode}" in names]
    return cast(list[float], np.nansum(rows.table.values[:, columns], axis=1).tolist())


def _amounts(batch: Exported) -> Iterator[tuple[int, int, float]]:
    """Say of each day, or row, of a batch: day, number of rows, total (see Sum)."""
    for row in batch:
        if isinstance(row, RollupRows):
            table = row.table
            days, of = np.unique(table.start // DAY_MS, return_inverse=True)
            rows = np.bincount(of, minlength=len(days))
            totals = np.bincount(of, np.nansum(np.abs(table.values), axis=1) + table.count, len(days))
            yield from zip(days.tolist(), rows.tolist(), totals.tolist(), strict=True)
        elif isinstance(row, RawRow):
            total = sum(abs(value) for name, value in row.values.items() if name not in DERIVED)
            yield row.at // DAY_MS, 1, total
        elif isinstance(row, LetterCount):
            yield row.hour // DAY_MS, 1, row.count
        else:
            day = row.arrived // DAY_MS if isinstance(row, StoredDeadLetter) else 0
            yield day, 1, len(msgspec.json.encode(row))
