"""episodes: cycles, defrosts, hot-water runs and gaps in the samples of one device. The only code that finds them.

The store (from raw rows) and a history import (from what it folds, chunk by chunk) both come here. Sums go from
the oldest piece to the newest, so the same samples give the same episode, bit for bit, however they were cut.
docs/reference/episodes.md tells the rules for people.
"""

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from flows.model.device import DeviceMetadata
from flows.model.episode import FLAGGED, Edge, Episode, EpisodeKind
from flows.model.quantities import HEAT_SOURCES
from flows.model.rollup import HOLD_MS
from flows.model.table import Numbers, Table, Times
from flows.model.times import DAY_MS
from flows.physics.energy import RUNNING_POWER_W
from flows.physics.segments import NEVER, Flags, Held, Segments, Strips, cut, held_after

NEEDED: tuple[str, ...] = (
    "temp_inlet",
    "temp_outlet",
    "temp_ambient",
    "temp_compressor",
    "temp_dhw",
    "power",
    "flow_rate",
    "compressor_running",
    "defrost_active",
    "dhw_active",
    "heat_energy",
    "electric_energy",
)
"""What episodes are made of: always these columns in this order, so that time is always cut in the same places."""

Kinds = tuple[EpisodeKind, ...]

_COLUMN = {name: column for column, name in enumerate(NEEDED)}
_MEANS = {"outlet_mean": "temp_outlet", "inlet_mean": "temp_inlet", "ambient_mean": "temp_ambient"}
_AVERAGED = [_COLUMN[name] for name in (*_MEANS.values(), "dhw_active")]
_HIGHEST = {"outlet_max": "temp_outlet", "compressor_max": "temp_compressor"}
_HIGHEST_OF = [_COLUMN[name] for name in _HIGHEST.values()]
_STATES = [_COLUMN[name] for name in ("compressor_running", "power", "defrost_active", "dhw_active")]
_OF_CYCLES = ("dhw_share", "defrosts")
_NAN = float("nan")


class Running(msgspec.Struct):
    """An episode that has not ended.

    run     : when the flag rose; start: of the part since the last cut. [ms since 1970, UTC]
    sums    : see _amounts. highest: as _HIGHEST. first, last: tank temperature, NaN where unknown. [°C]
    source  : index in HEAT_SOURCES, −1 without heat.
    """

    run: int
    start: int
    begun_by: Edge
    sums: list[float] = []
    highest: list[float] = []
    first: float = _NAN
    last: float = _NAN
    source: int = -1


class Watch(msgspec.Struct):
    """State between samples.

    at     : event time of the newest sample, −1 before the first. [ms since 1970, UTC]
    held   : newest value of each of NEEDED, of any age; sent: when it was sent. [ms since 1970, UTC]
    running: by kind, what has not ended.
    """

    at: int = -1
    held: list[float] = []
    sent: list[int] = []
    running: dict[EpisodeKind, Running] = {}


class _Pieces(msgspec.Struct, frozen=True):
    """Pieces of time and what is found from them; each array has one entry a piece, see Segments.

    start, end : [ms since 1970, UTC]
    follows    : whether it begins where the one before of its strip ends.
    states     : by kind, 1.0, 0.0 or NaN.
    amounts    : what adds up over an episode; shape (n, k): see _amounts.
    values     : what is held in it; shape (n, NEEDED). source: of its heat.
    """

    start: Times
    end: Times
    follows: Flags
    states: dict[EpisodeKind, Numbers]
    amounts: Numbers
    values: Numbers
    source: Times

    def part(self, own: slice) -> "_Pieces":
        """Take some of them."""
        states = {kind: state[own] for kind, state in self.states.items()}
        rest = self.amounts[own], self.values[own], self.source[own]
        return _Pieces(self.start[own], self.end[own], self.follows[own], states, *rest)


class Found(msgspec.Struct, frozen=True):
    """An episode that ended. run: when the flag rose, before the episode's start if that is a cut."""

    run: int
    episode: Episode


def first_cut(run: int) -> int:
    """Say at which UTC midnight a run that lasts is cut first: that before which it has run a full day."""
    return -(-(run + DAY_MS) // DAY_MS) * DAY_MS


def advance(
    watch: Watch,
    samples: Table,
    metadata: list[DeviceMetadata],
    kinds: Kinds = FLAGGED,
) -> list[Found]:
    """Take samples newer than the last; return the episodes of these kinds that they end, and gaps, by start."""
    if not len(samples.at):
        return []
    strips = _strip(watch, samples, metadata)
    held = held_after(strips)
    pieces = _pieces(strips, held, cut(strips, held))
    if "defrost" in watch.running or (watch.at >= 0 and pieces.states["defrost"][0] == 1.0):
        pieces.amounts[0, -1] = 0.0  # it began earlier
    sent = np.broadcast_to(held.sent, held.values.shape)
    return _taken(watch, strips.at, held.values[-1], sent[-1], pieces, kinds)


def traced(parts: Sequence[tuple[Table, list[DeviceMetadata], Kinds]]) -> Iterator[tuple[Watch, list[Found]]]:
    """Do for each of some tables, none empty, what `advance` does with a new Watch, all at once."""
    first = np.concatenate([[0], np.cumsum([len(table.at) for table, _, _ in parts])])
    at = np.concatenate([table.at for table, _, _ in parts])
    values = np.concatenate([_needed(table) for table, _, _ in parts])
    sent = np.where(np.isnan(values), NEVER, at[:, None])
    begun = np.zeros(len(parts), dtype=np.bool_)
    strips = Strips(NEEDED, first, at, values, sent, begun, [metadata for _, metadata, _ in parts])
    held = held_after(strips)
    segments, newest = cut(strips, held), first[1:] - 1
    pieces = _pieces(strips, held, segments)
    held_values, held_sent = held.values[newest], np.broadcast_to(held.sent, held.values.shape)[newest]
    bounds = np.searchsorted(segments.strip, np.arange(len(parts) + 1)).tolist()
    for number, (_, _, kinds) in enumerate(parts):
        watch, own = Watch(), pieces.part(slice(bounds[number], bounds[number + 1]))
        times = at[first[number] : first[number + 1]]
        yield watch, _taken(watch, times, held_values[number], held_sent[number], own, kinds)


def _pieces(strips: Strips, held: Held, segments: Segments) -> _Pieces:
    """Say of every piece of all strips what episodes are made of; the last of each is after its newest sample."""
    start, end, newest = segments.start, segments.start + segments.ms, strips.first[1:] - 1
    follows = np.zeros(len(start), dtype=np.bool_)
    follows[1:] = (start[1:] == end[:-1]) & (segments.strip[1:] == segments.strip[:-1])
    last = np.searchsorted(segments.strip, np.arange(len(newest)), side="right") - 1
    sent = np.broadcast_to(held.sent, held.values.shape)[newest[:, None], _STATES]
    states = segments.values[:, _STATES]
    # The newest sample ends what it ends.
    fresh = sent > strips.at[newest, None] - HOLD_MS
    states[last] = np.where(fresh, held.values[newest[:, None], _STATES], np.nan)
    compressor, power, defrost, dhw = states.T
    powered = np.where(np.isnan(power), np.nan, power >= RUNNING_POWER_W)
    cycle = np.where(np.isnan(compressor), powered, compressor)
    amounts = _amounts(segments, _rises(defrost == 1.0, follows))
    of_kind: dict[EpisodeKind, Numbers] = {"cycle": cycle, "defrost": defrost, "dhw_run": dhw}
    return _Pieces(start, end, follows, of_kind, amounts, segments.values, segments.source)


def _rises(on: Flags, follows: Flags) -> Flags:
    """Tell where something begins: it is on, and was not in a piece just before."""
    rises = on.copy()
    rises[1:] &= ~(follows[1:] & on[:-1])
    return rises


def _taken(watch: Watch, at: Times, held: Numbers, sent: Times, pieces: _Pieces, kinds: Kinds) -> list[Found]:
    """Find what ends. at: of all samples; held, sent: of each of NEEDED after the newest of them."""
    found = _gaps(at)
    for kind in kinds:
        found += _ended(watch, kind, pieces)
    watch.at, watch.held, watch.sent = int(at[-1]), held.tolist(), sent.tolist()
    return sorted(found, key=lambda each: (each.episode.start, each.episode.kind))


def _strip(watch: Watch, samples: Table, metadata: list[DeviceMetadata]) -> Strips:
    values = _needed(samples)
    sent = np.where(np.isnan(values), NEVER, samples.at[:, None])
    at, begun = samples.at, watch.at >= 0
    if begun:
        at = np.concatenate([[watch.at], at])
        values = np.concatenate([[watch.held], values])
        sent = np.concatenate([[watch.sent], sent])
    return Strips(NEEDED, np.array([0, len(at)]), at, values, sent, np.array([begun]), [metadata])


def _needed(samples: Table) -> Numbers:
    if samples.names == NEEDED:
        return samples.values
    values = np.full((len(samples.at), len(NEEDED)), np.nan)
    for column, name in enumerate(NEEDED):
        if name in samples.names:
            values[:, column] = samples.values[:, samples.names.index(name)]
    return values


def _gaps(at: Times) -> list[Found]:
    silent = np.flatnonzero(np.diff(at) > HOLD_MS)
    spans = zip(at[silent].tolist(), at[silent + 1].tolist(), strict=True)
    return [Found(start, Episode("gap", start, end)) for start, end in spans]


def _amounts(segments: Segments, defrosts: Flags) -> Numbers:
    """What adds up over an episode: for each sum and average what and its weight in turn, then defrosts."""
    kwh, values = np.column_stack([segments.electric, segments.heat]), segments.values[:, _AVERAGED]
    ms = segments.ms.astype(np.float64)[:, None]
    sums, end = 2 * kwh.shape[1], 2 * (kwh.shape[1] + values.shape[1])
    amounts = np.empty((len(ms), end + 1))
    known = ~np.isnan(kwh)
    amounts[:, 0:sums:2], amounts[:, 1:sums:2] = np.where(known, kwh, 0.0), known
    known = ~np.isnan(values)
    amounts[:, sums:end:2], amounts[:, sums + 1 : end : 2] = np.where(known, values * ms, 0.0), known * ms
    amounts[:, end] = defrosts
    return amounts


def _ended(watch: Watch, kind: EpisodeKind, pieces: _Pieces) -> list[Found]:
    """Find the episodes of one kind; what has not ended is left in the state.

    Episodes are numbered from 0; 0 is what was running before, if anything was.
    """
    state, follows, start = pieces.states[kind], pieces.follows, pieces.start
    on = state == 1.0
    where = np.flatnonzero(on)
    running = watch.running.pop(kind, None)
    if not len(where):
        return []
    rises = _rises(on, follows)
    if running is not None:
        rises[0] = False
    before = [] if running is None else [running]
    runs = np.array([*(each.run for each in before), *start[rises].tolist()])
    run = np.cumsum(rises)[where] - 1 + len(before)
    cuts = -(-(runs + DAY_MS) // DAY_MS) * DAY_MS
    part = np.maximum((start[where] - cuts[run]) // DAY_MS + 1, 0)
    new = np.ones(len(where), dtype=np.bool_)
    new[1:] = (run[1:] != run[:-1]) | (part[1:] != part[:-1])
    if running is not None:
        new[0] = part[0] != max((running.start - first_cut(running.run)) // DAY_MS + 1, 0)
    number = np.cumsum(new) - 1 + len(before)
    open_ = _running(before, number, where, pieces)
    heads = np.flatnonzero(new)
    for each, head in zip(open_[len(before) :], heads.tolist(), strict=True):
        at = int(where[head])
        each.run, each.start = int(runs[run[head]]), int(start[at])
        each.begun_by = "midnight" if not rises[at] else _edge(follows, state, at, at - 1)
    found = []
    tails = [*(heads - 1).tolist(), len(where) - 1]
    for each, tail in zip(open_, tails if before else tails[1:], strict=True):
        last = int(where[tail]) if tail >= 0 else -1
        if last == len(state) - 1:
            watch.running[kind] = each
            continue
        cut_here = last + 1 < len(state) and on[last + 1] and not rises[last + 1]
        ended_by: Edge = "midnight" if cut_here else _edge(follows, state, last + 1, last + 1)
        stop = int(pieces.end[last]) if last >= 0 else int(start[0])
        found.append(Found(each.run, _episode(kind, each, stop, ended_by)))
    return found


def _edge(follows: Flags, state: Numbers, joint: int, off: int) -> Edge:
    """Say whether a flag was seen to rise or fall: the pieces join, and beyond it is known to be off."""
    return "edge" if follows[joint] and state[off] == 0.0 else "gap"


def _running(before: list[Running], number: Times, where: Times, pieces: _Pieces) -> list[Running]:
    """Sum up by number of the episode, oldest piece first, on top of what was there."""
    count, heads = int(number[-1]) + 1, np.flatnonzero(np.diff(number, prepend=-1))
    added = pieces.amounts[where]
    # One after the other, the oldest first: whoever adds in another order gets other last bits.
    rows = np.concatenate([np.zeros(len(before), dtype=np.int64), number])
    parts = np.concatenate([np.array([old.sums for old in before]).reshape(-1, added.shape[1]), added])
    places = rows[:, None] * added.shape[1] + np.arange(added.shape[1])
    sums = np.bincount(places.ravel(), parts.ravel(), count * added.shape[1]).reshape(count, -1)
    highest = np.full((count, len(_HIGHEST)), np.nan)
    highest[number[heads]] = np.fmax.reduceat(pieces.values[where[:, None], _HIGHEST_OF], heads)
    source = np.full(count, -1)
    source[number[heads]] = np.maximum.reduceat(pieces.source[where], heads)
    tank = pieces.values[where, _COLUMN["temp_dhw"]]
    there = np.flatnonzero(~np.isnan(tank))
    first, last = np.full(count, np.nan), np.full(count, np.nan)
    for old in before:
        last[0], source[0] = old.last, max(old.source, int(source[0]))
        highest[0] = np.fmax(highest[0], old.highest)
    last[number[there]] = tank[there]
    first[number[there[::-1]]] = tank[there[::-1]]
    for old in before:
        first[0] = old.first if old.first == old.first else first[0]
    found = [*before, *(Running(0, 0, "gap") for _ in range(count - len(before)))]
    columns = (sums, highest, first, last, source)
    for each, *parts_of in zip(found, *(column.tolist() for column in columns), strict=True):
        each.sums, each.highest, each.first, each.last, each.source = parts_of
    return found


def _episode(kind: EpisodeKind, each: Running, end: int, ended_by: Edge) -> Episode:
    electric, electric_known, heat, heat_known, *means, defrosts = each.sums
    values: dict[str, float] = {}
    if electric_known:
        values["electric_kwh"] = electric
    if heat_known:
        values["heat_kwh"] = heat
    for name, total, weight in zip((*_MEANS, "dhw_share"), means[::2], means[1::2], strict=True):
        if weight:
            values[name] = total / weight
    values |= dict(zip(_HIGHEST, each.highest, strict=True))
    values |= {"dhw_start": each.first, "dhw_end": each.last, "defrosts": defrosts}
    kept = {
        name: value
        for name, value in values.items()
        if value == value and (kind == "cycle" or name not in _OF_CYCLES)
    }
    source = HEAT_SOURCES[each.source] if each.source >= 0 else ""
    return Episode(kind, each.start, end, each.begun_by, ended_by, kept, source)
