"""episode: notice that an episode may have ended, and have the store find it in the raw rows.

In     Reading, Status, Tick, MetadataChanged, Forgotten, Imported
Out    items  the same
       rows   EpisodeRow (a silence, another firmware), Retrace (a flag fell; at ticks, what late readings changed)
State  per device: flags as last sent and those that are on, firmware, spans to look at anew; shared: devices with
       such spans

A request too many changes nothing: flows/physics/episodes.py decides, from raw rows. docs/reference/episodes.md
tells the rules.
"""

from itertools import product
from typing import Any

import msgspec
import numpy as np

from flows.model.cells import COLUMN, matrix_of
from flows.model.device import Forgotten, MetadataChanged
from flows.model.episode import FLAGGED, TRACED, Episode, EpisodeKind, EpisodeRow, Retrace
from flows.model.frame import Tick
from flows.model.history import Imported
from flows.model.reading import ORDER_STEP, Reading, Status
from flows.model.rollup import HOLD_MS
from flows.model.times import DAY_MS
from flows.nodes.ports import Keyed, Node, Ports, Snapshot
from flows.nodes.spans import Span, merged
from flows.physics.energy import RUNNING_POWER_W

SPANS_A_TICK = 20
"""How many spans are looked at anew a tick, so that a flood of late readings holds nothing up."""

LONGEST_SPAN_MS = DAY_MS // 4
COMPRESSOR, DEFROST, DHW, POWER = range(4)
"""Signals. Power stands for the compressor in readings that do not name it."""

KIND: tuple[EpisodeKind, ...] = ("cycle", "defrost", "dhw_run", "cycle")
Said = tuple[bool | None, bool | None, bool | None, bool | None]

_COLUMNS = [COLUMN[name] for name in ("compressor_running", "defrost_active", "dhw_active", "power")]
_PLACES = np.array([27.0, 9.0, 3.0, 1.0])
_EVERY: list[Said] = [(a, b, c, d) for a, b, c, d in product((False, True, None), repeat=4)]
"""By 0, 1 or 2 for each signal, at its place of a number to the base of 3."""


class Signal(msgspec.Struct):
    """A signal that is on. since: from about when; until: when its hold runs out. [ms since 1970, UTC]"""

    since: int
    until: int


class EpisodeState(msgspec.Struct):
    """What is remembered of one device.

    at, since : event times of its newest and oldest reading, −1 without. [ms since 1970, UTC]
    due       : until then, a newest reading that says the same ends nothing. [ms since 1970, UTC]
    said      : signals of its newest reading. on: those that are on, maybe said earlier.
    version   : firmware. from_status: said by `status/version`, never by a reading.
    imported  : event time of the newest raw row of history beside the stream, −1 without. [ms since 1970, UTC]
    dirty     : spans to look at anew, disjoint, oldest first. [ms since 1970, UTC]
    """

    at: int = -1
    since: int = -1
    due: int = -1
    said: Said = (None, None, None, None)
    on: dict[int, Signal] = {}
    version: str = ""
    from_status: bool = False
    imported: int = -1
    dirty: list[Span] = []


_NEW = EpisodeState()


class _Shared(msgspec.Struct):
    """dirty: devices with spans to look at anew, longest waiting first."""

    dirty: dict[str, None] = {}


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """spans_a_tick: how many spans are looked at anew a tick."""

    spans_a_tick: int = SPANS_A_TICK


class Watcher(Keyed[EpisodeState, _Shared]):
    """See the module."""

    def __init__(self, params: Params, snapshot: Snapshot | None) -> None:
        super().__init__(1, EpisodeState, _Shared, snapshot)
        self._spans_a_tick = params.spans_a_tick

    def on_items(self, items: list[Any], out: Ports) -> None:
        """Compare every reading with the one before; look at what changed."""
        rows, devices, touched = out["rows"], self.devices, self._touched
        signals = iter(said([item.cells for item in items if type(item) is Reading]))
        for item in items:
            kind = type(item)
            if kind is Reading:
                device_id, now = item.device_id, next(signals)
                state = devices.get(device_id, _NEW)
                if (
                    now == state.said
                    and state.at < item.at < state.due
                    and ((version := item.version) is None or version == state.version)
                ):
                    state.at = item.at
                    touched.add(device_id)
                else:
                    self._reading(item, now, rows)
            elif kind is Tick:
                self._tick(item, rows)
            elif kind is Status:
                self._status(item, rows)
            elif kind is MetadataChanged:
                self._metadata(item)
            elif kind is Imported:
                state = self.state_of(item.device_id)
                state.imported = max(state.imported, item.newest)
                state.due = -1
            elif kind is Forgotten:
                self.forget(item.device_id)
                self.shared.dirty.pop(item.device_id, None)
        out["items"].extend(items)

    def sizes(self) -> dict[str, int]:
        """Count devices and spans to look at anew."""
        dirty = [self.devices.get(device_id) for device_id in list(self.shared.dirty)]
        return {**super().sizes(), "dirty": sum(len(state.dirty) for state in dirty if state)}

    def _reading(self, reading: Reading, now: Said, rows: list[Any]) -> None:
        state = self.state_of(reading.device_id)
        at, before = reading.at, state.at
        if state.imported >= 0:
            self._dirty(state, reading.device_id, min(at - HOLD_MS, state.imported), at + HOLD_MS)
            state.imported = -1 if at > state.imported + HOLD_MS else state.imported
        elif 0 <= before < at - HOLD_MS:
            rows.append(EpisodeRow(reading.device_id, reading.order, Episode("gap", before, at)))
        state.since = at if state.since < 0 else min(state.since, at)
        if at <= before:
            self._late(state, reading, now)
            return
        self._firmware(state, reading, at, reading.version, rows)
        ended = _ended(state, at, now)
        if before >= 0 and at // DAY_MS != before // DAY_MS:
            ended |= state.on  # what has run for a day is cut at midnight
        state.at = at
        state.due = _due(state)
        if ended and before >= 0:
            kinds = tuple(kind for kind in FLAGGED if any(KIND[signal] == kind for signal in ended))
            begun = min(signal.since for signal in ended.values())
            rows.append(Retrace(reading.device_id, reading.order, before, at, kinds, begun))

    def _late(self, state: EpisodeState, reading: Reading, now: Said) -> None:
        """Look at what a late reading can change, later; what it says may still be held."""
        at = reading.at
        self._dirty(state, reading.device_id, at - HOLD_MS, at + HOLD_MS)
        for signal, value in enumerate(now):
            if value and at + HOLD_MS > state.at:
                known = state.on.setdefault(signal, Signal(at, at + HOLD_MS))
                known.until = max(known.until, at + HOLD_MS)
        state.due = min(state.due, _due(state))

    def _firmware(
        self, state: EpisodeState, item: Reading | Status, at: int, version: str | None, rows: list[Any]
    ) -> None:
        from_status = isinstance(item, Status)
        if (
            version is None
            or version == state.version
            or (from_status and state.version and not state.from_status)
        ):
            return
        if state.version and state.from_status is from_status:
            change = Episode("change", at, at, detail=f"firmware {state.version} → {version}")
            rows.append(EpisodeRow(item.device_id, item.order, change))
        state.version, state.from_status = version, from_status

    def _status(self, status: Status, rows: list[Any]) -> None:
        if status.name == "version" and isinstance(status.value, str):
            self._firmware(self.state_of(status.device_id), status, status.arrived, status.value, rows)

    def _metadata(self, change: MetadataChanged) -> None:
        state = self.devices.get(change.device_id)
        if state is not None and change.recompute_from is not None and state.since <= state.at:
            start = max(change.recompute_from, state.since)
            if 0 <= start <= state.at:
                self._dirty(state, change.device_id, start, state.at)

    def _dirty(self, state: EpisodeState, device_id: str, start: int, end: int) -> None:
        self._touched.add(device_id)
        state.dirty = merged([*state.dirty, (start, end)])
        self.shared.dirty[device_id] = None

    def _tick(self, tick: Tick, rows: list[Any]) -> None:
        left = self._spans_a_tick
        while left and self.shared.dirty:
            left -= 1
            device_id = next(iter(self.shared.dirty))
            state = self.state_of(device_id)
            start, end = state.dirty.pop(0)
            stop = min(end, start + LONGEST_SPAN_MS)
            if stop < end:
                state.dirty.insert(0, (stop, end))
            if not state.dirty:
                del self.shared.dirty[device_id]
            rows.append(Retrace(device_id, tick.seq * ORDER_STEP, start, stop, TRACED, start))


def said(cells: list[bytes]) -> list[Said]:
    """Take the signals from readings. cells: a row of each."""
    signals = matrix_of(cells)[:, _COLUMNS]
    power, counts = signals[:, POWER], np.isnan(signals[:, COMPRESSOR])
    signals[:, POWER] = np.where(counts & ~np.isnan(power), power >= RUNNING_POWER_W, np.nan)
    codes = np.where(np.isnan(signals), 2.0, signals) @ _PLACES
    return [_EVERY[code] for code in codes.astype(np.intp).tolist()]


def _ended(state: EpisodeState, at: int, now: Said) -> dict[int, Signal]:
    """Take a reading newer than the last; return the signals that fell, or whose hold has run out."""
    on, ended = state.on, dict[int, Signal]()
    for signal, value in enumerate(state.said):
        if value:  # every reading up to the newest said so
            on[signal].until = max(on[signal].until, state.at + HOLD_MS)
    state.said = now
    for signal, value in enumerate(state.said):
        known = on.get(signal)
        if known is not None and (value is False or at > known.until or (value is None and at == known.until)):
            ended[signal] = on.pop(signal)
        if value:
            on.setdefault(signal, Signal(at, 0)).until = at + HOLD_MS
    if state.said[COMPRESSOR] is False and POWER in on:
        ended[POWER] = on.pop(POWER)
    return ended


def _due(state: EpisodeState) -> int:
    """Say from when on a newer reading can end something by its time alone, or is among history."""
    if state.imported >= 0:
        return -1
    until = [known.until for signal, known in state.on.items() if not state.said[signal]]
    return min([state.at + HOLD_MS, state.at // DAY_MS * DAY_MS + DAY_MS, *until])


NODE = Node("episode", Params, Watcher, out=("items", "rows"), version=1)
