"""Holds a store file against a published fleet."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any

from flows.model.quantities import QUANTITIES
from flows.store import open_reader
from flows.store.protocol import StoredReading
from scripts.lib.fleet import STEP_MS, Fleet, Pump

TIME_BITS = 43
COMPARED = 25
"""Of that many devices every value is compared, of all others the times."""

TABLES = ("raw", "rollup_1m", "rollup_1h", "rollup_1d", "alert_transition", "dead_letter")


class Progress:
    """How far the store has come: of a fleet that sends in order the last device is the last to be stored."""

    def __init__(self, store: Path, fleet: Fleet) -> None:
        self._db = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
        self._fleet, self._last = fleet, fleet.devices - 1
        self._device: int | None = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._db.close()

    def rounds(self) -> int:
        """How many readings of every device are stored."""
        if self._device is None:
            self._device = device_key(self._db, Pump(self._last).device_id)
            if self._device is None:
                return 0
        span = (self._device << TIME_BITS, self._device + 1 << TIME_BITS)
        (key,) = self._db.execute("SELECT max(key) FROM raw WHERE key >= ? AND key < ?", span).fetchone()
        if key is None:
            return 0
        return ((key & (1 << TIME_BITS) - 1) - self._fleet.at(self._last, 0)) // STEP_MS + 1


def device_key(db: sqlite3.Connection, device_id: str) -> int | None:
    """Look up a device's number."""
    row = db.execute("SELECT device FROM device WHERE device_id = ?", (device_id,)).fetchone()
    return None if row is None else int(row[0])


def rows_of(store: Path) -> dict[str, int]:
    """Count the rows of each table."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
        return {table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}


def differences(store: Path, fleet: Fleet) -> list[str]:
    """Compare what is stored with what was published; every difference in a sentence."""
    found = []
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db, closing(open_reader(store)) as reader:
        every = max(1, fleet.devices // COMPARED)
        for number in range(fleet.devices):
            device_id = Pump(number).device_id
            device = device_key(db, device_id)
            span = (-1, 0) if device is None else (device << TIME_BITS, device + 1 << TIME_BITS)
            keys = db.execute("SELECT key FROM raw WHERE key >= ? AND key < ? ORDER BY key", span)
            times = [key & (1 << TIME_BITS) - 1 for (key,) in keys]
            wanted = [fleet.at(number, turn) for turn in range(fleet.rounds)]
            if times != wanted:
                missing, more = set(wanted) - set(times), set(times) - set(wanted)
                found.append(f"{device_id}: {len(missing)} readings are missing, {len(more)} were not published")
            elif number % every == 0:
                rows = reader.readings(device_id, 0, wanted[-1] + 1, len(wanted), newest_first=False)
                found += _values_differing(device_id, rows, fleet.readings(number))
        closed = minutes_closed(fleet)
        (rows_1m,) = db.execute("SELECT count(*) FROM rollup_1m").fetchone()
        if rows_1m != closed:
            found.append(f"{rows_1m} minute rows are stored, {closed} minutes are closed")
        (letters,) = db.execute("SELECT count(*) FROM dead_letter").fetchone()
        if letters:
            found.append(f"{letters} dead letters")
    return found


def minutes_closed(fleet: Fleet) -> int:
    """How many minutes have a reading of theirs and one at or after their end, all devices together."""
    return sum(
        fleet.at(number, fleet.rounds - 1) // 60_000 - fleet.at(number, 0) // 60_000
        for number in range(fleet.devices)
    )


def _values_differing(device_id: str, rows: list[StoredReading], texts: Any) -> list[str]:
    paths = {quantity.name: quantity.path for quantity in QUANTITIES if quantity.path}
    for row, text in zip(rows, texts, strict=True):
        payload = json.loads(text)
        for name, path in paths.items():
            value: Any = payload
            for key in path:
                value = value.get(key) if value is not None else None
            stored = row.values.get(name)
            if stored != value:
                return [f"{device_id}: {name} of {payload['timestamp']} is {stored}, published was {value}"]
    return []
