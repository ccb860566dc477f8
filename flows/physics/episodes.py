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
from flows.physics.segments import NEVER, Segments, Strips, cut, held_after

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
_HIGHEST = {"outlet_max": "temp_outlet", "compressor_max": "temp_compressor"}
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
    last = held.values[-1], np.broadcast_to(held.sent, held.values.shape)[-1]
    return _taken(watch, strips.at, *last, cut(strips, held), kinds)


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
    held_values, held_sent = held.values[newest], np.broadcast_to(held.sent, held.values.shape)[newest]
    bounds = np.searchsorted(segments.strip, np.arange(len(parts) + 1)).tolist()
    for number, (_, _, kinds) in enumerate(parts):
        watch, own = Watch(), slice(bounds[number], bounds[number + 1])
        pieces = Segments(*[part[own] for part in msgspec.structs.astuple(segments)])
        times = at[first[number] : first[number + 1]]
        yield watch, _taken(watch, times, held_values[number], held_sent[number], pieces, kinds)


def _taken(watch: Watch, at: Times, held: Numbers, sent: Times, segments: Segments, kinds: Kinds) -> list[Found]:
    """Find what ends. at: of all samples; held, sent: of each of NEEDED after the newest of them."""
    newest = int(at[-1])
    states = segments.values.copy()
    states[-1] = np.where(sent > newest - HOLD_MS, held, np.nan)  # the newest sample ends what it ends
    compressor, power, defrost, dhw = (
        states[:, _COLUMN[name]] for name in ("compressor_running", "power", "defrost_active", "dhw_active")
    )
    powered = np.where(np.isnan(power), np.nan, power >= RUNNING_POWER_W)
    cycle = np.where(np.isnan(compressor), powered, compressor)
    follows = np.zeros(len(segments.start), dtype=np.bool_)
    follows[1:] = segments.start[1:] == (segments.start + segments.ms)[:-1]
    begins = (defrost == 1.0) & ~(follows & (np.roll(defrost, 1) == 1.0))
    if "defrost" in watch.running:
        begins[0] = False
    elif watch.at >= 0 and defrost[0] == 1.0:
        begins[0] = False
    amounts = _amounts(segments, begins)
    found = _gaps(at)
    states_of: dict[EpisodeKind, Numbers] = {"cycle": cycle, "defrost": defrost, "dhw_run": dhw}
    for kind in kinds:
        found += _ended(watch, kind, states_of[kind], follows, segments, amounts)
    watch.at, watch.held, watch.sent = newest, held.tolist(), sent.tolist()
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


def _amounts(segments: Segments, defrosts: np.ndarray) -> list[Numbers]:
    """What adds up over an episode: for each average the weighted sum and the weight, for each sum its parts."""
    ms = segments.ms.astype(np.float64)
    amounts = []
    for kwh in (segments.electric, segments.heat):
        known = kwh == kwh
        amounts += [np.where(known, kwh, 0.0), known.astype(np.float64)]
    for name in (*_MEANS.values(), "dhw_active"):
        values = segments.values[:, _COLUMN[name]]
        known = values == values
        amounts += [np.where(known, values * ms, 0.0), known * ms]
    return [*amounts, defrosts.astype(np.float64)]


def _ended(
    watch: Watch,
    kind: EpisodeKind,
    state: Numbers,
    follows: np.ndarray,
    segments: Segments,
    amounts: list[Numbers],
) -> list[Found]:
    """Find the episodes of one kind; what has not ended is left in the state.

    state   : by piece 1.0, 0.0 or NaN. follows: which pieces begin where the one before ends.
    Episodes are numbered from 0; 0 is what was running before, if anything was.
    """
    on = state == 1.0
    where = np.flatnonzero(on)
    running = watch.running.pop(kind, None)
    if not len(where):
        return []
    start, end = segments.start, segments.start + segments.ms
    rises = on & ~(follows & np.roll(on, 1))
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
    open_ = _running(before, number, where, segments, amounts)
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
        stop = int(end[last]) if last >= 0 else int(start[0])
        found.append(Found(each.run, _episode(kind, each, stop, ended_by)))
    return found


def _edge(follows: np.ndarray, state: Numbers, joint: int, off: int) -> Edge:
    """Say whether a flag was seen to rise or fall: the pieces join, and beyond it is known to be off."""
    return "edge" if follows[joint] and state[off] == 0.0 else "gap"


def _running(
    before: list[Running], number: Times, where: Times, segments: Segments, amounts: list[Numbers]
) -> list[Running]:
    """Sum up by number of the episode, oldest piece first, on top of what was there."""
    count = int(number[-1]) + 1
    places = np.concatenate([[0] * len(before), number]).astype(np.int64)
    sums = [
        np.bincount(places, np.concatenate([[old.sums[row] for old in before], amount[where]]), count)
        for row, amount in enumerate(amounts)
    ]
    highest = np.full((len(_HIGHEST), count), np.nan)
    for row, name in enumerate(_HIGHEST.values()):
        highest[row, : len(before)] = [old.highest[row] for old in before]
        np.fmax.at(highest[row], number, segments.values[where, _COLUMN[name]])
    tank = segments.values[where, _COLUMN["temp_dhw"]]
    there = np.flatnonzero(~np.isnan(tank))
    first, last = np.full(count, np.nan), np.full(count, np.nan)
    source = np.full(count, -1)
    for old in before:
        last[0], source[0] = old.last, old.source
    last[number[there]] = tank[there]
    first[number[there[::-1]]] = tank[there[::-1]]
    for old in before:
        first[0] = old.first if old.first == old.first else first[0]
    np.maximum.at(source, number, segments.source[where])
    found = [*before, *(Running(0, 0, "gap") for _ in range(count - len(before)))]
    columns = (np.array(sums).T, highest.T, first, last, source)
    for each, *parts in zip(found, *(column.tolist() for column in columns), strict=True):
        each.sums, each.highest, each.first, each.last, each.source = parts
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
