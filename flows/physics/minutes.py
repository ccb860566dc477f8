"""minutes: segments to minute rows. The only code that makes them.

The stream (nodes/rollup.py), a correction (the store's healing), a history import and an open bucket (queries/)
all come here: the same samples give the same row, bit for bit.
"""

import msgspec
import numpy as np

from flows.model.quantities import FLAG_NAMES, HEAT_SOURCES, MODES
from flows.model.rollup import HOLD_MS
from flows.model.table import Numbers, Times
from flows.physics.segments import MINUTE_MS, Flags, Held, Segments, Strips, cut


class Minute(msgspec.Struct, frozen=True):
    """What one minute of one device came to: what a RollupRow says, without device and order."""

    start: int
    count: int
    values: dict[str, float]
    heat_source: str


class Minutes(msgspec.Struct, frozen=True):
    """Minute rows of several devices, strip by strip, oldest first.

    strip  : of which strip each row is, shape (n,).
    start  : [ms since 1970, UTC]
    count  : samples with an event time in it.
    heat   : index in HEAT_SOURCES of the least certain heat, −1 without.
    names  : what the columns are (see quantities.rollup_columns and ENERGY_COLUMNS).
    values : shape (n, len(names)); NaN where a row has no such value: no coverage, zero energies, no starts.
    """

    strip: Times
    start: Times
    count: Times
    heat: Times
    names: tuple[str, ...]
    values: Numbers

    def rows(self) -> list[Minute]:
        """One object a row."""
        rows = zip(self.start.tolist(), self.count.tolist(), self.heat.tolist(), self.values.tolist(), strict=True)
        return [
            Minute(
                start,
                count,
                {name: value for name, value in zip(self.names, values, strict=True) if value == value},
                HEAT_SOURCES[heat] if heat >= 0 else "",
            )
            for start, count, heat, values in rows
        ]


def minutes_of(strips: Strips, held: Held, since: Times, until: Times) -> Minutes:
    """Fold strips to the minutes that start in [since, until) of each strip.

    held         : see `held_after`.
    since, until : by strip, whole minutes. [ms since 1970, UTC]
    The minute of a strip's newest sample holds what it has come to so far.
    """
    segments = cut(strips, held)
    minute = segments.start // MINUTE_MS * MINUTE_MS
    wanted = np.flatnonzero((minute >= since[segments.strip]) & (minute < until[segments.strip]))
    strip, minute, row = segments.strip[wanted], minute[wanted], segments.row[wanted]
    new = np.ones(len(wanted), dtype=np.bool_)
    new[1:] = (strip[1:] != strip[:-1]) | (minute[1:] != minute[:-1])
    first = np.flatnonzero(new)
    # The piece that begins with a sample stands for it.
    is_sample = np.ones(len(strips.at), dtype=np.bool_)
    is_sample[strips.first[:-1][strips.begun]] = False
    begins = is_sample[row] & (segments.start[wanted] == strips.at[row])
    columns = {
        **_quantities(strips.names, segments.values[wanted], segments.ms[wanted], first),
        **_energies(segments, wanted, first),
        **_starts(strips, held, row, begins, first),
    }
    return Minutes(
        strip[first],
        minute[first],
        np.add.reduceat(begins.astype(np.int64), first),
        np.maximum.reduceat(segments.source[wanted], first),
        tuple(columns),
        np.array([*columns.values()]).reshape(len(columns), len(first)).T,
    )


def _quantities(names: tuple[str, ...], values: Numbers, ms: Times, first: Times) -> dict[str, Numbers]:
    """Mean, min, max and coverage of numbers, share and coverage of flags; rows from `first` on are one minute."""
    live, ms = ~np.isnan(values), ms[:, None]
    known = np.add.reduceat(live * ms, first)
    known = np.where(known > 0, known, np.nan)
    mean = np.add.reduceat(np.where(live, values * ms, 0.0), first) / known
    low = np.minimum.reduceat(np.where(live, values, np.inf), first)
    high = np.maximum.reduceat(np.where(live, values, -np.inf), first)
    coverage = known / MINUTE_MS
    columns: dict[str, Numbers] = {}
    for column, name in enumerate(names):
        if name in FLAG_NAMES:
            columns[f"{name}_share"] = mean[:, column]
        else:
            columns[f"{name}_mean"] = mean[:, column]
            columns[f"{name}_min"] = np.where(np.isfinite(low[:, column]), low[:, column], np.nan)
            columns[f"{name}_max"] = np.where(np.isfinite(high[:, column]), high[:, column], np.nan)
        columns[f"{name}_coverage"] = coverage[:, column]
    return columns


def _energies(segments: Segments, wanted: Times, first: Times) -> dict[str, Numbers]:
    """Seconds and energies by mode, and the sums that averages over heat are made of."""
    ms, mode = segments.ms[wanted], segments.mode[wanted]
    parts: dict[str, Numbers] = {}
    for number in np.unique(mode[ms > 0]):
        mine, name = mode == number, MODES[number]
        parts[f"seconds_{name}"] = mine * ms / 1000.0
        parts[f"electric_kwh_{name}"] = np.where(mine, segments.electric[wanted], 0.0)
        parts[f"heat_kwh_{name}"] = np.where(mine, segments.heat[wanted], 0.0)
    parts["heat_kwh_x_outlet"] = segments.heat_x_outlet[wanted]
    parts["heat_kwh_x_ambient"] = segments.heat_x_ambient[wanted]
    parts["carnot_ideal_kwh"] = segments.ideal[wanted]
    sums = np.add.reduceat(np.nan_to_num(np.array([*parts.values()])), first, axis=1)
    return dict(zip(parts, np.where(sums == 0.0, np.nan, sums), strict=True))


def _starts(strips: Strips, held: Held, row: Times, begins: Flags, first: Times) -> dict[str, Numbers]:
    """Rising edges of flags: on now, off in the sample before that said anything, at most HOLD_MS ago."""
    columns: dict[str, Numbers] = {}
    follows = np.ones(len(strips.at), dtype=np.bool_)
    follows[strips.first[:-1]] = False
    for column, name in enumerate(strips.names):
        if name in FLAG_NAMES:
            before, sent = held.values[:-1, column], held.sent_of(column)[:-1]
            rises = np.zeros(len(strips.at), dtype=np.bool_)
            rises[1:] = (strips.values[1:, column] == 1.0) & (before == 0.0) & (strips.at[1:] - sent <= HOLD_MS)
            starts = np.add.reduceat((rises & follows)[row] & begins, first, dtype=np.float64)
            if starts.any():
                columns[f"{name}_starts"] = np.where(starts, starts, np.nan)
    return columns
