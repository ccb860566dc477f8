"""Rows of raw and rollup tables as the model's values: for the reader, and for the writer's healing."""

import sqlite3
from collections.abc import Iterable
from typing import Any

from flows.model.quantities import HEAT_SOURCES
from flows.model.reading import Value
from flows.model.rollup import Resolution, RollupRow
from flows.store.sqlite.schema import FLAG_COLUMNS, ROLLUP_TABLES, at_of, span_keys


def select_span(
    db: sqlite3.Connection, table: str, columns: Iterable[str], device: int, start: int, end: int, rest: str = ""
) -> sqlite3.Cursor:
    """Read columns of one device's rows in [start, end). rest: ORDER BY and LIMIT, by default in time order."""
    return db.execute(
        f"SELECT {', '.join(columns)} FROM {table} WHERE key >= ? AND key < ? {rest or 'ORDER BY key'}",
        span_keys(device, start, end),
    )


def values_of(columns: tuple[str, ...], row: tuple[Any, ...]) -> dict[str, Value]:
    """Name what a raw row has; flags are bools."""
    return {
        name: bool(value) if name in FLAG_COLUMNS else value
        for name, value in zip(columns, row, strict=True)
        if value is not None
    }


def select_rollups(
    db: sqlite3.Connection,
    columns: tuple[str, ...],
    device: tuple[int, str],
    resolution: Resolution,
    start: int,
    end: int,
    limit: int,
) -> list[RollupRow]:
    """Read rollup rows of a device (key, id), oldest first."""
    number, device_id = device
    own = ("key", "ord", "count", "heat_source", *columns)
    rest = f"ORDER BY key LIMIT {limit:d}"
    return [
        RollupRow(
            device_id,
            resolution,
            at_of(key),
            order,
            count,
            {name: value for name, value in zip(columns, values, strict=True) if value is not None},
            "" if heat is None else HEAT_SOURCES[heat],
        )
        for key, order, count, heat, *values in select_span(
            db, ROLLUP_TABLES[resolution], own, number, start, end, rest
        )
    ]
