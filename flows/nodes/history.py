"""history: fold imported readings in event order straight to rollups; keep raw rows only within retention.

In     History, Reading (when live ones are), Start, MetadataChanged, Forgotten
Out    items  the same, and Imported where the minutes of the stream are to be folded with raw rows of history
       rows   RawRow, RollupBlock, Refold, Compose, EpisodeRow, Retrace, LatestRow and CommandOutcome of an import
State  per device: its imports (standing, fold, open hour), when live readings were, metadata; shared: retentions

docs/reference/rollups.md (History) tells what replaces what, flows/physics/history.py computes it.
"""

from typing import Any

import msgspec
import numpy as np

from flows.errors import BadQuery
from flows.model.cells import matrix_of_table, rows_of
from flows.model.command import CommandOutcome
from flows.model.device import DeviceMetadata, Forgotten, MetadataChanged, metadata_at
from flows.model.episode import TRACED, EpisodeRow, Retrace
from flows.model.frame import Start
from flows.model.history import Chunk, History, Imported, Standing, chunk_of
from flows.model.reading import FUTURE_MS, ORDER_STEP, Reading
from flows.model.rollup import BUCKET_MS, HOLD_MS, Compose, Refold, Resolution, RollupBlock
from flows.model.rows import LatestRow, RawRow
from flows.model.table import RollupTable, Table, rows_at
from flows.model.times import DAY_MS, HOUR_MS
from flows.nodes.ports import Keyed, Node, Ports, Snapshot
from flows.nodes.validate import SENTINELS, all_spans
from flows.nodes.validate import Params as Spans
from flows.physics.episodes import advance
from flows.physics.fold import latest
from flows.physics.history import (
    Past,
    checked,
    completed,
    energies,
    hours_closed,
    hours_of,
    minutes_closed,
    months_of,
    packed,
    put_away,
    unpacked,
)

MINUTE_MS = BUCKET_MS["1m"]
MOST_IMPORTS = 50
"""How many imports of a device are remembered, the newest; an older one begins anew."""


class Import(msgspec.Struct):
    """One import.

    since   : event time of its oldest reading, −1 before the first. [ms since 1970, UTC]
    partial : month, electricity and heat of the open hour where that was stored as well, at the end. [kWh]
    """

    standing: Standing = msgspec.field(default_factory=Standing)
    past: Past = msgspec.field(default_factory=Past)
    since: int = -1
    partial: tuple[str, float, float] | None = None


class HistoryState(msgspec.Struct):
    """What is remembered of one device.

    live_since, live_until : first live reading, and minute of the newest, −1 without. [ms since 1970, UTC]
    """

    imports: dict[str, Import] = {}
    live_since: int = -1
    live_until: int = -1
    metadata: list[DeviceMetadata] = []


class _Shared(msgspec.Struct):
    """Retentions. [ms]"""

    raw_retention_ms: int = 30 * DAY_MS
    minute_retention_ms: int = 90 * DAY_MS


class Limits(msgspec.Struct, frozen=True):
    """From when on what is kept. [ms since 1970, UTC]

    raw     : readings.
    refold  : minutes that follow from raw rows alone.
    minutes : minute rows, whole days.
    """

    raw: int
    refold: int
    minutes: int


class Params(Spans, frozen=True, forbid_unknown_fields=True):
    """Spans that override quantities.py, as for `validate`."""


class Importer(Keyed[HistoryState, _Shared]):
    """See the module."""

    def __init__(self, params: Params, snapshot: Snapshot | None) -> None:
        super().__init__(1, HistoryState, _Shared, snapshot)
        self._spans = all_spans(params)

    def on_items(self, items: list[Any], out: Ports) -> None:
        """Fold chunks; note when live readings are."""
        passed, rows, devices = out["items"], out["rows"], self.devices
        for item in items:
            kind = type(item)
            if kind is Reading:
                state = devices.get(item.device_id)
                # Most are in a minute that is noted already.
                if state is None or not state.live_since <= item.at < state.live_until + MINUTE_MS:
                    self._live(item)
            elif kind is History:
                self._history(item, passed, rows)
            elif kind is Start:
                self.shared.raw_retention_ms = item.raw_retention_ms
                self.shared.minute_retention_ms = item.minute_retention_ms
            elif kind is MetadataChanged:
                self._metadata(item, rows)
            elif kind is Forgotten:
                self.forget(item.device_id)
            passed.append(item)

    def standing(self, device_id: str, import_id: str) -> Standing:
        """Say how far an import has come. Other threads ask."""
        state = self.devices.get(device_id)
        known = state.imports.get(import_id) if state else None
        return known.standing if known else Standing()

    def _live(self, reading: Reading) -> None:
        """Note, by the minute, when live readings are."""
        state = self.state_of(reading.device_id)
        state.live_since = reading.at if state.live_since < 0 else min(state.live_since, reading.at)
        state.live_until = max(state.live_until, reading.at // MINUTE_MS * MINUTE_MS)

    def _metadata(self, change: MetadataChanged, rows: list[Any]) -> None:
        """Compute imported raw rows anew; the rest of history stays as it was computed."""
        state = self.state_of(change.device_id)
        state.metadata = change.history
        for known in state.imports.values():
            if change.recompute_from is not None and known.since >= 0:
                start = max(change.recompute_from, known.since) // MINUTE_MS * MINUTE_MS
                end = known.past.fold.minute
                if start < end:
                    frontier = max(state.live_until, known.past.fold.at)
                    rows.append(Refold(change.device_id, change.order, start, end, frontier))
                    rows += [
                        Retrace(change.device_id, change.order, day, min(day + DAY_MS, end), TRACED, day)
                        for day in range(start, end, DAY_MS)
                    ]

    def _history(self, item: History, passed: list[Any], rows: list[Any]) -> None:
        try:
            chunk = chunk_of(item.payload)
        except BadQuery:  # ingest has checked it: only another version's
            self.counts["unreadable"] += 1
            return
        known = self._import_of(item.device_id, chunk)
        if chunk.number != known.standing.next:
            self.counts["repeated" if chunk.number < known.standing.next else "out of sequence"] += 1
            return
        known.standing.next += 1
        known.standing.ended = chunk.last
        state = self.devices[item.device_id]
        samples = self._samples(item, chunk, known)
        limits = self._limits(item.arrived)
        if len(samples.at):
            full, sums = completed(samples, state.metadata)
            mixed = self._is_mixed(state, known, int(samples.at[0]), int(samples.at[-1]))
            newest = max(state.live_until, *(each.past.fold.at for each in state.imports.values()))
            self._raw(item, chunk, full, sums, limits, rows)
            self._rollups(item, state, known, full, limits, mixed, rows)
            rows += _episodes(item, known.past, full, limits, state.metadata, newest)
            if samples.at[-1] >= limits.raw and samples.at[-1] + HOLD_MS >= state.live_until:
                passed.append(Imported(item.device_id, int(samples.at[-1])))
        if chunk.last:
            self._end(item, chunk, state, known, limits, rows)

    def _import_of(self, device_id: str, chunk: Chunk) -> Import:
        imports = self.state_of(device_id).imports
        known = imports.get(chunk.import_id)
        if known is None:
            known = imports[chunk.import_id] = Import()
            if len(imports) > MOST_IMPORTS:
                del imports[next(iter(imports))]
        return known

    def _samples(self, item: History, chunk: Chunk, known: Import) -> Table:
        """Check a chunk's readings and count them; only those that are newer than the import's last."""
        standing, table = known.standing, chunk.table
        kept, removed = checked(table, self._spans, item.arrived + FUTURE_MS, SENTINELS)
        there = ~np.isnan(kept.values).all(axis=1)
        newer = table.at > standing.at
        standing.read += len(table.at)
        standing.taken += int((there & newer).sum())
        _add(standing.refused, "no value that could be kept", int((~there).sum()))
        _add(standing.refused, "not newer than the reading before", int((there & ~newer).sum()))
        for reason, count in removed.items():
            _add(standing.removed, reason, count)
        there &= newer
        dated = table.at[table.at <= item.arrived + FUTURE_MS]
        standing.at = max(standing.at, int(dated[-1])) if len(dated) else standing.at
        if there.any() and known.since < 0:
            known.since = int(table.at[there][0])
        return Table(kept.at[there], kept.names, kept.values[there])

    def _limits(self, arrived: int) -> Limits:
        raw = arrived - self.shared.raw_retention_ms
        minutes = -(-(arrived - self.shared.minute_retention_ms) // DAY_MS) * DAY_MS
        refold = -(-(raw + HOLD_MS) // MINUTE_MS) * MINUTE_MS
        return Limits(raw, max(refold, minutes), minutes)

    def _is_mixed(self, state: HistoryState, own: Import, start: int, end: int) -> bool:
        """Tell whether live readings or another import lie where readings in this span can change something."""
        start, end = min([start, *(first for first, _ in _waiting(own.past))]) - DAY_MS, end + DAY_MS
        others = [(state.live_since, state.live_until + MINUTE_MS)] if state.live_since >= 0 else []
        others += [(known.since, known.past.fold.at) for known in state.imports.values() if known is not own]
        return any(first <= end and start <= last for first, last in others if last >= 0)

    def _raw(
        self, item: History, chunk: Chunk, full: Table, sums: dict[str, Any], limits: Limits, rows: list[Any]
    ) -> None:
        """Readings within raw retention become raw rows."""
        first = int(np.searchsorted(full.at, limits.raw))
        self.counts["received"] += len(full.at) - first
        places = np.searchsorted(np.frombuffer(chunk.at, np.int64), full.at[first:]).tolist()
        kept = Table(full.at[first:], full.names, full.values[first:])
        parts = zip(places, kept.at.tolist(), rows_of(matrix_of_table(kept)), strict=True)
        for row, (place, at, cells) in enumerate(parts, first):
            summed = tuple(name for name, mask in sums.items() if mask[row])
            rows.append(RawRow(item.device_id, at, item.order + place, item.arrived, "device", cells, summed))

    def _rollups(
        self,
        item: History,
        state: HistoryState,
        known: Import,
        full: Table,
        limits: Limits,
        mixed: bool,
        rows: list[Any],
    ) -> None:
        """Minutes and hours: folded here; where others are, what lies within retention is left to the store."""
        device_id = item.device_id
        waiting = _waiting(known.past)
        before = [state.live_until, *(each.past.fold.at for each in state.imports.values())]
        minutes = minutes_closed(known.past, full, state.metadata, item.order)
        minutes, hours = hours_closed(known.past, minutes, item.order)
        self._count(state, known, hours)
        stop = limits.refold if mixed else int(full.at[-1]) + HOLD_MS
        rows += _rows(minutes, device_id, item.order, "1m", limits.minutes, stop)
        if mixed:
            rows += _rows(hours, device_id, item.order, "1h", 0, limits.minutes)
            within = hours.start[hours.start >= limits.minutes].tolist()
            rows += [Compose(device_id, item.order, "1h", start) for start in within]
            first, last = int(full.at[0]), int(full.at[-1])
            # What was the newest there was counts as held up to these readings, too.
            spans = [(at, at) for at in sorted({*before}) if 0 <= at < first - HOLD_MS]
            for start, end in [*waiting, *spans, (first - HOLD_MS, last)]:
                rows += _refold(item, state, limits, start, end)
        else:
            rows += _rows(hours, device_id, item.order, "1h", 0, stop)
        rows += _days(device_id, item.order, hours, int(full.at[-1]))

    def _count(self, state: HistoryState, known: Import, hours: RollupTable) -> None:
        """Add the energies of hours to their months."""
        if known.partial is not None:
            month, electric, heat = known.partial
            _add_energy(known.standing, month, -electric, -heat)
            known.partial = None
        timezone = metadata_at(state.metadata, known.standing.at).timezone
        for month, electric, heat in zip(months_of(hours.start.tolist(), timezone), *energies(hours), strict=True):
            _add_energy(known.standing, month, float(electric), float(heat))

    def _end(
        self, item: History, chunk: Chunk, state: HistoryState, known: Import, limits: Limits, rows: list[Any]
    ) -> None:
        """Store the open hour and day where nothing else will close them, and say what the import came to."""
        standing = known.standing
        minutes = unpacked(known.past.minutes, item.order)
        at = known.past.fold.at
        mixed = at >= 0 and self._is_mixed(state, known, at, at)
        stop = limits.refold if mixed else known.past.fold.minute
        for start, end in _waiting(known.past) if mixed else []:
            rows += _refold(item, state, limits, start, end)
        rows += _rows(minutes, item.device_id, item.order, "1m", limits.minutes, stop)
        hour = hours_of(minutes)
        if len(hour.start):
            timezone = metadata_at(state.metadata, standing.at).timezone
            ((electric,), (heat,)) = energies(hour)
            known.partial = (months_of(hour.start.tolist(), timezone)[0], float(electric), float(heat))
            _add_energy(standing, *known.partial)
            start = int(hour.start[0])
            if start + HOUR_MS <= limits.refold:
                rows += _rows(hour, item.device_id, item.order, "1h", 0, limits.minutes)
                if start >= limits.minutes:
                    rows.append(Compose(item.device_id, item.order, "1h", start))
                rows.append(Compose(item.device_id, item.order, "1d", start // DAY_MS * DAY_MS))
        put_away(known.past)
        newest = max(each.past.fold.at for each in state.imports.values())
        if state.live_since < 0 and known.past.fold.at == newest >= 0:
            rows.append(LatestRow(item.device_id, item.order, latest(known.past.fold)))
        body = {"device_id": item.device_id, "source": chunk.source, "import_id": chunk.import_id}
        detail = f"{standing.taken} of {standing.read} readings of {chunk.source} taken"
        rows.append(
            CommandOutcome(
                item.seq,
                f"{chunk.import_id}:{chunk.number}",
                "import",
                item.arrived,
                "history_import",
                msgspec.json.encode(body).decode(),
                "done",
                detail,
            )
        )


def _rows(
    table: RollupTable, device_id: str, order: int, resolution: Resolution, start: int, end: int
) -> list[RollupBlock]:
    """Hand on the rows that begin in [start, end)."""
    first, last = np.searchsorted(table.start, (start, end))
    if first == last:
        return []
    rows = packed(rows_at(table, slice(int(first), int(last))))
    return [RollupBlock(device_id, resolution, order, rows.names, rows.start, rows.count, rows.heat, rows.values)]


def _waiting(past: Past) -> list[tuple[int, int]]:
    """The span of the open hour's closed minutes, which are not stored yet; none without any."""
    start = np.frombuffer(past.minutes.start, np.int64)
    return [(int(start[0]), past.fold.at)] if len(start) else []


def _refold(item: History, state: HistoryState, limits: Limits, start: int, end: int) -> list[Refold]:
    """Have the store fold what readings from `start` to `end` can change, as far as raw rows allow it."""
    start = max(limits.refold, start // MINUTE_MS * MINUTE_MS)
    end = (end + HOLD_MS) // MINUTE_MS * MINUTE_MS + MINUTE_MS
    # Another import may reach further: it has closed the hour and the day in which this one ends.
    frontier = max(state.live_until, *(each.past.fold.at for each in state.imports.values()))
    return [Refold(item.device_id, item.order + ORDER_STEP - 1, start, end, frontier)] if start < end else []


def _episodes(
    item: History, past: Past, full: Table, limits: Limits, metadata: list[DeviceMetadata], newest: int
) -> list[EpisodeRow | Retrace]:
    """Episodes that began before there are raw rows are found here, the others by the store.

    newest : about when all that came before ends: what its last reading said has now run out, however long ago.
    """
    rows: list[EpisodeRow | Retrace] = [
        EpisodeRow(item.device_id, item.order, each.episode)
        for each in advance(past.watch, full, metadata)
        if each.episode.start < limits.refold
    ]
    first, last = int(full.at[0]), int(full.at[-1])
    if last >= limits.raw:
        since = min(first - HOLD_MS, newest) if newest >= 0 else first - HOLD_MS
        order, start = item.order + ORDER_STEP - 1, max(since, limits.refold)
        rows.append(Retrace(item.device_id, order, start, last + HOLD_MS, TRACED, start))
    return rows


def _days(device_id: str, order: int, hours: RollupTable, now: int) -> list[Compose]:
    """Ask for the days that are over with these hours."""
    starts: list[int] = np.unique(hours.start // DAY_MS * DAY_MS).tolist()
    return [Compose(device_id, order, "1d", start) for start in starts if start < now // DAY_MS * DAY_MS]


def _add(counts: dict[str, int], reason: str, count: int) -> None:
    if count:
        counts[reason] = counts.get(reason, 0) + count


def _add_energy(standing: Standing, month: str, electric: float, heat: float) -> None:
    before = standing.kwh.get(month, (0.0, 0.0))
    standing.kwh[month] = (before[0] + electric, before[1] + heat)


NODE = Node("history", Params, Importer, out=("items", "rows"), version=1)
