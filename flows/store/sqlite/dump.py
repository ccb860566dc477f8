"""A store file as text."""

import json
import sqlite3
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from flows.model.quantities import FLAG_NAMES
from flows.store.retracing import GONE
from flows.store.sqlite.catalog import layout_of
from flows.store.sqlite.connection import connect_reader, speaking
from flows.store.sqlite.devices import newest_values
from flows.store.sqlite.migrations import check_current
from flows.store.sqlite.packing import Layout, unpack
from flows.store.sqlite.rowreading import select_span
from flows.store.sqlite.schema import END_OF_TIME, ROLLUP_TABLES, at_of

BUSY_MS = 2_000
UNPACKED_AT_ONCE = 1_000

_TABLES = (
    "device",
    "attribute",
    "latest",
    "raw",
    "rollup_1m",
    "rollup_1h",
    "rollup_1d",
    "episode",
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

_KEYED = frozenset(("raw", *ROLLUP_TABLES.values()))


def dump(path: Path) -> Iterator[str]:
    """Give every row of every table as one line: table, then what has a value, by name.

    Devices go by their ids, not by their integer keys. Rows of raw and rollup tables are in the order of device
    and time, others in that of their text.
    """
    with speaking(path):
        db = connect_reader(path, BUSY_MS)
        try:
            db.execute("BEGIN")
            check_current(db, path)
            devices = {
                number: name for name, number in db.execute("SELECT device_id, device FROM device ORDER BY 1")
            }
            for table in _TABLES:
                if table in _KEYED:
                    yield from _keyed_lines(db, table, devices)
                else:
                    yield from sorted(_lines(db, table, devices))
        finally:
            db.close()


def _keyed_lines(db: sqlite3.Connection, table: str, devices: dict[int, str]) -> Iterator[str]:
    layout = layout_of(db, table)
    for number, device_id in devices.items():
        rows = _rows(select_span(db, table, "*", number, 0, END_OF_TIME))
        while some := list(islice(rows, UNPACKED_AT_ONCE)):
            for row, values in zip(some, _unpacked(layout, [row.pop("body") for row in some]), strict=True):
                at = at_of(row.pop("key"))
                if "late" in row:
                    row["arrived"] = at + row.pop("late")
                yield _line(table, {**row, **values, "device_id": device_id, "at": at})


def _unpacked(layout: Layout, bodies: list[bytes]) -> Iterator[dict[str, Any]]:
    for values in unpack(layout, bodies).tolist():
        yield {
            name: bool(value) if name in FLAG_NAMES else value
            for name, value in zip(layout.names, values, strict=True)
            if value == value
        }


def _lines(db: sqlite3.Connection, table: str, devices: dict[int, str]) -> Iterator[str]:
    newest = newest_values(db) if table == "latest" else {}
    for values in _rows(db.execute(f"SELECT * FROM {table}")):
        if table == "episode" and values["body"] == GONE:
            continue
        if table == "latest":
            values = {"device": values["device"], "ord": values["ord"], "readings": newest[values["device"]]}
        if "device" in values:
            values["device_id"] = devices[values.pop("device")]
        yield _line(table, values)


def _rows(cursor: sqlite3.Cursor) -> Iterator[dict[str, Any]]:
    columns = [column for column, *_ in cursor.description]
    for row in cursor:
        yield {column: value for column, value in zip(columns, row, strict=True) if value is not None}


def _line(table: str, values: dict[str, Any]) -> str:
    return f"{table} {json.dumps(values, sort_keys=True, default=bytes.hex)}"
