"""What the writer knows by heart: device keys, columns, what was forgotten or let go."""

import sqlite3
from collections.abc import Iterable, Mapping

from flows.errors import RowRefused
from flows.store.sqlite.schema import COLUMNS, type_of


class Catalog:
    """A copy of small tables, good inside the transactions of the one writer; read anew after a failed one.

    forgotten     : by device, the order of its last Forget: older rows never come back.
    raw_before    : by device, event time below which its raw rows were let go. [ms since 1970, UTC]
    minute_before : likewise of minute rows.
    dead_letter_before : arrival below which dead letters were let go. [ms since 1970, UTC]
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self._devices: dict[str, int] = dict(db.execute("SELECT device_id, device FROM device"))
        self.forgotten: dict[str, int] = dict(db.execute("SELECT device_id, ord FROM forgotten"))
        self.raw_before: dict[str, int] = {}
        self.minute_before: dict[str, int] = {}
        self.dead_letter_before = 0
        for device_id, raw, minute, dead_letter in db.execute("SELECT * FROM retained"):
            self.raw_before[device_id], self.minute_before[device_id] = raw, minute
            self.dead_letter_before = max(self.dead_letter_before, dead_letter)
        self._columns = {table: columns_of(db, table) for table in COLUMNS}

    def device(self, device_id: str) -> int:
        """Give the integer key of a device, a new one where it has none."""
        device = self._devices.get(device_id)
        if device is None:
            cursor = self.db.execute("INSERT INTO device (device_id) VALUES (?)", (device_id,))
            device = self._devices[device_id] = int(cursor.lastrowid or 0)
        return device

    def known_device(self, device_id: str) -> int | None:
        """Give the integer key of a device that has one."""
        return self._devices.get(device_id)

    def drop_device(self, device_id: str) -> None:
        """Delete a device of which nothing is left."""
        self.db.execute("DELETE FROM device WHERE device_id = ?", (device_id,))
        del self._devices[device_id]

    def columns(self, table: str) -> tuple[str, ...]:
        """Name the columns of quantities that a table has so far."""
        return self._columns[table]

    def columns_for(self, table: str, rows: Iterable[Mapping[str, object]]) -> tuple[str, ...]:
        """Name the columns of a table, after adding those that these rows are the first to need."""
        known = frozenset(self._columns[table])
        missing = set().union(*(row.keys() - known for row in rows if not known.issuperset(row)))
        for column in sorted(missing):
            if column not in COLUMNS[table]:
                raise RowRefused(f"{column!r} is no column of {table}: quantities.py does not know it")
            self.db.execute(f"ALTER TABLE {table} ADD COLUMN {column} {type_of(table, column)}")
        if missing:
            self._columns[table] = columns_of(self.db, table)
        return self._columns[table]


def columns_of(db: sqlite3.Connection, table: str) -> tuple[str, ...]:
    """Name the columns of quantities that a table has, in the order of quantities.py."""
    there = {name for (name,) in db.execute("SELECT name FROM pragma_table_info(?)", (table,))}
    return tuple(column for column in COLUMNS[table] if column in there)
