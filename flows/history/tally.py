"""What a source's rows came to: counted while they are read."""

from collections import Counter

import msgspec


class Tally(msgspec.Struct):
    """Counts of one reading of a source.

    rows    : rows or points read, whatever came of them.
    refused : rows that gave no reading, by reason.
    removed : values left out of rows, by "quantity: reason".
    first   : the first case of a reason: where it is, and what it says.
    """

    rows: int = 0
    refused: Counter[str] = msgspec.field(default_factory=Counter)
    removed: Counter[str] = msgspec.field(default_factory=Counter)
    first: dict[str, str] = msgspec.field(default_factory=dict)

    def refuse(self, reason: str, first: str, count: int = 1) -> None:
        """Count rows that give no reading."""
        self.refused[reason] += count
        self.first.setdefault(reason, first)

    def remove(self, reason: str, first: str, count: int = 1) -> None:
        """Count values that are left out."""
        self.removed[reason] += count
        self.first.setdefault(reason, first)
