"""csv: any CSV, plain or gzipped; a column a quantity, or one value a row.

Rows oldest first are read as they come. Others, single values, and values that are to be held go through a
temporary file (see spool.py).
"""

import csv
from collections.abc import Iterator
from itertools import compress, islice
from pathlib import Path

import numpy as np

from flows.errors import ConfigError
from flows.history.mapping import Csv, Mapping, not_there
from flows.history.points import BLOCK, LAST_STAYS, Series
from flows.history.spool import Spool
from flows.history.tally import Tally
from flows.history.text import check_text, open_text
from flows.history.times import TimeReader, refuse_undated
from flows.model.table import Table, Times

Block = tuple[Times, dict[str, list[str]], Times]
"""Times, or why there is none (UNDATED), the texts of each column, and the numbers of the rows."""


class HistoryExport(Csv, frozen=True, forbid_unknown_fields=True):
    """The CSV that the history page of Home Assistant downloads: no mapping names its columns."""

    time: str = "last_changed"
    name: str = "entity_id"
    value: str = "state"
    sorted: bool = False


def tables(path: Path, mapping: Mapping, tally: Tally) -> Iterator[Table]:
    """Read a CSV whose rows come oldest first, a column a field; see `is_direct`."""
    names = tuple(rule.quantity for rule in mapping.rules)
    newest = Table(np.empty(0, np.int64), names, np.empty((0, len(names))))  # rows of the same time may follow
    latest = -1, ""  # what rows out of order are earlier than: it may be the one that is wrong, and not they
    for at, columns, numbers in _blocks(path, mapping, tally):
        texts = columns[mapping.source.time]
        before = np.maximum.accumulate(np.append(newest.at if len(newest.at) else -1, at))[:-1]
        places = np.flatnonzero((at < before) & (at >= 0))
        if len(places):
            place = int(places[0])
            _, than = _latest(latest, at[:place], texts, numbers)
            told = f"row {numbers[place]}: {texts[place]!r}, earlier than {than}"
            tally.refuse("out of order: sort the file, or set sorted = false", told, len(places))
        rows = np.flatnonzero((at >= before) & (at >= 0))
        latest = _latest(latest, at, texts, numbers)
        cells = columns if len(rows) == len(at) else _only(rows, columns)
        values = [rule.convert(rule.numbers(cells[rule.field], tally), tally) for rule in mapping.rules]
        known = np.vstack([newest.values, np.array(values).T])
        table = _at_one_time(Table(np.append(newest.at, at[rows]), names, known), tally)
        yield Table(table.at[:-1], names, table.values[:-1])
        newest = Table(table.at[-1:], names, table.values[-1:])
    yield newest


def _latest(known: tuple[int, str], at: Times, texts: list[str], numbers: Times) -> tuple[int, str]:
    """Give the latest time, and the row that has it: the one known before, or the first such of more rows."""
    place = int(at.argmax()) if len(at) else 0
    if not len(at) or at[place] <= known[0]:
        return known
    return int(at[place]), f"row {numbers[place]}: {texts[place]!r}"


def _only(rows: Times, columns: dict[str, list[str]]) -> dict[str, list[str]]:
    return {column: [texts[row] for row in rows] for column, texts in columns.items()}


def _at_one_time(table: Table, tally: Tally) -> Table:
    """Merge rows of one time; of several values the last one stays, as `ascending` has it."""
    at, names, values = table.at, table.names, table.values
    doubled = np.flatnonzero(at[1:] == at[:-1])
    for row in doubled:
        is_empty = np.isnan(values[row + 1])
        for name in compress(names, ~(is_empty | np.isnan(values[row]))):
            tally.removed[f"{name}: {LAST_STAYS}"] += 1
        values[row + 1] = np.where(is_empty, values[row], values[row + 1])
    return Table(np.delete(at, doubled), names, np.delete(values, doubled, axis=0))


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
            values = rule.convert(rule.numbers([cells[row] for row in rows], tally), tally)
            # An empty cell says nothing; a word for "unavailable" in a file of single values ends what is held.
            known = np.ones(len(rows), bool) if source.name else ~np.isnan(values)
            spool.add(rule.quantity, at[rows][known], values[known])
    for rule in mapping.rules if source.name else ():
        if rule.field not in there:
            raise not_there(mapping, rule, f"has no row in {path.name}", there)


def _blocks(path: Path, mapping: Mapping, tally: Tally) -> Iterator[Block]:
    source: Csv = mapping.source
    times = TimeReader(source.time_format, source.timezone)
    check_text(path, source.delimiter)
    with open_text(path) as file:
        rows = csv.reader(file, delimiter=source.delimiter)
        header = [column.strip() for column in next(rows, [])]
        if not header:
            raise ConfigError("source", str(path), "is empty, or begins so: its first line must name the columns")
        places = _places(path, mapping, header)
        first = 2  # the header is row 1
        while block := list(islice(rows, BLOCK)):
            wrong = "another number of cells than the header"
            whole, numbers = fitting(block, len(header), first, wrong, tally)
            tally.rows += len(block)
            first += len(block)
            cells = list(zip(*whole, strict=True)) if whole else [()] * len(header)
            texts = cells[places[source.time]]
            at = times.read(texts)
            refuse_undated(at, texts, numbers, source.time, source.time_format, tally, source.timezone)
            yield at, {column: list(cells[place]) for column, place in places.items()}, numbers


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


def _places(path: Path, mapping: Mapping, header: list[str]) -> dict[str, int]:
    source: Csv = mapping.source
    wanted = {source.time: "[source] time"}
    if source.name:
        wanted |= {source.name: "[source] name", source.value: "[source] value"}
    else:
        wanted |= {rule.field: f"[quantity.{rule.quantity}] field" for rule in mapping.rules}
    columns = ", ".join(header)[:300]
    for column, key in wanted.items():
        count = header.count(column)
        if count != 1 and isinstance(source, HistoryExport):  # the user wrote no key that could be named
            allowed = f"has {count or 'no'} column{'s' * (count > 1)} {column}"
            kind = "it is no export of the history page of Home Assistant"
            raise ConfigError("source", str(path), f"{allowed}: {kind}; it has {columns}")
        if not count:
            raise ConfigError(f"{mapping.name} {key}", column, f"is no column of {path.name}; it has {columns}")
        if count > 1:
            allowed = f"is the name of {count} columns of {path.name}: give each its own"
            raise ConfigError(f"{mapping.name} {key}", column, allowed)
    return {column: header.index(column) for column in wanted}


def spooled(spool: Spool, mapping: Mapping) -> dict[str, Series]:
    """Read the quantities back from a spool, those that have points."""
    return {rule.quantity: spool.series(rule.quantity) for rule in mapping.rules if rule.quantity in spool.fields}
