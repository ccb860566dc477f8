"""history: readings of another system to minutes and hours, as arrays: nothing is an object that is not stored.

The minutes are those of the stream (flows/physics/fold.py): the same samples give the same rows, bit for bit,
however they were cut into chunks.
"""

import zlib
from collections import Counter
from datetime import UTC, datetime
from itertools import compress
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from flows.model.cells import COLUMN, NAMES, matrix_of_table
from flows.model.device import DeviceMetadata
from flows.model.history import OLDEST_MS
from flows.model.quantities import COUNTERS, FLAG_NAMES, MODES
from flows.model.rollup import BUCKET_MS
from flows.model.table import Numbers, RollupTable, Table, rows_at, stacked
from flows.model.times import HOUR_MS
from flows.physics.compose import compose
from flows.physics.derive import Flags, add_derived, add_phase_sums, in_force
from flows.physics.episodes import Watch
from flows.physics.fold import Fold, close_alike, extend

Spans = dict[str, tuple[float, float]]


class Rows(msgspec.Struct):
    """Rollup rows as bytes, see RollupTable; all of one order. deflated: the values are, to be kept for long."""

    names: tuple[str, ...] = ()
    start: bytes = b""
    count: bytes = b""
    heat: bytes = b""
    values: bytes = b""
    deflated: bool = False


class Past(msgspec.Struct):
    """State of the fold of one import. minutes: those of the open hour that are closed; watch: for episodes."""

    fold: Fold = msgspec.field(default_factory=Fold)
    minutes: Rows = msgspec.field(default_factory=Rows)
    watch: Watch = msgspec.field(default_factory=Watch)


def checked(table: Table, spans: Spans, latest: int, sentinels: frozenset[float]) -> tuple[Table, Counter[str]]:
    """Leave out values that no working sensor can have sent, as nodes/validate.py does, and times after `latest`.

    Rows stay, also those of which nothing is left. Also says what was left out, by "quantity: reason".
    """
    values, removed = table.values.copy(), Counter[str]()
    known = (table.at >= OLDEST_MS) & (table.at <= latest)
    for column, name in enumerate(table.names):
        numbers = values[:, column]
        there = ~np.isnan(numbers) & known
        low, high = spans[name]
        if name in FLAG_NAMES:
            wrong = {"wrong type": (numbers != 0.0) & (numbers != 1.0)}
        else:
            wrong = {"not finite": np.isinf(numbers), "out of range": (numbers < low) | (numbers > high)}
            if name not in COUNTERS:
                wrong = {"sentinel": np.isin(numbers, list(sentinels)), **wrong}
        for reason, rows in wrong.items():
            rows = rows & there
            there &= ~rows
            if rows.any():
                removed[f"{name}: {reason}"] += int(rows.sum())
        numbers[~there] = np.nan
    return Table(table.at, table.names, values), removed


def completed(table: Table, metadata: list[DeviceMetadata]) -> tuple[Table, dict[str, Flags]]:
    """Add sums over phases and derived quantities; also says which rows of a quantity are such sums."""
    matrix = matrix_of_table(table)
    sums = add_phase_sums(matrix)
    for entry, rows in in_force(table.at, metadata):
        add_derived(matrix, rows, entry)
    there: Flags = np.asarray(~np.isnan(matrix).all(axis=0))
    there[[COLUMN[name] for name in table.names]] = True
    return Table(table.at, tuple(compress(NAMES, there)), matrix[:, there]), sums


def minutes_closed(past: Past, samples: Table, metadata: list[DeviceMetadata], order: int) -> RollupTable:
    """Extend the fold by samples newer than its last; give the minutes that this closes."""
    extend(past.fold, samples)
    minutes = close_alike([past.fold], [metadata])
    count = len(minutes.start)
    return RollupTable(
        minutes.start, np.full(count, order), minutes.count, minutes.heat, minutes.names, minutes.values
    )


def hours_closed(past: Past, minutes: RollupTable, order: int) -> tuple[RollupTable, RollupTable]:
    """Give the minutes of the hours that are over, and these hours; minutes of the open hour stay in the state."""
    minutes = stacked([unpacked(past.minutes, order), minutes])
    over = int(np.searchsorted(minutes.start, past.fold.at // HOUR_MS * HOUR_MS))
    past.minutes = packed(rows_at(minutes, slice(over, None)))
    minutes = rows_at(minutes, slice(over))
    return minutes, hours_of(minutes)


def hours_of(minutes: RollupTable) -> RollupTable:
    """Compose hours of minutes."""
    if not len(minutes.start):
        return minutes
    return compose(minutes, minutes.start // HOUR_MS * HOUR_MS, BUCKET_MS["1m"] / HOUR_MS)


def energies(rows: RollupTable) -> tuple[Numbers, Numbers]:
    """Electricity and heat of each row, all modes together. [kWh]"""
    found = []
    for kind in ("electric", "heat"):
        columns = [rows.names.index(name) for mode in MODES if (name := f"{kind}_kwh_{mode}") in rows.names]
        found.append(np.nansum(rows.values[:, columns], axis=1))
    return found[0], found[1]


def months_of(at: list[int], timezone: str) -> list[str]:
    """Name the months of a site's calendar, such as "2025-01". at: [ms since 1970, UTC]"""
    zone = ZoneInfo(timezone)
    return [f"{datetime.fromtimestamp(ms / 1000, UTC).astimezone(zone):%Y-%m}" for ms in at]


def put_away(past: Past) -> None:
    """Make the state small: the import has ended, and may go on some day."""
    if not past.minutes.deflated:
        past.minutes.values, past.minutes.deflated = zlib.compress(past.minutes.values), True


def packed(rows: RollupTable) -> Rows:
    """Make bytes of rows."""
    start, count, heat = (np.asarray(part, np.int64).tobytes() for part in (rows.start, rows.count, rows.heat))
    return Rows(rows.names, start, count, heat, rows.values.astype(np.float64).tobytes())


def unpacked(rows: Rows, order: int) -> RollupTable:
    """Make rows of bytes, of this order."""
    start, count, heat = (np.frombuffer(part, np.int64) for part in (rows.start, rows.count, rows.heat))
    data = zlib.decompress(rows.values) if rows.deflated else rows.values
    values = np.frombuffer(data).reshape(len(start), len(rows.names))
    return RollupTable(start, np.full(len(start), order), count, heat, rows.names, values)
