"""Folding lists of samples, as tests think of them."""

from typing import NamedTuple

from flows.model.device import DeviceMetadata
from flows.model.reading import Value
from flows.model.table import Table, table_of
from flows.physics import fold
from flows.physics.compose import compose_rows as compose
from flows.physics.minutes import Minute

__all__ = ["Sample", "compose", "fold_range", "open_minute", "table"]


class Sample(NamedTuple):
    """What one device said at one time [ms since 1970, UTC], by quantity."""

    at: int
    values: dict[str, Value]


def table(samples: list[Sample]) -> Table:
    """Columns of samples."""
    names = tuple(dict.fromkeys(name for sample in samples for name in sample.values))
    return table_of([sample.at for sample in samples], [sample.values for sample in samples], names)


def fold_range(samples: list[Sample], start: int, end: int, metadata: list[DeviceMetadata]) -> list[Minute]:
    return fold.fold_range(table(samples), start, end, metadata)


def open_minute(samples: list[Sample], metadata: list[DeviceMetadata]) -> Minute | None:
    return fold.open_minute(table(samples), metadata)
