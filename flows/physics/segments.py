"""segments: time cut into pieces in which nothing changes, for many devices at once, as arrays.

Rules (docs/reference/rollups.md tells them for people):
  * between two samples of a device every quantity keeps its last value, at most HOLD_MS after it was sent;
  * an interval counts when its end sample exists; it is cut at minutes, where a hold runs out and where other
    metadata begin;
  * energies come from held inputs; a counter, where alive, wins over the integral.
What is computed of one device does not depend on the others beside it, to the last bit.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from flows.model.device import DEFAULT_METADATA, DeviceMetadata
from flows.model.quantities import HEAT_SOURCES
from flows.model.rollup import BUCKET_MS, HOLD_MS
from flows.model.table import Numbers, Times
from flows.physics.energy import DEFROST, DHW, SPACE, WMS_PER_KWH, counter_differences, operating_modes
from flows.physics.heat import heat_capacity, heat_power
from flows.physics.performance import carnot_cops, estimated_heat_powers

MINUTE_MS = BUCKET_MS["1m"]
NEVER = -(1 << 62)
"""When a value was sent that never was. [ms since 1970, UTC]"""

COUNTED, MEASURED, ESTIMATED = range(len(HEAT_SOURCES))
"""Indices in HEAT_SOURCES."""

Flags = NDArray[np.bool_]


class Strips(msgspec.Struct, frozen=True):
    """Samples of several devices, one strip of rows each, with the same columns.

    A strip begins with what was held before its samples, if anything was: a row at the time of the sample before.
    names    : what the columns are.
    first    : first row of each strip, and the number of rows at the end; shape (k + 1,).
    at       : event times, ascending in a strip; shape (n,). [ms since 1970, UTC]
    values   : shape (n, len(names)); NaN is a missing value, a flag is 0.0 or 1.0.
    sent     : when each value was sent, NEVER where missing; shape as values. [ms since 1970, UTC]
    begun    : by strip, whether its first row is what was held.
    metadata : by strip, the device's history, oldest first.
    """

    names: tuple[str, ...]
    first: Times
    at: Times
    values: Numbers
    sent: Times
    begun: Flags
    metadata: list[list[DeviceMetadata]]


class Held(msgspec.Struct, frozen=True):
    """What is held after each row of strips: newest values and when they were sent, of any age.

    values : shape (n, names); sent: the same, or (n, 1) where all values of a row were sent together.
    """

    values: Numbers
    sent: Times

    def sent_of(self, column: int) -> Times:
        """When the values of a column were sent."""
        return self.sent[:, min(column, self.sent.shape[1] - 1)]


class Segments(msgspec.Struct, frozen=True):
    """Pieces of time, strip by strip, oldest first; each array has one entry a piece.

    strip    : of which strip; row: the row after which it lies.
    start    : [ms since 1970, UTC]; ms: how long, 0 only after the newest sample of a strip.
    values   : what is held in it, NaN where nothing is; shape (s, names).
    mode     : index in MODES.
    electric : energy, NaN where unknown. [kWh]
    heat     : likewise; source: index in HEAT_SOURCES, −1 where unknown. [kWh]
    heat_x_outlet, heat_x_ambient : heat of space and dhw times what is held of these, NaN where unknown. [kWh °C]
    ideal    : electricity an ideal machine would have needed for that heat, NaN where that cannot be said. [kWh]
    """

    strip: Times
    row: Times
    start: Times
    ms: Times
    values: Numbers
    mode: Times
    electric: Numbers
    heat: Numbers
    source: Times
    heat_x_outlet: Numbers
    heat_x_ambient: Numbers
    ideal: Numbers


def held_after(strips: Strips) -> Held:
    """Carry every value forward within its strip."""
    if (strips.sent == strips.at[:, None]).all():
        return Held(strips.values, strips.at[:, None])  # every message says everything: nothing to carry
    rows = np.arange(len(strips.at))[:, None]
    known = strips.sent > NEVER
    known[strips.first[:-1]] = True  # nothing is carried into the next strip
    newest = np.maximum.accumulate(np.where(known, rows, 0), axis=0)
    columns = np.arange(len(strips.names))[None, :]
    return Held(strips.values[newest, columns], strips.sent[newest, columns])


def cut(strips: Strips, held: Held) -> Segments:
    """Cut the time between the samples of every strip; the newest sample of each gets a piece of no length."""
    row = np.arange(len(strips.at))
    newest = np.zeros(len(row), dtype=np.bool_)
    newest[strips.first[1:] - 1] = True
    left = strips.at
    right = np.where(newest, left, np.minimum(np.append(left[1:], 0), left + HOLD_MS))
    pieces = np.where(newest, 1, (right - 1) // MINUTE_MS - left // MINUTE_MS + 1)
    of = np.repeat(row, pieces)
    nth = np.arange(len(of)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    start = np.where(nth == 0, left[of], (left[of] // MINUTE_MS + nth) * MINUTE_MS)
    others = [*_expiries(held, left, right), *_changes(strips, left, right)]
    if others:
        of = np.concatenate([of, *(which for which, _ in others)])
        start = np.concatenate([start, *(at for _, at in others)])
        order = np.lexsort((start, of))
        of, start = of[order], start[order]
        new = np.ones(len(of), dtype=np.bool_)
        new[1:] = (of[1:] != of[:-1]) | (start[1:] != start[:-1])
        of, start = of[new], start[new]
    end = right[of]
    inner = of[1:] == of[:-1]
    end[:-1][inner] = start[1:][inner]
    return _segments(strips, held, of, start, end - start)


def _expiries(held: Held, left: Times, right: Times) -> list[tuple[Times, Times]]:
    """Where within an interval a hold runs out: (row before it, time)."""
    until = held.sent + HOLD_MS
    which, column = np.nonzero((until > left[:, None]) & (until < right[:, None]))
    return [(which, until[which, column])] if len(which) else []


def _changes(strips: Strips, left: Times, right: Times) -> list[tuple[Times, Times]]:
    """Where within an interval other metadata begin: (row before it, time)."""
    found = []
    for strip, history in enumerate(strips.metadata):
        begin, end = strips.first[strip], strips.first[strip + 1]
        for entry in history:
            which = int(np.searchsorted(left[begin:end], entry.valid_from)) - 1 + begin
            if begin <= which and left[which] < entry.valid_from < right[which]:
                found.append((np.array([which]), np.array([entry.valid_from])))
    return found


def _segments(strips: Strips, held: Held, row: Times, start: Times, ms: Times) -> Segments:
    """Say what is held in each piece, and the energies it holds."""
    strip = np.repeat(np.arange(len(strips.first) - 1), np.diff(strips.first))[row]
    values = held.values[row]
    np.copyto(values, np.nan, where=(held.sent[row] <= start[:, None] - HOLD_MS) | (ms == 0)[:, None])
    nothing = np.full(len(row), np.nan)
    of = {name: values[:, column] for column, name in enumerate(strips.names)}
    inlet, outlet, ambient = (of.get(name, nothing) for name in ("temp_inlet", "temp_outlet", "temp_ambient"))
    power, flow_rate = of.get("power", nothing), of.get("flow_rate", nothing)
    delta_t = outlet - inlet
    defrost, dhw, compressor = (
        of.get(name, nothing) for name in ("defrost_active", "dhw_active", "compressor_running")
    )
    mode = operating_modes(defrost, dhw, compressor, power, delta_t, ambient)
    electric = _counted(strips, held, "electric_energy", may_fall=False)[row] * ms
    electric = np.where(np.isnan(electric), power * ms / WMS_PER_KWH, electric)
    heat = _counted(strips, held, "heat_energy", may_fall=True)[row] * ms
    source = np.where(np.isnan(heat), -1, COUNTED)
    cp, fraction = _metadata_of(strips, strip, start)
    carnot = carnot_cops(outlet, ambient)
    measured = heat_power(flow_rate, outlet, inlet, cp) * ms / WMS_PER_KWH
    estimated = estimated_heat_powers(power, carnot, delta_t, fraction) * ms / WMS_PER_KWH
    warms = (mode == SPACE) | (mode == DHW)
    estimated[~(warms | (mode == DEFROST)) | ~np.isnan(flow_rate)] = np.nan
    for kwh, rank in ((measured, MEASURED), (estimated, ESTIMATED)):
        new = (source < 0) & ~np.isnan(kwh)
        heat[new], source[new] = kwh[new], rank
    useful = np.where(warms, heat, np.nan)
    ideal = np.where((useful > 0.0) & (delta_t > 1.0), useful / carnot, np.nan)
    return Segments(
        strip,
        row,
        start,
        ms,
        values,
        mode,
        electric,
        heat,
        source,
        useful * outlet,
        np.where(np.isnan(outlet), np.nan, useful * ambient),
        ideal,
    )


def _counted(strips: Strips, held: Held, name: str, may_fall: bool) -> Numbers:
    """Energy a counter gives the interval after each row. [kWh/ms]; NaN: integrate instead.

    A counter that is alive but not in the next sample gives 0: its next difference covers the interval.
    """
    rate = np.full(len(strips.at), np.nan)
    if name in strips.names:
        column = strips.names.index(name)
        before, after = held.values[:-1, column], strips.values[1:, column]
        ends, span = strips.at[1:], strips.at[1:] - held.sent_of(column)[:-1]
        inner = np.ones(len(ends), dtype=np.bool_)
        inner[strips.first[1:-1] - 1] = False  # from one strip to the next there is no interval
        alive = np.flatnonzero(inner & ~np.isnan(before) & (span <= HOLD_MS))
        given = counter_differences(before[alive], after[alive], span[alive], may_fall)
        missing = np.isnan(after[alive])
        rate[alive] = np.where(missing, 0.0, given / (ends - strips.at[:-1])[alive])
    return rate


def _metadata_of(strips: Strips, strip: Times, start: Times) -> tuple[Numbers, Numbers]:
    """Heat capacity of the water loop [J/(kg K)] and η, by segment."""
    cp = np.full(len(strip), heat_capacity(DEFAULT_METADATA.glycol_percent))
    fraction = np.full(len(strip), DEFAULT_METADATA.carnot_fraction)
    for number, history in enumerate(strips.metadata):
        if history:
            begin, end = np.searchsorted(strip, (number, number + 1))
            for entry in history:
                begin += np.searchsorted(start[begin:end], entry.valid_from)
                cp[begin:end] = heat_capacity(entry.glycol_percent)
                fraction[begin:end] = entry.carnot_fraction
    return cp, fraction
