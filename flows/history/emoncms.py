"""emoncms: feeds as its backups hold them (PHPFina, PHPTimeSeries), or exported as CSV, a file a feed.

PHPFina: ID.meta is four u32 (two unused, start [s], interval [s]), ID.dat is f32 after f32, NaN for nothing.
PHPTimeSeries: feed_ID.MYD, records of 9 bytes: one unused, u32 time [s], f32.
Sources: emoncms/emoncms docs/timeseries/Fixed-interval.md, emoncms/usefulscripts backup_py.
"""

import csv
import struct
from itertools import chain, islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from flows.errors import ConfigError
from flows.history.csv_source import fitting
from flows.history.mapping import Mapping, Rule, not_there, some
from flows.history.points import BLOCK, Points, Series, ascending, newer
from flows.history.tally import Tally
from flows.history.text import check_text, open_text
from flows.history.times import UNREADABLE, TimeReader, in_time, refuse_undated
from flows.model.table import Numbers, Times

_META = struct.Struct("<4I")
_RECORD = np.dtype([("unused", "u1"), ("at", "<u4"), ("value", "<f4")])
_FOLDERS = ("", "phpfina", "phptimeseries")


def series(folder: Path, mapping: Mapping, tally: Tally) -> dict[str, Series]:
    """Open the feeds that a mapping names, by quantity. Raises ConfigError for one that is not there."""
    if not folder.is_dir():
        raise ConfigError("source", str(folder), "is no folder; name the one with phpfina, or with CSVs")
    names = _names(folder)
    return {rule.quantity: _feed(folder, names, rule, mapping, tally) for rule in mapping.rules}


def _names(folder: Path) -> dict[str, dict[str, str]]:
    """What feeds are called, by name and by tag:name, where the backup has its feeds.json: id to tag:name."""
    path = folder / "feeds.json"
    if not path.exists():
        return {}
    try:
        feeds: list[dict[str, Any]] = msgspec.json.decode(path.read_bytes(), type=list[dict[str, Any]])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError("source", str(path), f"is no list of feeds: {error}") from None
    found: dict[str, dict[str, str]] = {}
    for feed in feeds:
        name, number = str(feed.get("name")), str(feed.get("id"))
        whole = f"{feed.get('tag')}:{name}"
        for called in (name, whole):
            found.setdefault(called, {})[number] = whole
    return found


def _feed(folder: Path, names: dict[str, dict[str, str]], rule: Rule, mapping: Mapping, tally: Tally) -> Series:
    called = names.get(rule.field, {rule.field: rule.field})
    if len(called) > 1:
        several = set(called.values()) if len(set(called.values())) == len(called) else called
        allowed = f"is the name of several feeds: choose one of {some(several)}"
        raise ConfigError(f"{mapping.name} [quantity.{rule.quantity}] field", rule.field, allowed)
    (feed,) = called
    for place in _FOLDERS:
        if (meta := folder / place / f"{feed}.meta").exists():
            return _phpfina(meta, rule, tally)
        if (records := folder / place / f"feed_{feed}.MYD").exists():
            return _phptimeseries(records, rule, tally)
        for text in (folder / place / feed, folder / place / f"{feed}.csv", folder / place / f"{feed}.csv.gz"):
            if text.is_file():
                return _csv(text, rule, tally)
    files = [path.name for path in folder.rglob("*") if path.is_file()]
    if rule.field in names:
        lacks = f"is feed {feed} of feeds.json, but {folder} has no {feed}.meta, feed_{feed}.MYD or {feed}.csv"
        raise not_there(mapping, rule, lacks, files)
    raise not_there(mapping, rule, f"is no feed in {folder}", names or files)


def _phpfina(meta: Path, rule: Rule, tally: Tally) -> Series:
    data = meta.with_suffix(".dat")
    try:
        _, _, start, interval = _META.unpack(meta.read_bytes()[: _META.size])
    except struct.error:
        raise ConfigError("source", str(meta), "is no feed of emoncms: 16 bytes are needed") from None
    if not interval or not data.exists():
        raise ConfigError("source", str(meta), "is no whole feed: it needs an interval and its .dat")

    def blocks() -> Series:
        done = 0
        with data.open("rb") as file:
            while chunk := file.read(BLOCK * 4):
                values = np.frombuffer(chunk[: len(chunk) // 4 * 4], "<f4").astype(np.float64)
                seconds = start + (done + np.arange(len(values))) * interval
                yield _dated(seconds, values, done, meta.name, rule, tally)
                done += len(values)

    return blocks()


def _phptimeseries(records: Path, rule: Rule, tally: Tally) -> Series:
    newest, done = -1, 0
    with records.open("rb") as file:
        while chunk := file.read(BLOCK * _RECORD.itemsize):
            found = np.frombuffer(chunk[: len(chunk) // _RECORD.itemsize * _RECORD.itemsize], _RECORD)
            seconds, values = found["at"].astype(np.int64), found["value"].astype(np.float64)
            points = _dated(seconds, values, done, records.name, rule, tally)
            done += len(found)
            points, newest = newer(points, newest, tally)
            yield points


def _csv(path: Path, rule: Rule, tally: Tally) -> Series:
    """Read `time,value` rows, times in Unix seconds or ISO; a first row without a time is a header."""
    newest, first = -1, 1
    seconds, texts = TimeReader("unix", "UTC"), TimeReader("iso", "UTC")
    check_text(path, ",")
    with open_text(path) as file:
        rows = csv.reader(file)
        head = list(islice(rows, 1))
        if head and all((reader.read(head[0][:1]) == UNREADABLE).all() for reader in (seconds, texts)):
            head, first = [], 2
        rest = chain(head, rows)
        while block := list(islice(rest, BLOCK)):
            wrong = f"another number of cells than time,value in {path.name}"
            pairs, numbers = fitting(block, 2, first, wrong, tally)
            first += len(block)
            tally.rows += len(block)
            times, form = [text for text, _ in pairs], "unix"
            at = seconds.read(times)
            if (at == UNREADABLE).all():
                at, form = texts.read(times), "iso"
            refuse_undated(at, times, numbers, path.name, form, tally)
            dated = at >= 0
            values = [value for good, (_, value) in zip(dated, pairs, strict=True) if good]
            points = _known(at[dated], rule.numbers(values, tally), rule, tally)
            points, newest = newer(points, newest, tally)
            yield points


def _dated(seconds: Times, values: Numbers, done: int, name: str, rule: Rule, tally: Tally) -> Points:
    """Leave out what is nothing, and what has no possible time. done: points before; name: of the file."""
    tally.rows += len(values)
    rows = np.flatnonzero(~np.isnan(values))
    seconds, values = seconds[rows], values[rows]
    at = in_time(np.minimum(seconds, 1 << 40) * 1000)  # a damaged interval gives times that no int64 holds
    refuse_undated(at, seconds, done + 1 + rows, name, "unix", tally)
    return _known(at[at >= 0], values[at >= 0], rule, tally)


def _known(at: Times, values: Numbers, rule: Rule, tally: Tally) -> Points:
    converted = rule.convert(values, tally)
    there = ~np.isnan(converted)
    return ascending(at[there], converted[there], rule.quantity, tally)
