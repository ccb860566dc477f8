"""csv: any CSV, plain or gzipped; a column a quantity, or one value a row.

Rows oldest first are read as they come. Others, single values, and values that are to be held go through a
temporary file (see spool.py).
"""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np

from flows.errors import ConfigError
from flows.history.mapping import Csv, Mapping
from flows.history.points import BLOCK, Series
from flows.history.spool import Spool
from flows.history.tally import Tally
from flows.history.times import UNREADABLE, TimeReader
from flows.model.table import Table, Times

NO_TEXT = (UnicodeDecodeError, csv.Error, gzip.BadGzipFile, EOFError, zlib.error)
"""What reading a text may raise that is none, or whose gzip is harmed or cut off."""

Block = tuple[Times, dict[str, list[str]]]
"""Times, and the texts of each column."""


def open_text(path: Path) -> IO[str]:
    """Open a text file, gzipped or not."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    if zipped:
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def tables(path: Path, mapping: Mapping, tally: Tally) -> Iterator[Table]:
    """Read a CSV whose rows come oldest first, a column a field; see `is_direct`."""
    newest = -1
    for at, columns in _blocks(path, mapping, tally):
        ahead = np.maximum.accumulate(np.append(newest, at))[:-1] < at
        ahead &= at != UNREADABLE
        tally.refused["out of order: sort the file, or set sorted = false"] += int((~ahead & (at >= 0)).sum())
        rows = np.flatnonzero(ahead)
        if not len(rows):
            continue
        newest = int(at[rows[-1]])
        values = [rule.convert(rule.numbers(columns[rule.field], tally))[rows] for rule in mapping.rules]
        yield Table(at[rows], tuple(rule.quantity for rule in mapping.rules), np.array(values).T)


def is_direct(mapping: Mapping) -> bool:
    """Tell whether rows can be read as they come."""
    return mapping.source.sorted and not mapping.source.name and not mapping.hold_ms


def fill(path: Path, mapping: Mapping, tally: Tally, spool: Spool) -> None:
    """Put the values of a CSV into a spool, by quantity."""
    source: Csv = mapping.source
    for at, columns in _blocks(path, mapping, tally):
        readable = at != UNREADABLE
        if source.name:
            names = np.array(columns[source.name], dtype=object)
        for rule in mapping.rules:
            cells = columns[source.value if source.name else rule.field]
            mine = readable & (names == rule.field) if source.name else readable
            rows = np.flatnonzero(mine)
            values = rule.convert(rule.numbers([cells[row] for row in rows], tally))
            # An empty cell says nothing; a word for "unavailable" in a file of single values ends what is held.
            known = np.ones(len(rows), bool) if source.name else ~np.isnan(values)
            spool.add(rule.quantity, at[rows][known], values[known])


def _blocks(path: Path, mapping: Mapping, tally: Tally) -> Iterator[Block]:
    source: Csv = mapping.source
    times = TimeReader(source.time_format, source.timezone)
    try:
        with open_text(path) as file:
            rows = csv.reader(file, delimiter=source.delimiter)
            header = [column.strip() for column in next(rows, [])]
            places = _places(path.name, mapping, header)
            while block := list(islice(rows, BLOCK)):
                whole = [row for row in block if len(row) == len(header)]
                tally.rows += len(block)
                tally.refused["another number of cells than the header"] += len(block) - len(whole)
                cells = list(zip(*whole, strict=True)) if whole else [()] * len(header)
                at = times.read(cells[places[source.time]])
                tally.refused[f"no time in {source.time}"] += int((at == UNREADABLE).sum())
                yield at, {column: list(cells[place]) for column, place in places.items()}
    except NO_TEXT as error:
        raise ConfigError("source", str(path), f"is no CSV file in UTF-8: {error}") from None


def _places(name: str, mapping: Mapping, header: list[str]) -> dict[str, int]:
    source: Csv = mapping.source
    wanted = {source.time: "[source] time"}
    if source.name:
        wanted |= {source.name: "[source] name", source.value: "[source] value"}
    else:
        wanted |= {rule.field: f"[quantity.{rule.quantity}] field" for rule in mapping.rules}
    for column, key in wanted.items():
        if column not in header:
            columns = ", ".join(header)[:300]
            raise ConfigError(f"{mapping.name} {key}", column, f"is no column of {name}; it has {columns}")
    return {column: header.index(column) for column in wanted}


def spooled(spool: Spool, mapping: Mapping) -> dict[str, Series]:
    """Read the quantities back from a spool, those that have points."""
    return {rule.quantity: spool.series(rule.quantity) for rule in mapping.rules if rule.quantity in spool.fields}
