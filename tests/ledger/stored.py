"""What a store holds, read with plain SQL (docs/reference/store.md); nothing of `flows`. Of InfluxDB: stored_influx."""

import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any, Protocol

from tests.ledger.load import Event
from tests.oracle.alerts import Change
from tests.packed import columns_of, unpacked

TIME_BITS = 43
HEAT_SOURCES = {0: "counter", 1: "measured", 2: "estimated", None: ""}
OWN_COLUMNS = {"key", "ord", "late", "clock", "count", "heat_source", "body"}
TABLES = {"raw": "raw", "1m": "rollup_1m", "1h": "rollup_1h", "1d": "rollup_1d"}

Letters = list[tuple[str, str, int]]
"""Device, reason, how many."""


class Row:
    """A stored row. values: by column; count and heat_source: of a rollup row."""

    def __init__(self, values: dict[str, Any], count: int, heat_source: str) -> None:
        self.values, self.count, self.heat_source = values, count, heat_source


class Stored(Protocol):
    """A store as it is found."""

    def devices(self) -> set[str]:
        """Ids of all devices."""

    def rows(self, device_id: str, kind: str) -> dict[int, Row]:
        """Rows of a device by time. kind: raw, 1m, 1h or 1d."""

    def changes(self, device_id: str) -> list[Change]:
        """Alert transitions of a device in their order, without what devices raised themselves."""

    def events(self) -> Counter[Event]:
        """Alerts that devices raised themselves."""

    def letters(self) -> Letters:
        """Count what was refused."""

    def close(self) -> None:
        """Let go."""


class StoredSqlite:
    """The embedded store's file."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        self._db.row_factory = sqlite3.Row
        self._keys = {
            row["device_id"]: row["device"] for row in self._db.execute("SELECT device_id, device FROM device")
        }

    def devices(self) -> set[str]:
        return set(self._keys)

    def rows(self, device_id: str, kind: str) -> dict[int, Row]:
        table, device = TABLES[kind], self._keys.get(device_id, -1)
        span = (device << TIME_BITS, device + 1 << TIME_BITS)
        found = self._db.execute(f"SELECT * FROM {table} WHERE key >= ? AND key < ?", span)
        columns = columns_of(self._db, table)
        return {row["key"] & (1 << TIME_BITS) - 1: self._row(row, columns) for row in found}

    def changes(self, device_id: str) -> list[Change]:
        query = "SELECT * FROM alert_transition WHERE device = ? AND state != 'noted' ORDER BY ord"
        found = self._db.execute(query, (self._keys.get(device_id, -1),))
        return [Change(row["alert_type"], row["state"], row["level"], row["at"], row["value"]) for row in found]

    def events(self) -> Counter[Event]:
        names = {key: device_id for device_id, key in self._keys.items()}
        rows = self._db.execute("SELECT * FROM alert_transition WHERE state = 'noted'")
        return Counter(Event(names[row["device"]], row["at"], row["value"]) for row in rows)

    def letters(self) -> Letters:
        query = "SELECT device_id, reason, sum(count) FROM dead_letter_count GROUP BY device_id, reason"
        return [tuple(row) for row in self._db.execute(query)]

    def close(self) -> None:
        self._db.close()

    @staticmethod
    def _row(row: sqlite3.Row, columns: Any) -> Row:
        own = {name: row[name] for name in row.keys() if row[name] is not None}
        values = {**own, **unpacked(columns, row["body"])}
        kept = {name: value for name, value in values.items() if name not in OWN_COLUMNS}
        return Row(kept, values.get("count", 0), HEAT_SOURCES[values.get("heat_source")])
