"""Folding lists of samples, as tests think of them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from msgspec import structs

from flows.model.device import DeviceMetadata
from flows.model.quantities import HEAT_SOURCES
from flows.model.reading import Value
from flows.model.rollup import BUCKET_MS, ClosedMinutes, Resolution, RollupBlock, RollupRow
from flows.model.table import RollupTable, Table, table_of
from flows.physics import fold
from flows.physics.compose import compose as compose_table
from flows.physics.compose import rows_of
from flows.physics.minutes import Minute


class Sample(NamedTuple):
    """What one device said at one time [ms since 1970, UTC], by quantity."""

    at: int
    values: dict[str, Value]


def table(samples: list[Sample]) -> Table:
    """Columns of samples."""
    names = tuple(dict.fromkeys(name for sample in samples for name in sample.values))
    return table_of([sample.at for sample in samples], [sample.values for sample in samples], names)


def fold_range(samples: list[Sample], start: int, end: int, metadata: list[DeviceMetadata]) -> list[Minute]:
    return fold.fold_range(table(samples), start, end, metadata).rows() if samples else []


def open_minute(samples: list[Sample], metadata: list[DeviceMetadata]) -> Minute | None:
    return fold.open_minute(table(samples), metadata)


def close(folds: list[fold.Fold], metadata: list[list[DeviceMetadata]]) -> list[list[Minute]]:
    """Closed minutes of each fold."""
    closed: list[list[Minute]] = [[] for _ in folds]
    for numbers, minutes in fold.close(folds, metadata):
        for strip, minute in zip(minutes.strip.tolist(), minutes.rows(), strict=True):
            closed[numbers[strip]].append(minute)
    return closed


def compose(rows: Sequence[RollupRow], resolution: Resolution, start: int, order: int) -> RollupRow | None:
    """Compose one row of finer ones, of one device and resolution, oldest first; None of none."""
    if not rows:
        return None
    part = BUCKET_MS[rows[0].resolution] / BUCKET_MS[resolution]
    (row,) = rows_of(
        compose_table(table_of_rows(rows), np.full(len(rows), start), part), rows[0].device_id, resolution, order
    )
    return row


def table_of_rows(rows: Sequence[RollupRow]) -> RollupTable:
    """Make a table of rows of one device and resolution, oldest first."""
    names = tuple(dict.fromkeys(name for row in rows for name in row.values))
    values = [[row.values.get(name, np.nan) for name in names] for row in rows]
    return RollupTable(
        np.array([row.start for row in rows], dtype=np.int64),
        np.array([row.order for row in rows], dtype=np.int64),
        np.array([row.count for row in rows], dtype=np.int64),
        np.array([HEAT_SOURCES.index(row.heat_source) if row.heat_source else -1 for row in rows], dtype=np.int64),
        names,
        np.array(values, dtype=np.float64).reshape(len(rows), len(names)),
    )


def block_of(rows: Sequence[RollupRow]) -> ClosedMinutes | RollupBlock:
    """Rows as the flow hands them to the store: minutes of any devices, or coarser ones of one device and order."""
    finer = table_of_rows(rows)
    arrays = [part.tobytes() for part in (finer.start, finer.count, finer.heat, finer.values)]
    if rows[0].resolution == "1m":
        return ClosedMinutes([row.device_id for row in rows], [row.order for row in rows], finer.names, *arrays)
    return RollupBlock(rows[0].device_id, rows[0].resolution, rows[0].order, finer.names, *arrays)


def closed_rows(block: ClosedMinutes) -> list[RollupRow]:
    """One object a row."""
    start, count, heat = (np.frombuffer(part, np.int64) for part in (block.start, block.count, block.heat))
    table = RollupTable(
        start,
        np.array(block.orders),
        count,
        heat,
        block.names,
        np.frombuffer(block.values).reshape(len(start), -1),
    )
    rows = rows_of(table, "", "1m")
    return [structs.replace(row, device_id=name) for row, name in zip(rows, block.device_ids, strict=True)]
