"""fold: what is remembered of one device between its samples, and the minutes that these close.

A sample newer than the last extends the fold; what it closes is computed for many devices at once
(flows/physics/minutes.py). Any other sample needs a refold from raw rows, which `fold_range` does.
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import chain, repeat
from operator import itemgetter
from struct import Struct

import msgspec
import numpy as np

from flows.model.cells import COLUMN, interned, numbers_of
from flows.model.device import DeviceMetadata
from flows.model.quantities import FLAG_NAMES
from flows.model.reading import Value
from flows.model.table import Numbers, Table
from flows.physics.minutes import Minute, Minutes, minutes_of
from flows.physics.segments import MINUTE_MS, NEVER, Strips, held_after

SAMPLES_AT_ONCE = 2_000
_NAN = float("nan")


class Fold(msgspec.Struct):
    """State of the fold of one device.

    names : quantities it has sent, in order of first appearance.
    held  : newest value of each before the samples below, as float64, NaN where none; of any age.
    sent  : when each was sent, as int64, NEVER where none. [ms since 1970, UTC]
    before: event time of the sample before those below, −1 without. [ms since 1970, UTC]
    times : event times of the samples of the open minute, ascending. [ms since 1970, UTC]
    rows  : their values, as float64, a row a sample; NaN is a missing value.
    """

    names: tuple[str, ...] = ()
    held: bytes = b""
    sent: bytes = b""
    before: int = -1
    times: list[int] = []
    rows: bytearray = msgspec.field(default_factory=bytearray)

    @property
    def at(self) -> int:
        """Event time of the newest sample, −1 before the first. [ms since 1970, UTC]"""
        return self.times[-1] if self.times else self.before

    @property
    def minute(self) -> int:
        """Start of the open minute. [ms since 1970, UTC]"""
        return self.at - self.at % MINUTE_MS


def take(fold: Fold, at: int, values: Mapping[str, Value]) -> None:
    """Extend the fold by a sample newer than its last. Raises ValueError for any other: that needs a refold."""
    if at <= fold.at:
        raise ValueError(f"sample at {at} is not newer than {fold.at}")
    row = packed(fold, values)
    fold.rows += row
    fold.times.append(at)


def take_row(fold: Fold, at: int, names: tuple[str, ...], numbers: bytes, cells: bytes) -> None:
    """Do what `take` does with a sample that was compacted with others.

    names, numbers : see cells.compact. cells: all of the sample.
    """
    if at <= fold.at:
        raise ValueError(f"sample at {at} is not newer than {fold.at}")
    if names is not fold.names:
        if set(names) - set(fold.names):
            _widen(fold, [name for name in names if name not in fold.names])
        if names != fold.names:
            numbers = _packer(len(fold.names))(*_picker(fold.names)(numbers_of(cells)))
        else:
            fold.names = names  # of one that was recovered
    fold.rows += numbers
    fold.times.append(at)


def put_late(fold: Fold, at: int, values: Mapping[str, Value]) -> bool:
    """Let a late sample's values be held where nothing newer is; the minutes it changes need a refold.

    Tells whether what is held may now differ from what the raw rows say: merged into the row of its time, it may
    give derived values that neither had. It cannot where it says all that the device says, and nothing new.
    """
    known = latest(fold)
    changed = len(values) < len(known) or any(name not in known or known[name][0] <= at for name in values)
    row = packed(fold, values)
    if not fold.times or at < fold.times[0]:
        _hold(fold, at, row)
        return changed
    place = bisect_left(fold.times, at)
    here = place * len(row)
    if fold.times[place : place + 1] == [at]:
        fold.rows[here : here + len(row)] = _overlaid(fold.rows[here : here + len(row)], row)
    else:
        fold.times.insert(place, at)
        fold.rows[here:here] = row
    return changed


def latest(fold: Fold) -> dict[str, tuple[int, Value]]:
    """Newest value of every quantity with its event time [ms since 1970, UTC], of any age."""
    rows = np.frombuffer(fold.rows).reshape(len(fold.times), len(fold.names))
    found: dict[str, tuple[int, float]] = {}
    if fold.times:
        newest = zip(fold.names, rows[-1].tolist(), strict=True)
        found = {name: (fold.at, value) for name, value in newest if value == value}
    if len(found) < len(fold.names):
        found |= _older(fold, rows, [column for column, name in enumerate(fold.names) if name not in found])
    return {
        name: (found[name][0], bool(found[name][1])) if name in FLAG_NAMES else found[name]
        for name in fold.names
        if name in found
    }


def _older(fold: Fold, rows: Numbers, lacking: list[int]) -> dict[str, tuple[int, float]]:
    """Newest values of columns that the newest sample lacks, from the samples before it or from what is held.

    Where a batch has hours of a device, what it sends now and then is a few samples back, what it no longer sends
    in none of thousands: so ever more of them are looked at together.
    """
    found: dict[str, tuple[int, float]] = {}
    stop, step = len(rows) - 1, 8
    while lacking and stop > 0:
        start = max(0, stop - step)
        known = ~np.isnan(rows[start:stop, lacking])
        last = np.where(known.any(axis=0), stop - 1 - known[::-1].argmax(axis=0), -1).tolist()
        for column, row in zip(lacking, last, strict=True):
            if row >= 0:
                found[fold.names[column]] = (fold.times[row], rows.item(row, column))
        lacking = [column for column, row in zip(lacking, last, strict=True) if row < 0]
        stop, step = start, 8 * step
    held, sent = array("d", fold.held), array("q", fold.sent)
    found.update(
        (fold.names[column], (sent[column], held[column])) for column in lacking if held[column] == held[column]
    )
    return found


def close(folds: Sequence[Fold], metadata: Sequence[list[DeviceMetadata]]) -> Iterator[tuple[list[int], Minutes]]:
    """Take the closed minutes out of folds: those before the one of each fold's newest sample.

    metadata : by fold, the device's history, oldest first.
    Gives the indices of some folds and their minutes, strip by strip, until all have been.
    """
    by_names: dict[tuple[str, ...], list[int]] = {}
    for number, fold in enumerate(folds):
        by_names.setdefault(fold.names, []).append(number)
    for numbers in chain.from_iterable(_in_cache(folds, numbers) for numbers in by_names.values()):
        yield numbers, close_alike([folds[number] for number in numbers], [metadata[number] for number in numbers])


def _in_cache(folds: Sequence[Fold], numbers: list[int]) -> Iterator[list[int]]:
    """Split what is folded at once: arrays that stay in the processor's cache are passed over twice as fast."""
    part: list[int] = []
    samples = 0
    for number in numbers:
        part.append(number)
        samples += len(folds[number].times)
        if samples >= SAMPLES_AT_ONCE:
            yield part
            part, samples = [], 0
    if part:
        yield part


def close_alike(folds: Sequence[Fold], metadata: Sequence[list[DeviceMetadata]]) -> Minutes:
    """Do what `close` does for folds that have the same names, as arrays; strip: index of the fold."""
    strips = _strips(folds, metadata)
    held = held_after(strips)
    open_minutes = np.array([fold.minute for fold in folds])
    since = np.array([fold.times[0] - fold.times[0] % MINUTE_MS for fold in folds])
    minutes = minutes_of(strips, held, since, open_minutes)
    ends, sent = strips.first[1:].tolist(), np.broadcast_to(held.sent, held.values.shape)
    for fold, end, minute in zip(folds, ends, open_minutes.tolist(), strict=True):
        kept = len(fold.times) - bisect_left(fold.times, minute)
        row = end - kept - 1
        if kept < len(fold.times):
            fold.held, fold.sent = held.values[row].tobytes(), sent[row].tobytes()
            fold.before = int(strips.at[row])
            del fold.rows[: -kept * 8 * len(fold.names)]
            del fold.times[:-kept]
    return minutes


def extend(fold: Fold, samples: Table) -> None:
    """Extend the fold by samples newer than its last. Raises ValueError for any other."""
    if not len(samples.at):
        return
    if samples.at[0] <= fold.at:
        raise ValueError(f"sample at {samples.at[0]} is not newer than {fold.at}")
    _widen(fold, [name for name in samples.names if name not in fold.names])
    rows = np.full((len(samples.at), len(fold.names)), np.nan)
    rows[:, [fold.names.index(name) for name in samples.names]] = samples.values
    fold.times += samples.at.tolist()
    fold.rows += rows.tobytes()


def fold_range(samples: Table, start: int, end: int, metadata: list[DeviceMetadata]) -> Minutes:
    """Fold raw rows to the closed minutes of [start, end).

    samples : from start − HOLD_MS to the first at or after `end` (which closes the last minute); at least one.
    """
    newest = int(samples.at[-1])
    return _range(samples, start, min(end, newest - newest % MINUTE_MS), metadata)


def open_minute(samples: Table, metadata: list[DeviceMetadata]) -> Minute | None:
    """Say what the minute of the newest sample has come to so far; None without samples.

    samples : from HOLD_MS before that minute on.
    """
    if not len(samples.at):
        return None
    minute = int(samples.at[-1]) // MINUTE_MS * MINUTE_MS
    return _range(samples, minute, minute + MINUTE_MS, metadata).rows()[0]


def _range(samples: Table, start: int, end: int, metadata: list[DeviceMetadata]) -> Minutes:
    sent = np.where(np.isnan(samples.values), NEVER, samples.at[:, None])
    first = np.array([0, len(samples.at)])
    strips = Strips(samples.names, first, samples.at, samples.values, sent, np.array([False]), [metadata])
    return minutes_of(strips, held_after(strips), np.array([start]), np.array([end]))


def packed(fold: Fold, values: Mapping[str, Value]) -> bytes:
    """Lay values out by the fold's names, which grow by those that are new."""
    if tuple(values) == fold.names:
        return _packer(len(values))(*values.values())
    if not values.keys() <= set(fold.names):
        _widen(fold, [name for name in values if name not in fold.names])
    return _packer(len(fold.names))(*map(values.get, fold.names, repeat(_NAN)))


@cache
def _packer(width: int) -> Callable[..., bytes]:
    """Lay out so many numbers as float64: half the time that array("d") takes."""
    return Struct(f"{width}d").pack


@lru_cache(1_000)
def _picker(names: tuple[str, ...]) -> Callable[[tuple[float, ...]], tuple[float, ...]]:
    """Take a fold's columns out of a row of cells."""
    columns = [COLUMN[name] for name in names]
    return itemgetter(*columns) if len(columns) > 1 else lambda row: (row[columns[0]],)


def _widen(fold: Fold, new: list[str]) -> None:
    if not new:
        return
    old = len(fold.names)
    names = (*fold.names, *new)
    rows = np.full((len(fold.times), len(names)), np.nan)
    rows[:, :old] = np.frombuffer(fold.rows).reshape(len(fold.times), old)
    fold.names, fold.rows = interned(names), bytearray(rows.tobytes())
    fold.held += array("d", [_NAN] * len(new)).tobytes()
    fold.sent += array("q", [NEVER] * len(new)).tobytes()


def _hold(fold: Fold, at: int, row: bytes) -> None:
    """Let the values of a sample before the open ones be held where nothing newer is."""
    values, sent = array("d", fold.held), array("q", fold.sent)
    for column, value in enumerate(array("d", row)):
        if value == value and sent[column] <= at:
            values[column], sent[column] = value, at
    fold.held, fold.sent, fold.before = values.tobytes(), sent.tobytes(), max(fold.before, at)


def _overlaid(below: bytearray, above: bytes) -> bytes:
    values = zip(array("d", bytes(below)), array("d", above), strict=True)
    return array("d", [new if new == new else old for old, new in values]).tobytes()


def _strips(folds: Sequence[Fold], metadata: Sequence[list[DeviceMetadata]]) -> Strips:
    width = len(folds[0].names)
    begun = np.array([fold.before >= 0 for fold in folds])
    lengths = [len(fold.times) + (fold.before >= 0) for fold in folds]
    first = np.concatenate([[0], np.cumsum(lengths)])
    at = np.fromiter(
        chain.from_iterable((fold.before, *fold.times) if fold.before >= 0 else fold.times for fold in folds),
        dtype=np.int64,
        count=int(first[-1]),
    )
    parts: Iterable[bytes | bytearray] = chain.from_iterable(
        (fold.held, fold.rows) if fold.before >= 0 else (fold.rows,) for fold in folds
    )
    values = np.frombuffer(b"".join(parts)).reshape(-1, width)
    sent = np.where(np.isnan(values), NEVER, at[:, None])
    headers = b"".join(fold.sent for fold in folds if fold.before >= 0)
    sent[first[:-1][begun]] = np.frombuffer(headers, dtype=np.int64).reshape(-1, width)
    return Strips(folds[0].names, first, at, values, sent, begun, list(metadata))
