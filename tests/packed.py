"""Reads and writes packed rows one by one, as docs/reference/store.md describes them; nothing of `flows`."""

import sqlite3
import struct
from math import isnan

Column = tuple[str, float, float]
BIAS = 4096


def columns_of(db: sqlite3.Connection, table: str) -> list[Column]:
    """Name, coarse and fine scale of each column of a table."""
    query = "SELECT name, coarse, fine FROM packed_column WHERE packed = ? ORDER BY position"
    return [tuple(row) for row in db.execute(query, (table,))]


def unpacked(columns: list[Column], body: bytes) -> dict[str, float]:
    """Values of a row by name; what it does not have is left out."""
    values = {}
    at = 1 + body[0]
    for number, (name, coarse, fine) in enumerate(columns[: 4 * body[0]]):
        code = body[1 + number // 4] >> 2 * (number % 4) & 3
        if code == 3:
            (values[name],) = struct.unpack_from("<d", body, at)
            at += 8
        elif code and not coarse:
            values[name] = code - 1.0
        elif code == 1:
            values[name] = (struct.unpack_from("<H", body, at)[0] - BIAS) / coarse
            at += 2
        elif code == 2:
            values[name] = struct.unpack_from("<i", body, at)[0] / fine
            at += 4
    assert at == len(body)
    return values


def packed(columns: list[Column], values: dict[str, float]) -> bytes:
    """Pack a row as plainly as may be: every value as a double."""
    codes = bytearray(-(-len(columns) // 4))
    cells = b""
    for number, (name, _, _) in enumerate(columns):
        if name in values and not isnan(values[name]):
            codes[number // 4] |= 3 << 2 * (number % 4)
            cells += struct.pack("<d", values[name])
    return bytes([len(codes)]) + codes + cells


def teach_raised(db: sqlite3.Connection) -> None:
    """Give SQL a function raised(table, body, name, by): the row with one value changed."""
    columns = {table: columns_of(db, table) for table in ("raw", "rollup_1m", "rollup_1h", "rollup_1d")}

    def raised(table: str, body: bytes, name: str, by: float) -> bytes:
        values = unpacked(columns[table], body)
        return packed(columns[table], {**values, name: values[name] + by})

    db.create_function("raised", 4, raised)
