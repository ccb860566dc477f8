"""What a Flux query answers: CSV, block by block."""

import csv
from collections.abc import Iterator
from datetime import datetime
from io import StringIO

import msgspec

from flows.errors import RetryableStoreError


class Block(msgspec.Struct, frozen=True):
    """Tables that share their columns. Every cell is text; a missing value is "".

    names : of the columns. rows: in the order of the answer.
    """

    names: list[str]
    rows: list[list[str]]

    def column(self, name: str) -> list[str]:
        """One column, of the same length as rows. Raises KeyError."""
        try:
            place = self.names.index(name)
        except ValueError:
            raise KeyError(name) from None
        return [row[place] for row in self.rows]


def blocks(text: str) -> Iterator[Block]:
    """Read an answer. Raises RetryableStoreError where the server broke it off with an error."""
    names: list[str] = []
    rows: list[list[str]] = []
    for row in csv.reader(StringIO(text, newline="")):
        if not row:
            if rows:
                yield Block(names, rows)
            names, rows = [], []
        elif not names:
            names = row
        elif "error" in names and "table" not in names:
            raise RetryableStoreError(f"InfluxDB broke its answer off: {row[names.index('error')]}")
        else:
            rows.append(row)
    if rows:
        yield Block(names, rows)


def time_ms(text: str) -> int:
    """Read a time of an answer: RFC 3339, UTC, to the millisecond below. [ms since 1970, UTC]"""
    whole = datetime.fromisoformat(f"{text[:19]}+00:00")
    fraction = text[20:-1]
    return int(whole.timestamp()) * 1000 + (int(fraction[:3].ljust(3, "0")) if fraction else 0)
