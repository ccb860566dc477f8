"""Rollups held against what they are made of: minutes against raw rows, hours against minutes, days against hours.

By the very code that heals them (flows/store/healing.py), which here compares where it else would write. What
retention has let go is left out as it is there.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from flows.model.rollup import BUCKET_MS, HOLD_MS, Compose, Refold, Resolution
from flows.model.table import RollupTable
from flows.model.times import DAY_MS
from flows.store.healing import COARSER, heal
from flows.store.sqlite.catalog import Catalog
from flows.store.sqlite.connection import connect_reader, speaking
from flows.store.sqlite.healing import Past
from flows.store.sqlite.rowreading import ROLLUP, rollup_table, select_span, times_of
from flows.store.sqlite.schema import END_OF_TIME, ROLLUP_TABLES, at_of

BUSY_MS = 5_000
CLOSE = 1e-9
NEVER_OLDER = 1 << 62
MINUTE_MS = BUCKET_MS["1m"]


class Refolded:
    """compared: how many rows were; differences: each in a sentence each."""

    def __init__(self) -> None:
        self.compared = 0
        self.differences: list[str] = []


class _Compared(Past):
    """Compares what healing would write with what is stored."""

    def __init__(self, catalog: Catalog, found: Refolded) -> None:
        super().__init__(catalog)
        self._db, self._read, self._found = catalog.db, catalog, found
        self.newest: dict[tuple[str, Resolution], int] = {}

    def write(self, resolution: Resolution, device_ids: Sequence[str], rows: RollupTable) -> None:
        """Compare rows computed from what is stored. device_ids: one a row."""
        for device_id in sorted(set(device_ids)):
            places = np.flatnonzero(np.array([each == device_id for each in device_ids]))
            self._compare(resolution, device_id, rows, places)

    def _compare(self, resolution: Resolution, device_id: str, rows: RollupTable, places: np.ndarray) -> None:
        device, table = self._read.device(device_id), ROLLUP_TABLES[resolution]
        starts = rows.start[places]
        first, last = int(starts.min()), int(starts.max())
        stored = select_span(self._db, table, ROLLUP, device, first, last + 1).fetchall()
        there = rollup_table(self._read.layout(table), stored)
        at = {start: row for row, start in enumerate(times_of(there.start).tolist())}
        newest = self.newest.get((device_id, resolution), -1)
        for place, start in zip(places.tolist(), starts.tolist(), strict=True):
            row = at.get(start)
            if row is None:
                if start <= newest:
                    self._differs(device_id, resolution, start, "is missing")
                continue
            self._found.compared += 1
            wrong = _difference(rows, place, there, row)
            if wrong:
                self._differs(device_id, resolution, start, wrong)

    def _differs(self, device_id: str, resolution: Resolution, start: int, what: str) -> None:
        when = f"{datetime.fromtimestamp(start / 1000, UTC):%Y-%m-%d %H:%M}"
        self._found.differences.append(f"the {resolution} rollup of {device_id} at {when} UTC {what}")


def refold(path: Path) -> Refolded:
    """Fold all that a store file has of raw rows again and compare. Raises StoreError."""
    found = Refolded()
    with speaking(path), closing(connect_reader(path, BUSY_MS)) as db:
        catalog = Catalog(db)
        past = _Compared(catalog, found)
        devices = db.execute("SELECT device_id, device FROM device ORDER BY device_id").fetchall()
        for device_id, device in devices:
            for resolution, table in ROLLUP_TABLES.items():
                newest = select_span(
                    db, table, "key", device, 0, END_OF_TIME, "ORDER BY key DESC LIMIT 1"
                ).fetchone()
                past.newest[device_id, resolution] = at_of(newest[0]) if newest else -1
            for request in _spans(past, catalog, device_id, device):
                heal(past, [request])
            heal(past, [*_buckets(past, catalog, device_id, device)])
    return found


def _spans(past: _Compared, catalog: Catalog, device_id: str, device: int) -> Iterator[Refold]:
    """Ask for minutes day by day, from where raw rows tell all that is held; none that closes an hour."""
    span = select_span(catalog.db, "raw", "key", device, 0, END_OF_TIME, "ORDER BY key LIMIT 1").fetchone()
    newest = past.newest[device_id, "1m"]
    if span is None or newest < 0:
        return
    first = at_of(span[0])
    begun = first + HOLD_MS + MINUTE_MS if past.raw_before.get(device_id) else first
    start, end = begun // MINUTE_MS * MINUTE_MS, newest + MINUTE_MS
    while start < end:
        stop = min(end, start // DAY_MS * DAY_MS + DAY_MS)
        yield Refold(device_id, NEVER_OLDER, start, stop, min(end, stop))
        start = stop


def _buckets(past: _Compared, catalog: Catalog, device_id: str, device: int) -> Iterator[Compose | Refold]:
    """Ask for every hour and day that is stored."""
    for resolution in COARSER:
        finer: Resolution = "1m" if resolution == "1h" else "1h"
        oldest = select_span(
            catalog.db, ROLLUP_TABLES[finer], "key", device, 0, END_OF_TIME, "ORDER BY key LIMIT 1"
        ).fetchone()
        if oldest is None:
            continue
        length = BUCKET_MS[resolution]
        whole = -(-at_of(oldest[0]) // length) * length if past.minute_before.get(device_id) else 0
        for (key,) in select_span(catalog.db, ROLLUP_TABLES[resolution], "key", device, whole, END_OF_TIME):
            yield Compose(device_id, NEVER_OLDER, resolution, at_of(key))


def _difference(rows: RollupTable, place: int, there: RollupTable, row: int) -> str:
    """Say what of a row is not the same, "" if nothing is."""
    if rows.count[place] != there.count[row]:
        return f"counts {there.count[row]} readings, {rows.count[place]} are there"
    if rows.heat[place] != there.heat[row]:
        return "has another source of its heat than its parts"
    folded = dict(zip(rows.names, rows.values[place].tolist(), strict=True))
    stored = dict(zip(there.names, there.values[row].tolist(), strict=True))
    for name in sorted(folded.keys() | stored.keys()):
        mine, theirs = folded.get(name, np.nan), stored.get(name, np.nan)
        if not np.isclose(mine, theirs, rtol=CLOSE, atol=CLOSE, equal_nan=True):
            return f"has {name} {theirs:.10g}, its parts give {mine:.10g}"
    return ""
