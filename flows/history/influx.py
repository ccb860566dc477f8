"""influx: annotated CSV (as `influx query --raw` writes it), line protocol, or a live InfluxDB 2.

A field is named as InfluxDB names it; tables with a column a field (pivoted) are read too. Only points of the
mapping's measurement and tags count.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from flows.errors import ConfigError
from flows.history.mapping import Influx, Mapping, Rule, not_there, some
from flows.history.points import BLOCK
from flows.history.spool import Spool
from flows.history.tally import Tally
from flows.history.text import NO_TEXT, check_text, no_text, open_text
from flows.history.times import EARLY, LATE, UNDATED, UNREADABLE, rfc3339
from flows.model.history import OLDEST_MS
from flows.model.reading import FUTURE_MS
from flows.model.times import now_ms

_PRECISION = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3}
_MEASUREMENT = "_measurement"

Key = tuple[str, ...]
"""What tells one series of a field from another: measurement and tags, such as "site=home"."""

Take = Callable[[str, int, str, Key, str], None]
"""Takes a point: field, time [ms since 1970, UTC], value as InfluxDB writes it, its series, the time as text."""


class Choice:
    """Which points count: those of the mapping's measurement and tags. Remembers what others there are.

    asked : what the measurement and tags must be.
    """

    def __init__(self, mapping: Mapping) -> None:
        source: Influx = mapping.source
        self.asked = {_MEASUREMENT: source.measurement, **source.tags} if source.measurement else source.tags
        self._name, self._is_met, self._is_missed = mapping.name, False, False
        self._there: dict[str, set[str]] = {name: set() for name in self.asked}

    def takes(self, given: dict[str, str]) -> bool:
        """Tell whether points of a measurement and tags count."""
        if all(given.get(name) == value for name, value in self.asked.items()):
            self._is_met = True
            return True
        self._is_missed = True
        for name, values in self._there.items():
            if name in given:
                values.add(given[name])
        return False

    def check(self, where: str, tally: Tally) -> None:
        """Raise ConfigError where none was met: it names what is wrong, and what there is."""
        if self._is_met:
            return
        if not self._is_missed:
            first = f", first {next(iter(tally.first.values()))}" if tally.first else ""
            raise ConfigError("source", where, f"has no point of annotated CSV or line protocol{first}")
        for name, value in self.asked.items():
            if value not in self._there[name]:
                key = "measurement" if name == _MEASUREMENT else f"tags.{name}"
                allowed = f"has no point in {where}; there are {some(self._there[name])}"
                raise ConfigError(f"{self._name} [source] {key}", value, allowed)
        together = ", ".join(f"{name}={value}" for name, value in self.asked.items())
        raise ConfigError(
            f"{self._name} [source] tags", together, f"has no point in {where}, though each has some"
        )


class Collector:
    """Takes single points and puts them into a spool in blocks, by quantity."""

    def __init__(self, mapping: Mapping, tally: Tally, spool: Spool) -> None:
        self._mapping, self._tally, self._spool = mapping, tally, spool
        self._others: set[str] = set()
        self._undated: set[str] = set()
        self._latest = now_ms() + FUTURE_MS
        self._rules: dict[str, list[Rule]] = {}
        for rule in mapping.rules:
            self._rules.setdefault(rule.field, []).append(rule)
        self._waiting: dict[str, tuple[list[int], list[str]]] = {field: ([], []) for field in self._rules}
        self._spans: dict[str, dict[Key, list[int]]] = {field: {} for field in self._rules}

    def add(self, field: str, at: int, text: str, series: Key, time: str) -> None:
        """Take a point, see Take."""
        waiting = self._waiting.get(field)
        if waiting is None:
            self._others.add(field)
            return
        self._tally.rows += 1
        if not OLDEST_MS <= at <= self._latest:
            reason = UNREADABLE if at == UNREADABLE else EARLY if at < OLDEST_MS else LATE
            self._tally.refuse(UNDATED[reason], f"{time[:40]!r} of {field}={text[:40]}")
            self._undated.add(field)
            return
        span = self._spans[field].setdefault(series, [at, at])
        span[0], span[1] = min(span[0], at), max(span[1], at)
        waiting[0].append(at)
        waiting[1].append(text)
        if len(waiting[0]) >= BLOCK:
            self._flush(field)

    def close(self, where: str) -> None:
        """Put what waits into the spool.

        Raises ConfigError where a field has no point, or its series lie in each other.
        """
        for rule in self._mapping.rules:
            if not self._spans[rule.field] and rule.field not in self._undated:
                there = self._others.union(field for field, spans in self._spans.items() if spans)
                raise not_there(self._mapping, rule, f"has no point in {where}", there)
        for field, spans in self._spans.items():
            self._flush(field)
            ordered = sorted(spans.items(), key=lambda item: item[1])
            for (one, (_, end)), (other, (start, _)) in pairwise(ordered):
                if start <= end:
                    raise self._mixed(field, sorted({*one} ^ {*other}))

    def _mixed(self, field: str, differ: list[str]) -> ConfigError:
        key = "measurement" if differ and differ[0].startswith(_MEASUREMENT) else "tags"
        allowed = (
            f"comes from several series at once, which differ in {', '.join(differ)}: choose one of them here"
        )
        return ConfigError(f"{self._mapping.name} [source] {key}", field, allowed)

    def _flush(self, field: str) -> None:
        times, texts = self._waiting[field]
        self._waiting[field] = ([], [])
        for rule in self._rules[field]:
            values = rule.convert(rule.numbers(texts, self._tally), self._tally)
            known = ~np.isnan(values)
            self._spool.add(rule.quantity, np.array(times, dtype=np.int64)[known], values[known])


def fill(path: Path, mapping: Mapping, tally: Tally, spool: Spool) -> None:
    """Put the points of a file into a spool, by quantity. Raises ConfigError."""
    collector, choice = Collector(mapping, tally, spool), Choice(mapping)
    try:
        with open_text(path) as file:
            first = next((line for line in file if line.strip()), "")
            file.seek(0)
            if first.startswith(("#", ",")) and not first.startswith("# "):
                check_text(path, ",")
                read_annotated(csv.reader(file), choice, collector.add, tally, str(path))
            else:
                read_lines(file, choice, collector.add, tally)
    except NO_TEXT as error:
        raise no_text(path, error, "neither annotated CSV nor line protocol") from None
    choice.check(str(path), tally)
    collector.close(path.name)


_NO_TAGS = ("_start", "_stop", "_time", "_field", "_value")


def read_annotated(rows: Iterable[list[str]], choice: Choice, take: Take, tally: Tally, where: str) -> None:
    """Read the tables of an annotated CSV. Raises ConfigError where the server reports an error in it.

    A table's group key tells its series from others; without that annotation, the table's number does.
    """
    header: list[str] = []
    group: list[str] = []
    place: dict[str, int] = {}
    key: list[str] = []
    for number, row in enumerate(rows, 1):
        if not any(row):
            header = []
        elif row[0].startswith("#"):
            header, group = [], row if row[0] == "#group" else group
        elif not header:
            header, place = row, {name: column for column, name in enumerate(row)}
            if "_time" not in place and "error" not in place:
                allowed = f"has a table without _time: {', '.join(filter(None, header))[:200]}"
                raise ConfigError("source", where, allowed)
            of_key = {name for name, flag in zip(header, group, strict=False) if flag == "true"}
            key = sorted(of_key.difference(_NO_TAGS)) if group else [name for name in ("table",) if name in place]
            group = []
        elif len(row) != len(header):
            tally.rows += 1
            tally.refuse("another number of cells than the header", f"row {number}: {','.join(row)[:60]!r}")
        elif "_time" not in place:
            raise ConfigError("source", where, f"reports an error: {row[place['error']]}")
        elif choice.takes({name: row[place[name]] for name in choice.asked if name in place}):
            _take(row, place, take, tuple(f"{name}={row[place[name]]}" for name in key))


def _take(row: list[str], place: dict[str, int], take: Take, series: Key) -> None:
    time = row[place["_time"]]
    at = rfc3339(time)
    if "_field" in place and "_value" in place:
        take(row[place["_field"]], at, row[place["_value"]], series, time)
        return
    for name, number in place.items():
        if name and not name.startswith("_") and row[number]:
            take(name, at, row[number], series, time)


_ESCAPED = re.compile(r"\\([,= \\\"])")
_TAG = re.compile(r"(?:\\.|[^,\\])+")
_FIELD = re.compile(r'(?:\\.|"(?:\\.|[^"\\])*"|[^,\\"])+')
_PAIR = re.compile(r"((?:\\.|[^=\\])+)=(.+)", re.DOTALL)
_LINE = re.compile(r'((?:\\.|[^ \\])+) +((?:\\.|"(?:\\.|[^"\\])*"|[^ \\"])+) +(-?[0-9]{1,19})')


def read_lines(lines: Iterator[str], choice: Choice, take: Take, tally: Tally) -> None:
    """Read line protocol; nanoseconds unless the digits say another precision."""
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line or line.startswith(("#", "CREATE ", "USE ")):
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            tally.rows += 1
            tally.refuse("no line of line protocol with a time", f"line {number}: {line[:60]!r}")
            continue
        series, fields, time = found.groups()
        given, key = _series(series)
        if not choice.takes(given):
            continue
        at = round(int(time) * _precision(time))
        for field in _FIELD.findall(fields):
            pair = _PAIR.fullmatch(field)
            if pair is None:
                tally.rows += 1
                tally.refuse("no key=value of line protocol", f"line {number}: {field[:60]!r}")
            else:
                take(_ESCAPED.sub(r"\1", pair[1]), at, _value(pair[2]), key, time)


@lru_cache(1024)
def _series(text: str) -> tuple[dict[str, str], Key]:
    """Read the measurement and tags before the fields."""
    measurement, *tags = _TAG.findall(text)
    given = {_MEASUREMENT: _ESCAPED.sub(r"\1", measurement)}
    given |= {
        _ESCAPED.sub(r"\1", pair[1]): _ESCAPED.sub(r"\1", pair[2])
        for tag in tags
        if (pair := _PAIR.fullmatch(tag))
    }
    return given, tuple(sorted(f"{name}={value}" for name, value in given.items()))


def _precision(digits: str) -> float:
    """Guess the unit of a time by its length: 2001 to 2286 have 10, 13, 16 or 19 digits."""
    return _PRECISION[{10: "s", 13: "ms", 16: "us"}.get(len(digits.lstrip("-")), "ns")]


def _value(text: str) -> str:
    if text.startswith('"'):
        return text.strip('"')
    if text[-1:] in "iu" and text[:-1].lstrip("-").isdigit():
        return text[:-1]
    return {"t": "true", "T": "true", "f": "false", "F": "false"}.get(text, text)
