"""What the writer knows by heart: device keys, columns, what was forgotten or let go."""

import sqlite3
from collections.abc import Iterable

from flows.errors import RowRefused
from flows.store.sqlite.packing import Layout, layout
from flows.store.sqlite.schema import COLUMNS, scales_of


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
        self._layouts = {table: layout_of(db, table) for table in COLUMNS}

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

    def layout(self, table: str, names: Iterable[str] = ()) -> Layout:
        """Give the layout of a table's rows, after adding the columns that these names are the first to need."""
        known = self._layouts[table]
        missing = sorted(set(names).difference(known.names))
        if missing:
            for column in missing:
                if column not in COLUMNS[table]:
                    raise RowRefused(f"{column!r} is no column of {table}: quantities.py does not know it")
            add_columns(self.db, table, len(known.names), missing)
            self._layouts[table] = layout_of(self.db, table)
        return self._layouts[table]


def add_columns(db: sqlite3.Connection, table: str, position: int, names: Iterable[str]) -> None:
    """Let rows of a table have these columns too, from a position on: behind those it has."""
    db.executemany(
        "INSERT INTO packed_column VALUES (?, ?, ?, ?, ?)",
        [(table, position + n, name, *scales_of(name)) for n, name in enumerate(names)],
    )


def layout_of(db: sqlite3.Connection, table: str) -> Layout:
    """Read how a table's rows are packed."""
    columns = "SELECT name, coarse, fine FROM packed_column WHERE packed = ? ORDER BY position"
    return layout(tuple(db.execute(columns, (table,))))


def ages_of(layout_: Layout) -> Layout:
    """Lay out the ages of values: of the same names, mostly 0."""
    return layout(tuple((name, 0.0, 0.0) for name in layout_.names))
