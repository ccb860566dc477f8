"""compose: coarser rows of finer ones: hours of minutes, days of hours, a site's days.

Means and shares weigh by coverage, energies and starts add up. Rows are taken oldest first, so the same rows give
the same sums, bit for bit, however many buckets are composed together.
"""

import numpy as np

from flows.model.quantities import ENERGY_COLUMNS, FLAGS, HEAT_SOURCES, NUMBERS
from flows.model.rollup import Resolution, RollupRow
from flows.model.table import Numbers, RollupTable, Times


def compose(finer: RollupTable, buckets: Times, part: float) -> RollupTable:
    """Compose one row for each bucket.

    finer   : rows of one device and resolution, oldest first.
    buckets : start of the bucket that each of them goes into, ascending. [ms since 1970, UTC]
    part    : length of a finer bucket as share of a coarser one.
    The order of a composed row is the newest of its parts.
    """
    first = np.flatnonzero(np.concatenate([[True], buckets[1:] != buckets[:-1]])) if len(buckets) else buckets
    of = {name: finer.values[:, column] for column, name in enumerate(finer.names)}
    columns: dict[str, Numbers] = {}
    for name in (*NUMBERS, *FLAGS):
        if f"{name}_coverage" in of:
            coverage = np.nan_to_num(of[f"{name}_coverage"])
            weight = np.add.reduceat(coverage, first)
            weight[weight == 0.0] = np.nan
            average = f"{name}_share" if name in FLAGS else f"{name}_mean"
            weighted = np.nan_to_num(of[average] * coverage)
            columns[average] = np.add.reduceat(weighted, first) / weight
            columns[f"{name}_coverage"] = weight * part
        for column, extreme in ((f"{name}_min", np.fmin), (f"{name}_max", np.fmax)):
            if column in of:
                columns[column] = extreme.reduceat(of[column], first)
    for column in (*(f"{name}_starts" for name in FLAGS), *ENERGY_COLUMNS):
        if column in of:
            sums = np.add.reduceat(np.nan_to_num(of[column]), first)
            columns[column] = np.where(sums == 0.0, np.nan, sums)
    return RollupTable(
        buckets[first],
        np.maximum.reduceat(finer.order, first),
        np.add.reduceat(finer.count, first),
        np.maximum.reduceat(finer.heat, first),
        tuple(columns),
        np.array([*columns.values()]).reshape(len(columns), len(first)).T,
    )


def rows_of(
    table: RollupTable,
    device_id: str,
    resolution: Resolution,
    order: int | None = None,
) -> list[RollupRow]:
    """Make one object a row. order: of all of them, instead of the table's."""
    columns = (table.start.tolist(), table.order.tolist(), table.count.tolist(), table.heat.tolist())
    return [
        RollupRow(
            device_id,
            resolution,
            start,
            own if order is None else order,
            count,
            {name: value for name, value in zip(table.names, values, strict=True) if value == value},
            HEAT_SOURCES[heat] if heat >= 0 else "",
        )
        for start, own, count, heat, values in zip(*columns, table.values.tolist(), strict=True)
    ]
