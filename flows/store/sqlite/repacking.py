"""The migration from one column a quantity to packed rows: a piece at a time, wherever it was interrupted."""

import logging
import sqlite3
from typing import Any

import msgspec

from flows.store.sqlite.catalog import add_columns, ages_of, layout_of
from flows.store.sqlite.connection import transaction
from flows.store.sqlite.packing import Layout, pack
from flows.store.sqlite.rows import by_names, matrix
from flows.store.sqlite.schema import COLUMNS, ROLLUP_TABLES

log = logging.getLogger("heatpump.store")

ROWS_A_PIECE = 10_000
"""Rows moved in one transaction: memory and write-ahead log stay small, whatever the size of the store."""

SAY_EVERY = 1_000_000
"""Rows between two words of progress."""

_OWN = {"raw": ("ord", "arrived - (key & ((1 << 43) - 1))", "clock"), "rollup": ("ord", "count", "heat_source")}

_PACKED_TABLES = """
CREATE TABLE packed_column (
    packed TEXT NOT NULL, position INTEGER NOT NULL, name TEXT NOT NULL, coarse REAL NOT NULL, fine REAL NOT NULL,
    PRIMARY KEY (packed, position)) WITHOUT ROWID;
CREATE TABLE raw (
    key INTEGER PRIMARY KEY, ord INTEGER NOT NULL, late INTEGER NOT NULL, clock INTEGER NOT NULL,
    body BLOB NOT NULL);
CREATE TABLE rollup_1m (
    key INTEGER PRIMARY KEY, ord INTEGER NOT NULL, count INTEGER NOT NULL, heat_source INTEGER,
    body BLOB NOT NULL);
CREATE TABLE rollup_1h (
    key INTEGER PRIMARY KEY, ord INTEGER NOT NULL, count INTEGER NOT NULL, heat_source INTEGER,
    body BLOB NOT NULL);
CREATE TABLE rollup_1d (
    key INTEGER PRIMARY KEY, ord INTEGER NOT NULL, count INTEGER NOT NULL, heat_source INTEGER,
    body BLOB NOT NULL);
CREATE TABLE latest (
    device INTEGER PRIMARY KEY, ord INTEGER NOT NULL, at INTEGER NOT NULL,
    ages BLOB NOT NULL, body BLOB NOT NULL)
"""


def packed_tables(db: sqlite3.Connection) -> None:
    """Set the tables with a column a quantity aside, and create those of packed rows beside them."""
    for table in (*_wide(), "latest"):
        db.execute(f"ALTER TABLE {table} RENAME TO {table}_wide")
    for statement in _PACKED_TABLES.split(";"):
        db.execute(statement)
    for table in _wide():
        there = {name for (name,) in db.execute("SELECT name FROM pragma_table_info(?)", (f"{table}_wide",))}
        add_columns(db, table, 0, [column for column in COLUMNS[table] if column in there])
    _move_latest(db)


def moved_rows(db: sqlite3.Connection) -> None:
    """Move the rows set aside into the tables of packed ones, each piece in a transaction of its own.

    What was moved is gone from where it was, so the next start goes on where this one was killed, and the file
    does not grow: the pages of moved rows take new ones.
    """
    for table in _wide():
        moved = 0
        while count := _move_piece(db, table):
            moved += count
            if moved % SAY_EVERY < count:
                log.warning("the store is brought to its new form: %d rows of %s so far", moved, table)
        db.execute(f"DROP TABLE IF EXISTS {table}_wide")


def _move_piece(db: sqlite3.Connection, table: str) -> int:
    """Move the oldest rows of the first devices; returns how many."""
    if db.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (f"{table}_wide",)).fetchone() is None:
        return 0
    layout = layout_of(db, table)
    chosen = ("key", *_OWN["raw" if table == "raw" else "rollup"], *layout.names)
    rows = db.execute(f"SELECT {', '.join(chosen)} FROM {table}_wide ORDER BY key LIMIT {ROWS_A_PIECE}").fetchall()
    if rows:
        values = [
            {name: value for name, value in zip(layout.names, row[4:], strict=True) if value is not None}
            for row in rows
        ]
        moved = [(*row[:4], body) for row, body in zip(rows, _packed(layout, values), strict=True)]
        with transaction(db):
            db.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?)", moved)
            db.execute(f"DELETE FROM {table}_wide WHERE key <= ?", (rows[-1][0],))
    return len(rows)


def _move_latest(db: sqlite3.Connection) -> None:
    rows = [
        (device, order, msgspec.msgpack.decode(readings, type=dict[str, tuple[int, float | bool]]))
        for device, order, readings in db.execute("SELECT device, ord, readings FROM latest_wide")
    ]
    sent = {name for _, _, readings in rows for name in readings}
    add_columns(db, "latest", 0, [name for name in COLUMNS["latest"] if name in sent])
    layout = layout_of(db, "latest")
    for device, order, readings in rows:
        newest = max((at for at, _ in readings.values()), default=0)
        (ages,) = _packed(ages_of(layout), [{name: newest - at for name, (at, _) in readings.items()}])
        (body,) = _packed(layout, [{name: value for name, (_, value) in readings.items()}])
        db.execute("INSERT INTO latest VALUES (?, ?, ?, ?, ?)", (device, order, newest, ages, body))
    db.execute("DROP TABLE latest_wide")


def _wide() -> tuple[str, ...]:
    return "raw", *ROLLUP_TABLES.values()


def _packed(layout: Layout, rows: list[dict[str, Any]]) -> list[bytes]:
    return pack(layout, matrix(layout.names, rows, by_names(rows)))
