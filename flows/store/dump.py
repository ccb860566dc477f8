"""A store as text: two stores are equal if and only if their dumps are."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from flows.store.sqlite.connection import connect_reader, speaking
from flows.store.sqlite.migrations import check_current
from flows.store.sqlite.schema import COLUMNS, TIME_BITS, at_of

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

    Devices go by their ids, not by their integer keys; rows are in the order of their text.
    """
    path = Path(path)
    with speaking(path):
        db = connect_reader(path, BUSY_MS)
        try:
            db.execute("BEGIN")
            check_current(db)
            names: dict[int, str] = dict(db.execute("SELECT device, device_id FROM device"))
            for table in _TABLES:
                yield from sorted(_lines(db, table, names))
        finally:
            db.close()


def _lines(db: sqlite3.Connection, table: str, names: dict[int, str]) -> Iterator[str]:
    cursor = db.execute(f"SELECT * FROM {table}")
    columns = [column for column, *_ in cursor.description]
    for row in cursor:
        values = {column: value for column, value in zip(columns, row, strict=True) if value is not None}
        if table in COLUMNS:
            key = values.pop("key")
            values |= {"device_id": names[key >> TIME_BITS], "at": at_of(key)}
        elif "device" in values:
            values["device_id"] = names[values.pop("device")]
        if "readings" in values and table == "latest":
            values["readings"] = msgspec.msgpack.decode(values["readings"])
        yield f"{table} {json.dumps(values, sort_keys=True, default=bytes.hex)}"
