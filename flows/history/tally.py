"""What a source's rows came to: counted while they are read."""

from collections import Counter

import msgspec


class Tally(msgspec.Struct):
    """Counts of one reading of a source.

    rows    : rows or points read, whatever came of them.
    refused : rows that gave no reading, by reason.
    removed : values left out of rows, by "quantity: reason".
    """

    rows: int = 0
    refused: Counter[str] = msgspec.field(default_factory=Counter)
    removed: Counter[str] = msgspec.field(default_factory=Counter)
