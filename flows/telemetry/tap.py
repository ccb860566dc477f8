"""Taps: look at what passes the nodes, only while somebody asks, and only at the newest of it.

Asking arms a tap; it disarms itself, and forgets, LOOKED_S after the last question. Unarmed it costs one look at
`armed` a step and batch. Armed, it copies the last items of a batch before the node has them and looks for what
came of them afterwards; it changes nothing, and a mistake in here ends the look, never the flow.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec

from flows.graph import Step
from flows.model.frame import Frame, Start, Tick
from flows.model.reading import Reading
from flows.model.rollup import ClosedMinutes
from flows.model.times import iso
from flows.nodes.ports import Ports
from flows.telemetry.conservation import FATES
from flows.telemetry.glance import Glance, difference, glance_at, said
from flows.telemetry.trace import Following, Stop, Trace

log = logging.getLogger("heatpump.taps")

LOOKED_S = 10.0
LAST_ITEMS = 5
_OWN = frozenset((Tick, Start))


class Passed(msgspec.Struct):
    """One item at one node.

    port    : where it went; "" where it waits in the node or ended there.
    after   : as it left, of a message its last reading.
    made    : how many items a message came to.
    sides   : what went to sinks because of it: (port, kind, what it says).
    reasons : why fields were removed, as far as the node's counts tell.
    """

    before: Glance
    port: str = ""
    after: Glance | None = None
    made: int = 0
    sides: list[tuple[str, str, str]] = []
    reasons: tuple[str, ...] = ()


class Look(msgspec.Struct):
    """One item that a batch brings, or that waits in the node. last: it is among the last ones."""

    item: Any
    passed: Passed
    last: bool = False
    trace: Trace | None = None


class StepTap:
    """The tap of one step. armed: read by the pipe, once a batch."""

    def __init__(self, step: Step, index: int, taps: "Taps") -> None:
        self.step, self.index, self._taps = step, index, taps
        self.armed = False
        self.until = 0.0
        self.last: deque[Passed] = deque(maxlen=LAST_ITEMS)
        self._counts: dict[str, int] = {}

    def before(self, seq: int, items: list[Any], counts: Mapping[str, int]) -> list[Look]:
        """Copy what will be looked for. seq: of the batch."""
        with self._taps.lock:
            try:
                self._taps.expire()
                if not self.armed:
                    return []
                looks = self._followed(seq, items)
                if self.until:
                    looks += [Look(item, Passed(glance_at(item)), last=True) for item in _last(items)]
                self._counts = dict(counts) if looks else {}
            except Exception:
                self._taps.give_up()
                return []
        return looks

    def after(self, seq: int, looks: list[Look], out: Ports, counts: Mapping[str, int]) -> None:
        """Find what came of it."""
        with self._taps.lock:
            try:
                if self.armed and looks:
                    self._find(looks, out)
                    self._note(seq, looks, counts)
            except Exception:
                self._taps.give_up()

    def _followed(self, seq: int, items: list[Any]) -> list[Look]:
        following = self._taps.following
        looks = []
        if self.index == 0:
            wanted = {f"heatpump/{device_id}/data": followed for device_id, followed in following.items()}
            for item in reversed(items):
                if not wanted:
                    break
                if type(item) is Frame and item.topic in wanted:
                    trace = wanted.pop(item.topic).begin(item, seq)
                    looks.append(Look(item, Passed(glance_at(item)), trace=trace))
            return looks
        here = {}
        for followed in following.values():
            for trace in followed.open_at(self.index):
                if trace.held:
                    looks.append(Look(None, trace.stops[-1].passed, trace=trace))
                elif trace.batch == seq:
                    here[trace.order] = trace
        for item in items if here else ():
            if type(item) is Reading and item.order in here:
                looks.append(Look(item, Passed(glance_at(item)), trace=here.pop(item.order)))
        return looks

    def _find(self, looks: list[Look], out: Ports) -> None:
        pipe = self.step.node.out[0]
        lowest = min(look.passed.before.first for look in looks)
        highest = max(look.passed.before.last for look in looks)
        found = [
            (port, item, order) for port, given in out.items() for item, order in _between(given, lowest, highest)
        ]
        for look in looks:
            passed = look.passed
            for port, item, order in found:
                if not passed.before.first <= order <= passed.before.last:
                    continue
                if port != pipe:
                    if len(passed.sides) < LAST_ITEMS:
                        passed.sides.append((port, type(item).__name__, said(item)))
                    passed.port = passed.port or port
                    continue
                passed.made += 1
                passed.port = pipe
                if type(item) is Reading and (passed.after is None or order >= passed.after.first):
                    passed.after = glance_at(item)
            if (
                not passed.port
                and look.item is not None
                and any(item is look.item for item in reversed(out[pipe]))
            ):
                passed.port = pipe

    def _note(self, seq: int, looks: list[Look], counts: Mapping[str, int]) -> None:
        words = [word for word, count in counts.items() if count > self._counts.get(word, 0) and word not in FATES]
        for look in looks:
            look.passed.reasons = tuple(words)
            if look.last:
                self.last.append(look.passed)
            if look.trace is not None:
                look.trace.stop(Stop(self.step, look.passed), seq, self.step.node.out[0])


class Taps:
    """All taps of a running graph, in the order of the pipe. following: by device id."""

    def __init__(self) -> None:
        self.steps: dict[str, StepTap] = {}
        self.following: dict[str, Following] = {}
        self.lock = threading.RLock()

    def add(self, step: Step) -> StepTap:
        """Put a tap on a step."""
        with self.lock:
            tap = self.steps[step.id] = StepTap(step, len(self.steps), self)
            tap.armed = bool(self.following)
            return tap

    def watch(self, step_id: str) -> list[dict[str, Any]]:
        """Keep watching a step; say what its last items were, the newest first."""
        with self.lock:
            self.expire()
            tap = self.steps[step_id]
            tap.until, tap.armed = time.monotonic() + LOOKED_S, True
            last = list(tap.last)
        return [_told(tap.step, passed) for passed in reversed(last)]  # the pipe does not wait for words

    def follow(self, device_id: str, after: int | None) -> Trace | None:
        """Keep following a device; give the newest of its messages whose way is done, or of those under way.

        after : journal number; only a message behind it, the first there is.
        """
        with self.lock:
            self.expire()
            followed = self.following.pop(device_id, None) or Following(device_id)
            followed.until = time.monotonic() + LOOKED_S
            self.following[device_id] = followed
            if len(self.following) > Following.MOST:
                del self.following[next(iter(self.following))]
            for tap in self.steps.values():
                tap.armed = True
            return followed.pick(after)

    def stored(self, seq: int, items: list[Any]) -> None:
        """Take note that the store has a batch, and of which rows."""
        with self.lock:
            try:
                for trace in self._under_way():
                    if trace.batch == seq:
                        rows = [item for item, _ in _between(items, trace.first, trace.order)]
                        trace.is_stored([type(item).__name__ for item in rows])
            except Exception:
                self.give_up()

    def sent(self, reading: Reading) -> None:
        """Take note that the live sink has published a reading."""
        with self.lock:
            try:
                followed = self.following.get(reading.device_id)
                for trace in followed.traces if followed else ():
                    if trace.order == reading.order:
                        trace.sent = time.perf_counter()
            except Exception:
                self.give_up()

    def expire(self) -> None:
        """Forget what nobody has asked for in a while."""
        now = time.monotonic()
        with self.lock:
            for device_id in [name for name, followed in self.following.items() if followed.until < now]:
                del self.following[device_id]
            for tap in self.steps.values():
                if tap.until and tap.until < now:
                    tap.until = 0.0
                    tap.last.clear()
                tap.armed = bool(tap.until or self.following)

    def give_up(self) -> None:
        """Forget all, after a mistake of ours."""
        log.exception("a look at the pipe failed")
        self.following.clear()
        for tap in self.steps.values():
            tap.armed, tap.until = False, 0.0
            tap.last.clear()

    def read(self) -> dict[str, Any]:
        """Say what is looked at: devices, steps, and how many items and traces are kept."""
        with self.lock:
            watched = [step_id for step_id, tap in self.steps.items() if tap.until]
            kept = sum(len(tap.last) for tap in self.steps.values())
            kept += sum(len(followed.traces) for followed in self.following.values())
            return {"following": list(self.following), "watching": watched, "held": kept}

    def _under_way(self) -> list[Trace]:
        return [trace for followed in self.following.values() for trace in followed.traces if trace.stored is None]


def told_trace(trace: Trace, synced: float | None) -> dict[str, Any]:
    """Say a reading's way. synced: when its frame was durable. [ms since arrival]"""
    return {
        **trace.told(synced),
        "steps": [{"ms": stop.ms, **_told(stop.step, stop.passed)} for stop in trace.stops],
    }


def _told(step: Step, passed: Passed) -> dict[str, Any]:
    before, after = passed.before, passed.after
    said_of = difference(before, after)
    for removed in said_of["removed"]:
        removed["reason"] = _why(step, before, removed["field"], removed["value"], passed.reasons)
    return {
        "step": step.id,
        "arrived": iso(before.arrived),
        "device_id": before.device_id,
        "kind": before.kind,
        "port": passed.port,
        "fields_before": None if before.values is None else len(before.values),
        "fields_after": None if after is None or after.values is None else len(after.values),
        **said_of,
        "text": before.text,
        "bytes": before.size or None,
        "made": passed.made,
        "sides": [{"port": port, "kind": kind, "text": text} for port, kind, text in passed.sides],
    }


def _why(step: Step, before: Glance, field: str, value: object, reasons: tuple[str, ...]) -> str:
    """Name why a field was removed: as the node counted it, or as a new one of its kind judges it alone."""
    if len(reasons) == 1:
        return reasons[0]
    if step.node.version:
        return ""
    logic = step.node.recover(step.params, None)
    alone = Reading(before.device_id, before.first, before.arrived, sent={field: value}, invalid=before.invalid)
    logic.on_items([alone], {port: [] for port in step.node.out})
    return next((word for word in logic.counts if word not in FATES), "")


def _last(items: list[Any]) -> list[Any]:
    """Pick the last items that are not the journal's own, oldest first."""
    found: list[Any] = []
    for item in reversed(items):
        if type(item) not in _OWN:
            found.append(item)
            if len(found) == LAST_ITEMS:
                break
    return found[::-1]


def _between(items: list[Any], lowest: int, highest: int) -> list[tuple[Any, int]]:
    """Pick the items that come of orders in a span, each with such an order."""
    found = []
    for item in items:
        if type(item) is ClosedMinutes:
            found += [(item, order) for order in item.orders if lowest <= order <= highest]
            continue
        order = getattr(item, "order", -1)
        if lowest <= order <= highest:
            found.append((item, order))
    return found
