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
from flows.history.mapping import Csv, Mapping, not_there
from flows.history.points import BLOCK, Series
from flows.history.spool import Spool
from flows.history.tally import Tally
from flows.history.times import TimeReader, refuse_undated
from flows.model.table import Table, Times

NO_TEXT = (UnicodeDecodeError, csv.Error, gzip.BadGzipFile, EOFError, zlib.error)
"""What reading a text may raise that is none, or whose gzip is harmed or cut off."""

Block = tuple[Times, dict[str, list[str]], Times]
"""Times, or why there is none (UNDATED), the texts of each column, and the numbers of the rows."""


def open_text(path: Path) -> IO[str]:
    """Open a text file, gzipped or not."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    if zipped:
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def no_text(path: Path, error: Exception, what: str) -> ConfigError:
    """Say in words that a file is no text, as NO_TEXT has it. what: it should be, such as "no CSV file"."""
    if isinstance(error, EOFError):
        return ConfigError("source", str(path), "is a gzip that is cut off: take another copy")
    if isinstance(error, gzip.BadGzipFile | zlib.error):
        return ConfigError("source", str(path), f"is a gzip that is damaged ({error}): take another copy")
    return ConfigError("source", str(path), f"is {what}: {error}")


def tables(path: Path, mapping: Mapping, tally: Tally) -> Iterator[Table]:
    """Read a CSV whose rows come oldest first, a column a field; see `is_direct`."""
    newest = -1
    for at, columns, numbers in _blocks(path, mapping, tally):
        before = np.maximum.accumulate(np.append(newest, at))[:-1]
        for reason, places in (
            ("the same time as a row before", np.flatnonzero((at == before) & (at >= 0))),
            ("out of order: sort the file, or set sorted = false", np.flatnonzero((at < before) & (at >= 0))),
        ):
            if len(places):
                text = columns[mapping.source.time][places[0]]
                tally.refuse(reason, f"row {numbers[places[0]]}: {text!r}", len(places))
        rows = np.flatnonzero((at > before) & (at >= 0))
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
    there: set[str] = set()
    for at, columns, _ in _blocks(path, mapping, tally):
        readable = at >= 0
        if source.name:
            names = np.array(columns[source.name], dtype=object)
            there.update(columns[source.name])
        for rule in mapping.rules:
            cells = columns[source.value if source.name else rule.field]
            mine = readable & (names == rule.field) if source.name else readable
            rows = np.flatnonzero(mine)
            values = rule.convert(rule.numbers([cells[row] for row in rows], tally))
            # An empty cell says nothing; a word for "unavailable" in a file of single values ends what is held.
            known = np.ones(len(rows), bool) if source.name else ~np.isnan(values)
            spool.add(rule.quantity, at[rows][known], values[known])
    for rule in mapping.rules if source.name else ():
        if rule.field not in there:
            raise not_there(mapping, rule, f"has no row in {path.name}", there)


def _blocks(path: Path, mapping: Mapping, tally: Tally) -> Iterator[Block]:
    source: Csv = mapping.source
    times = TimeReader(source.time_format, source.timezone)
    try:
        with open_text(path) as file:
            rows = csv.reader(file, delimiter=source.delimiter)
            header = [column.strip() for column in next(rows, [])]
            if not header:
                raise ConfigError("source", str(path), "is empty: its first line must name the columns")
            places = _places(path.name, mapping, header)
            first = 2  # the header is row 1
            while block := list(islice(rows, BLOCK)):
                wrong = "another number of cells than the header"
                whole, numbers = fitting(block, len(header), first, wrong, tally)
                tally.rows += len(block)
                first += len(block)
                cells = list(zip(*whole, strict=True)) if whole else [()] * len(header)
                texts = cells[places[source.time]]
                at = times.read(texts)
                refuse_undated(at, texts, numbers, source.time, source.time_format, tally)
                yield at, {column: list(cells[place]) for column, place in places.items()}, numbers
    except NO_TEXT as error:
        raise no_text(path, error, "no CSV file in UTF-8") from None


def fitting(
    block: list[list[str]], width: int, first: int, wrong: str, tally: Tally
) -> tuple[list[list[str]], Times]:
    """Leave out rows of another width, refused as `wrong`; also give the numbers of the others.

    first : number of the block's first row.
    """
    numbers = np.array([number for number, row in enumerate(block, first) if len(row) == width], np.int64)
    if len(numbers) == len(block):
        return block, numbers
    number, row = next((number, row) for number, row in enumerate(block, first) if len(row) != width)
    tally.refuse(wrong, f"row {number}: {','.join(row)[:60]!r}", len(block) - len(numbers))
    return [row for row in block if len(row) == width], numbers


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
