"""emoncms: feeds as its backups hold them (PHPFina, PHPTimeSeries), or exported as CSV, a file a feed.

PHPFina: ID.meta is four u32 (two unused, start [s], interval [s]), ID.dat is f32 after f32, NaN for nothing.
PHPTimeSeries: feed_ID.MYD, records of 9 bytes: one unused, u32 time [s], f32.
Sources: emoncms/emoncms docs/timeseries/Fixed-interval.md, emoncms/usefulscripts backup_py.
"""

import csv
import struct
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from flows.errors import ConfigError
from flows.history.csv_source import NO_TEXT, fitting, no_text, open_text
from flows.history.mapping import Mapping, Rule, not_there
from flows.history.points import BLOCK, Points, Series, ascending
from flows.history.tally import Tally
from flows.history.times import UNREADABLE, TimeReader, refuse_undated
from flows.model.times import iso

_META = struct.Struct("<4I")
_RECORD = np.dtype([("unused", "u1"), ("at", "<u4"), ("value", "<f4")])
_FOLDERS = ("", "phpfina", "phptimeseries")


def series(folder: Path, mapping: Mapping, tally: Tally) -> dict[str, Series]:
    """Open the feeds that a mapping names, by quantity. Raises ConfigError for one that is not there."""
    if not folder.is_dir():
        raise ConfigError("source", str(folder), "is no folder; name the one with phpfina, or with CSVs")
    names = _names(folder)
    return {rule.quantity: _feed(folder, names, rule, mapping, tally) for rule in mapping.rules}


def _names(folder: Path) -> dict[str, str]:
    """Ids of feeds by name and by tag:name, where the backup has its feeds.json."""
    path = folder / "feeds.json"
    if not path.exists():
        return {}
    try:
        feeds: list[dict[str, Any]] = msgspec.json.decode(path.read_bytes(), type=list[dict[str, Any]])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError("source", str(path), f"is no list of feeds: {error}") from None
    found: dict[str, str] = {}
    for feed in feeds:
        name, tag, number = str(feed.get("name")), str(feed.get("tag")), str(feed.get("id"))
        found.setdefault(name, number)
        found[f"{tag}:{name}"] = number
    return found


def _feed(folder: Path, names: dict[str, str], rule: Rule, mapping: Mapping, tally: Tally) -> Series:
    feed = names.get(rule.field, rule.field)
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
                at = (start + (done + np.arange(len(values))) * interval) * 1000
                done += len(values)
                yield _known(at, values, rule, tally)

    return blocks()


def _phptimeseries(records: Path, rule: Rule, tally: Tally) -> Series:
    newest = -1
    with records.open("rb") as file:
        while chunk := file.read(BLOCK * _RECORD.itemsize):
            found = np.frombuffer(chunk[: len(chunk) // _RECORD.itemsize * _RECORD.itemsize], _RECORD)
            at = found["at"].astype(np.int64) * 1000
            points = _known(at, found["value"].astype(np.float64), rule, tally)
            points, newest = _behind(points, newest, tally)
            yield points


def _csv(path: Path, rule: Rule, tally: Tally) -> Series:
    """Read `time,value` rows, with or without a header, times in Unix seconds or ISO."""
    newest, first = -1, 1
    seconds, texts = TimeReader("unix", "UTC"), TimeReader("iso", "UTC")
    try:
        with open_text(path) as file:
            rows = csv.reader(file)
            while block := list(islice(rows, BLOCK)):
                wrong = f"another number of cells than time,value in {path.name}"
                pairs, numbers = fitting(block, 2, first, wrong, tally)
                first += len(block)
                times, form = [text for text, _ in pairs], "unix"
                at = seconds.read(times)
                if (at == UNREADABLE).all():
                    at, form = texts.read(times), "iso"
                refuse_undated(at, times, numbers, path.name, form, tally)
                dated = at >= 0
                values = [value for good, (_, value) in zip(dated, pairs, strict=True) if good]
                points = _known(at[dated], rule.numbers(values, tally), rule, tally)
                points, newest = _behind(points, newest, tally)
                yield points
    except NO_TEXT as error:
        raise no_text(path, error, "no CSV file in UTF-8") from None


def _known(at: Any, values: Any, rule: Rule, tally: Tally) -> Points:
    tally.rows += len(at)
    converted = rule.convert(values)
    there = ~np.isnan(converted)
    return ascending(at[there], converted[there], rule.quantity, tally)


def _behind(points: Points, newest: int, tally: Tally) -> tuple[Points, int]:
    """Leave out points that are not newer than those of the blocks before."""
    first = int(np.searchsorted(points.at, newest, "right"))
    if first:
        tally.refuse("out of order", iso(int(points.at[0])), first)
    points = Points(points.at[first:], points.values[first:])
    return points, int(points.at[-1]) if len(points.at) else newest
