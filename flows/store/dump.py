"""A store as text: two stores are equal if and only if their dumps are."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from flows.store.sqlite.connection import connect_reader, speaking
from flows.store.sqlite.migrations import check_current
from flows.store.sqlite.rowreading import select_span
from flows.store.sqlite.schema import COLUMNS, END_OF_TIME, at_of

BUSY_MS = 2_000

_TABLES = (
    "device",
    "attribute",
    "latest",
    "raw",
    "rollup_1m",
    "rollup_1h",
    "rollup_1d",
    "alert_transition",
    "alert",
    "dead_letter",
    "dead_letter_count",
    "command",
    "forgotten",
    "retained",
    "tally",
)
"""In the order of the dump; left out are the fence, which moves by itself, and the file's own history."""


def dump(path: str | Path) -> Iterator[str]:
    """Give every row of every table as one line: table, then the columns that have a value, by name.

    Devices go by their ids, not by their integer keys. Rows of raw and rollup tables are in the order of device
    and time, others in that of their text.
    """
    path = Path(path)
    with speaking(path):
        db = connect_reader(path, BUSY_MS)
        try:
            db.execute("BEGIN")
            check_current(db, path)
            devices = {
                number: name for name, number in db.execute("SELECT device_id, device FROM device ORDER BY 1")
            }
            for table in _TABLES:
                if table in COLUMNS:
                    yield from _keyed_lines(db, table, devices)
                else:
                    yield from sorted(_lines(db, table, devices))
        finally:
            db.close()


def _keyed_lines(db: sqlite3.Connection, table: str, devices: dict[int, str]) -> Iterator[str]:
    for number, device_id in devices.items():
        for values in _rows(select_span(db, table, "*", number, 0, END_OF_TIME)):
            at = at_of(values.pop("key"))
            yield _line(table, {**values, "device_id": device_id, "at": at})


def _lines(db: sqlite3.Connection, table: str, devices: dict[int, str]) -> Iterator[str]:
    for values in _rows(db.execute(f"SELECT * FROM {table}")):
        if "device" in values:
            values["device_id"] = devices[values.pop("device")]
        if "readings" in values and table == "latest":
            values["readings"] = msgspec.msgpack.decode(values["readings"])
        yield _line(table, values)


def _rows(cursor: sqlite3.Cursor) -> Iterator[dict[str, Any]]:
    columns = [column for column, *_ in cursor.description]
    for row in cursor:
        yield {column: value for column, value in zip(columns, row, strict=True) if value is not None}


def _line(table: str, values: dict[str, Any]) -> str:
    return f"{table} {json.dumps(values, sort_keys=True, default=bytes.hex)}"
