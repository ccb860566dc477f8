"""rollup: fold readings to minute rows; what comes out of order is refolded from raw rows at the next ticks.

In     Reading, Tick, MetadataChanged, Forgotten
Out    items  the same
       rows   RollupRow (a minute closed in order), Refold (minutes that a late reading changed), Compose (an
              hour or day closed), LatestRow (at most one a tick and device)
State  per device: the fold, dirty minutes, metadata; shared: devices with dirty minutes, devices that spoke

docs/reference/rollups.md tells the rules, flows/physics/fold.py applies them.
"""

from typing import Any

import msgspec

from flows.model.device import DeviceMetadata, Forgotten, MetadataChanged
from flows.model.frame import Tick
from flows.model.reading import ORDER_STEP, Reading
from flows.model.rollup import BUCKET_MS, HOLD_MS, Compose, Refold, RollupRow
from flows.model.rows import LatestRow
from flows.nodes.ports import Keyed, Node, Ports, Snapshot
from flows.physics.fold import MINUTE_MS, Fold, Minute, Sample, advance, hold_late

MINUTES_A_TICK = 600
"""How many dirty minutes are refolded a tick, so that a flood of late readings holds nothing up."""


class Span(msgspec.Struct):
    """Dirty minutes [start, end). [ms since 1970, UTC]"""

    start: int
    end: int
    rederive: bool


class RollupState(msgspec.Struct):
    """What is remembered of one device.

    dirty   : disjoint spans, oldest first.
    spoilt  : minutes that begin before it are refolded once closed: what is held is not what the raw rows say, or
              a late reading changed the open minute. [ms since 1970, UTC]
    order   : of its newest reading.
    since   : event time of its oldest reading. [ms since 1970, UTC]
    """

    fold: Fold = msgspec.field(default_factory=Fold)
    dirty: list[Span] = []
    spoilt: int = 0
    metadata: list[DeviceMetadata] = []
    order: int = 0
    since: int = 0


class _Shared(msgspec.Struct):
    """dirty: devices with dirty minutes, longest waiting first; spoke: devices heard since the last tick."""

    dirty: dict[str, None] = {}
    spoke: dict[str, None] = {}


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """minutes_a_tick: how many dirty minutes are refolded a tick, at least one span."""

    minutes_a_tick: int = MINUTES_A_TICK


class Rollup(Keyed[RollupState, _Shared]):
    """See the module."""

    def __init__(self, params: Params, snapshot: Snapshot | None) -> None:
        super().__init__(1, RollupState, _Shared, snapshot)
        self._minutes_a_tick = params.minutes_a_tick

    def on_items(self, items: list[Any], out: Ports) -> None:
        """Fold every reading, refold at ticks."""
        rows = out["rows"]
        for item in items:
            kind = type(item)
            if kind is Reading:
                self._reading(item, rows)
            elif kind is Tick:
                self._tick(item, rows)
            elif kind is MetadataChanged:
                self._metadata(item)
            elif kind is Forgotten:
                self.forget(item.device_id)
                self.shared.dirty.pop(item.device_id, None)
                self.shared.spoke.pop(item.device_id, None)
        out["items"].extend(items)

    def sizes(self) -> dict[str, int]:
        """Count devices and dirty minutes."""
        dirty = [self.devices.get(device_id) for device_id in list(self.shared.dirty)]
        spans = [span for state in dirty if state for span in list(state.dirty)]
        return {**super().sizes(), "dirty": sum(span.end - span.start for span in spans) // MINUTE_MS}

    def _reading(self, reading: Reading, rows: list[Any]) -> None:
        device_id = reading.device_id
        known = device_id in self.devices
        state = self.state_of(device_id)
        fold, sample = state.fold, Sample(reading.at, reading.values)
        state.since = min(state.since, sample.at) if known and state.since else sample.at
        if sample.at > fold.at:
            before = fold.at
            for minute in advance(fold, sample, state.metadata):
                self._closed(state, device_id, minute, reading.order, rows)
            if before >= 0:
                self._compose(device_id, before, sample.at, reading.order, rows)
        elif is_repeated(fold, sample):
            self.counts["repeated"] += 1
            return
        else:
            self.counts["late"] += 1
            self._late(state, device_id, sample)
        state.order = reading.order
        if known:
            self.shared.spoke[device_id] = None
        else:
            rows.append(_latest(device_id, state))

    def _closed(self, state: RollupState, device_id: str, minute: Minute, order: int, rows: list[Any]) -> None:
        if minute.start < state.spoilt:
            self._dirty(state, device_id, Span(minute.start, minute.start + MINUTE_MS, False))
        else:
            rows.append(
                RollupRow(device_id, "1m", minute.start, order, minute.count, minute.values, minute.heat_source)
            )

    def _compose(self, device_id: str, before: int, now: int, order: int, rows: list[Any]) -> None:
        """Ask for the hour and the day that this reading closed; gaps between have no rows to compose.

        An interval counts up to HOLD_MS, so the hour after the last reading's may have rows as well.
        """
        for resolution in ("1h", "1d"):
            length = BUCKET_MS[resolution]
            first, current = before // length * length, now // length * length
            if first == current:
                continue
            rows.append(Compose(device_id, order, resolution, first))
            second = (before + HOLD_MS) // length * length
            if first < second < current:
                rows.append(Compose(device_id, order, resolution, second))

    def _late(self, state: RollupState, device_id: str, sample: Sample) -> None:
        """Mark what a late sample can change: nothing is held longer than HOLD_MS, before or after it."""
        fold = state.fold
        if hold_late(fold, sample):
            state.spoilt = max(state.spoilt, sample.at + HOLD_MS)
        start = (sample.at - HOLD_MS) // MINUTE_MS * MINUTE_MS
        end = (sample.at + HOLD_MS) // MINUTE_MS * MINUTE_MS + MINUTE_MS
        open_minute = fold.minute
        if end > open_minute:
            state.spoilt, end = max(state.spoilt, open_minute + MINUTE_MS), open_minute
        if start < end:
            self._dirty(state, device_id, Span(start, end, False))

    def _metadata(self, change: MetadataChanged) -> None:
        state = self.state_of(change.device_id)
        state.metadata = change.history
        if change.recompute_from is None or state.fold.at < 0:
            return
        state.spoilt = max(state.spoilt, state.fold.at + HOLD_MS)  # what is held was derived as before
        start = max(change.recompute_from, state.since) // MINUTE_MS * MINUTE_MS
        if start < state.fold.minute + MINUTE_MS:
            self._dirty(state, change.device_id, Span(start, state.fold.minute + MINUTE_MS, True))

    def _dirty(self, state: RollupState, device_id: str, span: Span) -> None:
        self._touched.add(device_id)
        state.dirty = merged([*state.dirty, span])
        self.shared.dirty[device_id] = None

    def _tick(self, tick: Tick, rows: list[Any]) -> None:
        for device_id in self.shared.spoke:
            rows.append(_latest(device_id, self.devices[device_id]))
        self.shared.spoke = {}
        budget = self._minutes_a_tick * MINUTE_MS
        while budget > 0 and self.shared.dirty:
            device_id = next(iter(self.shared.dirty))
            state = self.state_of(device_id)
            span = state.dirty[0]
            end = min(span.end, span.start + max(budget, MINUTE_MS))
            budget -= end - span.start
            rows.append(Refold(device_id, tick.seq * ORDER_STEP, span.start, end, state.fold.at, span.rederive))
            if end < span.end:
                span.start = end
            else:
                state.dirty.pop(0)
            if not state.dirty:
                del self.shared.dirty[device_id]


def is_repeated(fold: Fold, sample: Sample) -> bool:
    """Tell whether a sample says only what the newest one of the same time has said."""
    return sample.at == fold.at and all(
        fold.held.get(name) == (sample.at, value) for name, value in sample.values.items()
    )


def merged(spans: list[Span]) -> list[Span]:
    """Join spans that touch or overlap, oldest first."""
    out: list[Span] = []
    for span in sorted(spans, key=lambda each: (each.start, each.end)):
        if out and span.start <= out[-1].end:
            last = out[-1]
            last.end, last.rederive = max(last.end, span.end), last.rederive or span.rederive
        else:
            out.append(Span(span.start, span.end, span.rederive))
    return out


def _latest(device_id: str, state: RollupState) -> LatestRow:
    return LatestRow(device_id, state.order, dict(state.fold.held))


NODE = Node("rollup", Params, Rollup, out=("items", "rows"), version=1)
