"""rollup: fold readings to minute rows; what comes out of order is refolded from raw rows at the next ticks.

In     Reading, Tick, MetadataChanged, Forgotten, Imported
Out    items  the same
       rows   ClosedMinutes (in order), Refold (minutes that a late reading changed), Compose (an
              hour or day closed), LatestRow (at most one a tick and device)
State  per device: the fold, dirty minutes, metadata; shared: devices with dirty minutes, devices that spoke

docs/reference/rollups.md tells the rules, flows/physics/fold.py applies them.
"""

from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from flows.model.cells import compact, matrix_of
from flows.model.device import DeviceMetadata, Forgotten, MetadataChanged
from flows.model.frame import Tick
from flows.model.history import Imported
from flows.model.reading import ORDER_STEP, Reading, Value
from flows.model.rollup import BUCKET_MS, HOLD_MS, ClosedMinutes, Compose, Refold
from flows.model.rows import LatestRow
from flows.nodes import rollup_v1
from flows.nodes.ports import Keyed, Node, Ports, Snapshot
from flows.nodes.spans import Span, merged
from flows.physics.fold import Fold, close, latest, put_late, take_row
from flows.physics.minutes import Minutes
from flows.physics.segments import MINUTE_MS

MINUTES_A_TICK = 600
"""How many dirty minutes are refolded a tick, so that a flood of late readings holds nothing up."""


class RollupState(msgspec.Struct):
    """What is remembered of one device.

    dirty   : disjoint spans, oldest first.
    spoilt  : minutes that begin before it are refolded once closed: what is held is not what the raw rows say, or
              a late reading changed the open minute. [ms since 1970, UTC]
    order   : of its newest reading.
    since   : event time of its oldest reading. [ms since 1970, UTC]
    imported: event time of the newest raw row of history beside the stream. [ms since 1970, UTC]
    """

    fold: Fold = msgspec.field(default_factory=Fold)
    dirty: list[Span] = []
    spoilt: int = 0
    metadata: list[DeviceMetadata] = []
    order: int = 0
    since: int = 0
    imported: int = 0


class _Shared(msgspec.Struct):
    """Devices with dirty minutes.

    dirty  : since before the last tick, longest waiting first.
    soiled : since the last tick.
    spoke  : devices heard since the last tick.
    """

    dirty: dict[str, None] = {}
    spoke: dict[str, None] = {}
    soiled: dict[str, None] = {}


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """minutes_a_tick: how many dirty minutes are refolded a tick, at least one span."""

    minutes_a_tick: int = MINUTES_A_TICK


class Closing(msgspec.Struct):
    """Minutes of a device that readings of this batch have closed.

    until  : ascending, starts of the minutes that came to be open. [ms since 1970, UTC]
    orders : of the readings that opened them.
    """

    until: list[int] = []
    orders: list[int] = []


class Rollup(Keyed[RollupState, _Shared]):
    """See the module.

    What a batch closes is folded at its end, all devices together; a device's own at once where something is to
    follow that needs it: a late reading, a tick, other metadata.
    """

    def __init__(self, params: Params, snapshot: Snapshot | None) -> None:
        super().__init__(2, RollupState, _Shared, snapshot)
        self._minutes_a_tick = params.minutes_a_tick
        self._closing: dict[str, Closing] = {}

    def on_items(self, items: list[Any], out: Ports) -> None:
        """Fold every reading, refold at ticks."""
        rows = out["rows"]
        sent = compact(matrix_of([item.cells for item in items if type(item) is Reading]))
        samples = zip(*sent, strict=True)
        devices, touched, spoke = self.devices, self._touched, self.shared.spoke
        for item in items:
            kind = type(item)
            if kind is Reading:
                names, numbers = next(samples)
                device_id, at, state = item.device_id, item.at, devices.get(item.device_id)
                # Most say what their device always says, in the minute that is open.
                if (
                    state is not None
                    and names is state.fold.names
                    and state.fold.times
                    and state.imported < state.fold.times[-1] < at
                    and at // MINUTE_MS == state.fold.times[-1] // MINUTE_MS
                ):
                    state.fold.rows += numbers
                    state.fold.times.append(at)
                    state.order = item.order
                    touched.add(device_id)
                    spoke[device_id] = None
                else:
                    self._reading(item, names, numbers, rows)
            elif kind is Tick:
                self._close([device_id for device_id in self._closing if self._is_spoilt(device_id)], rows)
                self._tick(item, rows)
                spoke = self.shared.spoke
            elif kind is MetadataChanged:
                self._close([item.device_id], rows)
                self._metadata(item)
            elif kind is Imported:
                self._close([item.device_id], rows)
                self._imported(item)
            elif kind is Forgotten:
                self.forget(item.device_id)
                self._closing.pop(item.device_id, None)
                self.shared.dirty.pop(item.device_id, None)
                self.shared.soiled.pop(item.device_id, None)
                self.shared.spoke.pop(item.device_id, None)
        self._close([*self._closing], rows)
        out["items"].extend(items)

    def sizes(self) -> dict[str, int]:
        """Count devices and dirty minutes."""
        dirty = [self.devices.get(device_id) for device_id in [*self.shared.dirty, *self.shared.soiled]]
        spans = [span for state in dirty if state for span in list(state.dirty)]
        return {**super().sizes(), "dirty": sum(end - start for start, end in spans) // MINUTE_MS}

    def _reading(self, reading: Reading, names: tuple[str, ...], numbers: bytes, rows: list[Any]) -> None:
        device_id, at = reading.device_id, reading.at
        known = device_id in self.devices
        state = self.state_of(device_id)
        fold = state.fold
        before = fold.at
        if before <= state.imported:
            self._beside_history(state, device_id, at)
        if at > before:
            take_row(fold, at, names, numbers, reading.cells)
            if before < 0:
                state.since = at
            elif at // MINUTE_MS != before // MINUTE_MS:
                closing = self._closing.setdefault(device_id, Closing())
                closing.until.append(at // MINUTE_MS * MINUTE_MS)
                closing.orders.append(reading.order)
                self._compose(device_id, before, at, reading.order, rows)
        elif is_repeated(fold, at, reading.values):
            self.counts["repeated"] += 1
            return
        else:
            self.counts["late"] += 1
            self._close([device_id], rows)
            state.since = min(state.since, at)
            self._late(state, device_id, reading)
        state.order = reading.order
        if known:
            self.shared.spoke[device_id] = None
        else:
            rows.append(_latest(device_id, state))

    def _is_spoilt(self, device_id: str) -> bool:
        """Tell whether minutes that were closed are to be refolded: a tick asks for that."""
        state = self.devices[device_id]
        return state.fold.times[0] // MINUTE_MS * MINUTE_MS < state.spoilt

    def _close(self, device_ids: list[str], rows: list[Any]) -> None:
        """Fold what readings have closed."""
        closing = {
            device_id: self._closing.pop(device_id) for device_id in device_ids if device_id in self._closing
        }
        if not closing:
            return
        states = [self.devices[device_id] for device_id in closing]
        entries = list(zip(closing.items(), states, strict=True))
        for numbers, minutes in close([state.fold for state in states], [state.metadata for state in states]):
            self._closed([entries[number] for number in numbers], minutes, rows)

    def _closed(
        self, entries: list[tuple[tuple[str, Closing], RollupState]], minutes: Minutes, rows: list[Any]
    ) -> None:
        """Hand on what was folded; what is not to be believed is refolded. entries: by strip."""
        spoilt = minutes.start < np.array([state.spoilt for _, state in entries])[minutes.strip]
        for row in np.flatnonzero(spoilt).tolist():
            (device_id, _), state = entries[minutes.strip[row]]
            begin = int(minutes.start[row])
            self._dirty(state, device_id, (begin, begin + MINUTE_MS))
        good = np.flatnonzero(~spoilt)
        if not len(good):
            return
        start = minutes.start[good]
        of = [entries[strip][0] for strip in minutes.strip[good].tolist()]
        orders = [
            closing.orders[bisect_right(closing.until, at)]
            for (_, closing), at in zip(of, start.tolist(), strict=True)
        ]
        rows.append(
            ClosedMinutes(
                [device_id for device_id, _ in of],
                orders,
                minutes.names,
                start.tobytes(),
                minutes.count[good].tobytes(),
                minutes.heat[good].tobytes(),
                minutes.values[good].tobytes(),
            )
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

    def _imported(self, item: Imported) -> None:
        """Minutes of the stream that raw rows of history lie in, or are held in, are refolded once closed."""
        state = self.state_of(item.device_id)
        state.imported = max(state.imported, item.newest)
        state.spoilt = max(state.spoilt, item.newest + HOLD_MS)

    def _beside_history(self, state: RollupState, device_id: str, at: int) -> None:
        """Mark what a reading changes among raw rows of history, and what the newest of these is held for."""
        start = (min(at - HOLD_MS, state.imported)) // MINUTE_MS * MINUTE_MS
        end = min(at, state.imported) + HOLD_MS + MINUTE_MS
        if state.imported:
            self._dirty(state, device_id, (start, end // MINUTE_MS * MINUTE_MS))

    def _late(self, state: RollupState, device_id: str, reading: Reading) -> None:
        """Mark what a late sample can change: nothing is held longer than HOLD_MS, before or after it."""
        at, newest = reading.at, max(state.fold.at, state.imported)
        open_minute = newest // MINUTE_MS * MINUTE_MS
        if put_late(state.fold, at, reading.values):
            state.spoilt = max(state.spoilt, at + HOLD_MS)
        start = (at - HOLD_MS) // MINUTE_MS * MINUTE_MS
        end = (at + HOLD_MS) // MINUTE_MS * MINUTE_MS + MINUTE_MS
        if end > open_minute:
            state.spoilt, end = max(state.spoilt, open_minute + MINUTE_MS), open_minute
        if start < end:
            self._dirty(state, device_id, (start, end))

    def _metadata(self, change: MetadataChanged) -> None:
        state = self.state_of(change.device_id)
        state.metadata = change.history
        if change.recompute_from is None or state.fold.at < 0:
            return
        state.spoilt = max(state.spoilt, state.fold.at + HOLD_MS)  # what is held was derived as before
        start = max(change.recompute_from, state.since) // MINUTE_MS * MINUTE_MS
        if start < state.fold.minute + MINUTE_MS:
            self._dirty(state, change.device_id, (start, state.fold.minute + MINUTE_MS))

    def _dirty(self, state: RollupState, device_id: str, span: Span) -> None:
        self._touched.add(device_id)
        state.dirty = merged([*state.dirty, span])
        if device_id not in self.shared.dirty:
            self.shared.soiled[device_id] = None

    def _tick(self, tick: Tick, rows: list[Any]) -> None:
        for device_id in self.shared.spoke:
            rows.append(_latest(device_id, self.devices[device_id]))
        self.shared.spoke = {}
        # By name: the order in which they came here depends on how the journal was cut into batches.
        self.shared.dirty.update(dict.fromkeys(sorted(self.shared.soiled)))
        self.shared.soiled = {}
        budget = self._minutes_a_tick * MINUTE_MS
        while budget > 0 and self.shared.dirty:
            device_id = next(iter(self.shared.dirty))
            state = self.state_of(device_id)
            start, whole = state.dirty.pop(0)
            end = min(whole, start + max(budget, MINUTE_MS))
            budget -= end - start
            frontier = max(state.fold.at, state.imported)
            rows.append(Refold(device_id, tick.seq * ORDER_STEP, start, end, frontier))
            if end < whole:
                state.dirty.insert(0, (end, whole))
            if not state.dirty:
                del self.shared.dirty[device_id]


def is_repeated(fold: Fold, at: int, values: Mapping[str, Value]) -> bool:
    """Tell whether a sample says only what the newest one of the same time has said."""
    if at != fold.at:
        return False
    known = latest(fold)
    return all(known.get(name) == (at, value) for name, value in values.items())


def _latest(device_id: str, state: RollupState) -> LatestRow:
    return LatestRow(device_id, state.order, latest(state.fold))


NODE = Node("rollup", Params, Rollup, out=("items", "rows"), version=2, upgrade={1: rollup_v1.upgrade})
