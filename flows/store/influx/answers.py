"""What a Flux query answers: CSV, block by block."""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from io import StringIO

import msgspec
import numpy as np

from flows.errors import RetryableStoreError
from flows.model.table import Times

csv.field_size_limit(1 << 24)
"""A text that InfluxDB takes has at most 1 MiB; Python's own limit is 128 kB. It is the whole process's."""


class Block(msgspec.Struct, frozen=True):
    """Tables that share their columns. Every cell is text; a missing value is "".

    names   : of the columns.
    columns : one after the other, all of one length.
    """

    names: list[str]
    columns: list[list[str]]

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """Its rows, in the order of the answer."""
        return [*zip(*self.columns, strict=True)]

    def column(self, name: str) -> list[str]:
        """One column. Raises KeyError."""
        try:
            return self.columns[self.names.index(name)]
        except ValueError:
            raise KeyError(name) from None


class Series(msgspec.Struct, frozen=True):
    """One table: points that share their labels. labels: the columns besides time and value."""

    labels: dict[str, str]
    times: list[str]
    values: list[str]


def blocks(text: str) -> Iterator[Block]:
    """Read an answer. Raises RetryableStoreError where the server broke it off with an error."""
    for block in _quoted(text) if '"' in text else _plain(text):
        if "error" in block.names and "table" not in block.names:
            raise RetryableStoreError(f"InfluxDB broke its answer off: {block.column('error')[0]}")
        yield block


def series(text: str) -> Iterator[Series]:
    """Read an answer of points grouped by all their labels: only the cells that differ are looked at.

    Raises RetryableStoreError where the server broke it off with an error.
    """
    if '"' in text or "error" in text:
        for block in blocks(text):
            yield from _tables(block)
        return
    for names, body in _parts(text):
        first = names.index("_time")
        if names[first + 1] != "_value":
            raise ValueError(f"time and value are not side by side: {names}")
        begin = 0
        while begin < len(body):
            line = body[begin : body.index("\r\n", begin)]
            cells = line.split(",")
            # What stands between the value of a point and the time of the next is the same in all of a table.
            before, after = ",".join(cells[:first]), ",".join(["", *cells[first + 2 :]])
            following = body.find(f"\r\n,{cells[1]},{int(cells[2]) + 1},", begin)
            end = len(body) if following < 0 else following + 2
            points = body[begin + len(before) + 1 : end - len(after) - 2]
            points = points.replace(f"{after}\r\n{before},", ",")
            if "\r\n" in points:  # tables that are not numbered one by one
                yield from _tables(_block(names, body[begin:]))
                break
            both = points.split(",")
            labels = dict(zip(names, cells, strict=True))
            yield Series(labels, both[::2], both[1::2])
            begin = end


def _tables(block: Block) -> Iterator[Series]:
    times, values = block.column("_time"), block.column("_value")
    first = 0
    for count in Counter(block.column("table")).values():
        end = first + count
        labels = {name: column[first] for name, column in zip(block.names, block.columns, strict=True)}
        yield Series(labels, times[first:end], values[first:end])
        first = end


def _plain(text: str) -> Iterator[Block]:
    """Split what has no quoted cell: three times as fast as a reader of CSV."""
    for names, body in _parts(text):
        yield _block(names, body)


def _block(names: list[str], lines: str) -> Block:
    cells = lines.replace("\r\n", ",").split(",")
    cells.pop()
    return Block(names, [cells[place :: len(names)] for place in range(len(names))])


def _parts(text: str) -> Iterator[tuple[list[str], str]]:
    """Split an answer without quoted cells: the names of columns, and lines with their ends."""
    for part in text.split("\r\n\r\n"):
        head, _, body = part.strip("\r\n").partition("\r\n")
        if body:
            yield head.split(","), f"{body}\r\n"


def _quoted(text: str) -> Iterator[Block]:
    names: list[str] = []
    rows: list[list[str]] = []
    for row in csv.reader(StringIO(text, newline="")):
        if not row:
            if rows:
                yield Block(names, [list(column) for column in zip(*rows, strict=True)])
            names, rows = [], []
        elif not names:
            names = row
        else:
            rows.append(row)
    if rows:
        yield Block(names, [list(column) for column in zip(*rows, strict=True)])


def time_ms(text: str) -> int:
    """Read a time of an answer: RFC 3339, UTC, to the millisecond below. [ms since 1970, UTC]"""
    whole = datetime.fromisoformat(f"{text[:19]}+00:00")
    fraction = text[20:-1]
    return int(whole.timestamp()) * 1000 + (int(fraction[:3].ljust(3, "0")) if fraction else 0)


def times_ms(texts: Sequence[str]) -> Times:
    """Read times of an answer, as `time_ms` does. [ms since 1970, UTC]"""
    return np.array([text[:-1] for text in texts], dtype="datetime64[ms]").astype(np.int64)
