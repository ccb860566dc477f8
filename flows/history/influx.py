"""influx: annotated CSV (as `influx query --raw` writes it), line protocol, or a live InfluxDB 2.

A field is named as InfluxDB names it; tables with a column a field (pivoted) are read too. Only points of the
mapping's measurement and tags count.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from flows.errors import ConfigError
from flows.history.csv_source import NO_TEXT, open_text
from flows.history.mapping import Influx, Mapping, Rule
from flows.history.points import BLOCK, ascending
from flows.history.spool import Spool
from flows.history.tally import Tally
from flows.history.times import UNREADABLE, rfc3339

_PRECISION = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3}


Take = Callable[[str, int, str], None]
"""Takes one point: field, time [ms since 1970, UTC], the value as InfluxDB writes it."""


class Collector:
    """Takes single points and puts them into a spool in blocks, by quantity."""

    def __init__(self, mapping: Mapping, tally: Tally, spool: Spool) -> None:
        self._tally, self._spool = tally, spool
        self._rules: dict[str, list[Rule]] = {}
        for rule in mapping.rules:
            self._rules.setdefault(rule.field, []).append(rule)
        self._waiting: dict[str, tuple[list[int], list[str]]] = {field: ([], []) for field in self._rules}

    def add(self, field: str, at: int, text: str) -> None:
        """Take a point; text: as InfluxDB writes the value."""
        waiting = self._waiting.get(field)
        if waiting is None:
            return
        self._tally.rows += 1
        if at == UNREADABLE:
            self._tally.refused["no time"] += 1
            return
        waiting[0].append(at)
        waiting[1].append(text)
        if len(waiting[0]) >= BLOCK:
            self._flush(field)

    def close(self) -> None:
        """Put what waits into the spool."""
        for field in self._waiting:
            self._flush(field)

    def _flush(self, field: str) -> None:
        times, texts = self._waiting[field]
        self._waiting[field] = ([], [])
        for rule in self._rules[field]:
            values = rule.convert(rule.numbers(texts, self._tally))
            known = ~np.isnan(values)
            self._spool.add(rule.quantity, *ascending(np.array(times, dtype=np.int64)[known], values[known]))


def fill(path: Path, mapping: Mapping, tally: Tally, spool: Spool) -> None:
    """Put the points of a file into a spool, by quantity. Raises ConfigError."""
    collector = Collector(mapping, tally, spool)
    try:
        with open_text(path) as file:
            first = next((line for line in file if line.strip()), "")
            file.seek(0)
            if first.startswith(("#", ",")) and not first.startswith("# "):
                read_annotated(csv.reader(file), mapping.source, collector.add, str(path))
            else:
                read_lines(file, mapping.source, collector.add, tally)
    except NO_TEXT as error:
        raise ConfigError("source", str(path), f"is neither annotated CSV nor line protocol: {error}") from None
    collector.close()


def read_annotated(rows: Iterable[list[str]], source: Influx, take: Take, where: str) -> None:
    """Read the tables of an annotated CSV. Raises ConfigError where the server reports an error in it."""
    header: list[str] = []
    place: dict[str, int] = {}
    for row in rows:
        if not row or not any(row):
            header = []
        elif row[0].startswith("#"):
            header = []
        elif not header:
            header, place = row, {name: number for number, name in enumerate(row)}
            if "_time" not in place and "error" not in place:
                allowed = f"has a table without _time: {', '.join(filter(None, header))[:200]}"
                raise ConfigError("source", where, allowed)
        elif "error" in place and "_time" not in place:
            raise ConfigError("source", where, f"reports an error: {row[place['error']]}")
        elif len(row) == len(header) and _wanted(source, row, place):
            _take(row, place, take)


def _wanted(source: Influx, row: list[str], place: dict[str, int]) -> bool:
    wanted = {"_measurement": source.measurement} if source.measurement else {}
    wanted |= source.tags
    return all(name in place and row[place[name]] == value for name, value in wanted.items())


def _take(row: list[str], place: dict[str, int], take: Take) -> None:
    at = rfc3339(row[place["_time"]])
    if "_field" in place and "_value" in place:
        take(row[place["_field"]], at, row[place["_value"]])
        return
    for name, number in place.items():
        if name and not name.startswith("_") and row[number]:
            take(name, at, row[number])


_TIME = re.compile("-?[0-9]{1,19}")
_ESCAPED = re.compile(r"\\([,= \\\"])")
_PART = re.compile(r'(?:\\.|"(?:\\.|[^"\\])*"|[^ \\"])+')
_ITEM = re.compile(r'(?:\\.|"(?:\\.|[^"\\])*"|[^,\\"])+')
_KEY = re.compile(r"((?:\\.|[^=\\])+)=(.*)", re.DOTALL)


def read_lines(lines: Iterator[str], source: Influx, take: Take, tally: Tally) -> None:
    """Read line protocol; nanoseconds unless the digits say another precision."""
    for line in lines:
        line = line.strip()
        if not line or line.startswith("#") or line.startswith(("CREATE ", "USE ")):
            continue
        parts = _PART.findall(line)
        if len(parts) != 3 or not _TIME.fullmatch(parts[2]):
            tally.rows += 1
            tally.refused["no line of line protocol with a time"] += 1
            continue
        measurement, *tags = (_ESCAPED.sub(r"\1", item) for item in _ITEM.findall(parts[0]))
        if source.measurement and measurement != source.measurement:
            continue
        given = {found[1]: found[2] for tag in tags if (found := _KEY.fullmatch(tag))}
        if any(given.get(name) != value for name, value in source.tags.items()):
            continue
        at = round(int(parts[2]) * _precision(parts[2]))
        for item in _ITEM.findall(parts[1]):
            found = _KEY.fullmatch(item)
            if found:
                take(_ESCAPED.sub(r"\1", found[1]), at, _value(found[2]))


def _precision(digits: str) -> float:
    """Guess the unit of a time by its length: 2001 to 2286 have 10, 13, 16 or 19 digits."""
    return _PRECISION[{10: "s", 13: "ms", 16: "us"}.get(len(digits.lstrip("-")), "ns")]


def _value(text: str) -> str:
    if text.startswith('"'):
        return text.strip('"')
    if text[-1:] in "iu" and text[:-1].lstrip("-").isdigit():
        return text[:-1]
    return {"t": "true", "T": "true", "f": "false", "F": "false"}.get(text, text)


def extern(values: dict[str, str]) -> dict[str, Any]:
    """Bind parameters of a Flux query: the object `v`, as the AST that InfluxDB 2 takes beside the text."""
    properties = [
        {
            "type": "Property",
            "key": {"type": "Identifier", "name": name},
            "value": {"type": "StringLiteral", "value": value},
        }
        for name, value in values.items()
    ]
    assignment = {
        "type": "VariableAssignment",
        "id": {"type": "Identifier", "name": "v"},
        "init": {"type": "ObjectExpression", "properties": properties},
    }
    return {
        "type": "File",
        "package": None,
        "imports": None,
        "body": [{"type": "OptionStatement", "assignment": assignment}],
    }
