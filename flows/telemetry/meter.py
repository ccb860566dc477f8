"""Counts what passes every node and port; read by the pipeline page, published once a second. Never stored."""

import time
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import msgspec

from flows.graph import SOURCE, Edge, Step
from flows.model.frame import Start, Tick
from flows.model.history import Standing
from flows.model.reading import Reading
from flows.model.times import iso
from flows.nodes.ports import Logic, Ports
from flows.telemetry.conservation import FATES, Conservation
from flows.telemetry.tap import StepTap, Taps

_SAMPLES = 512
_OWN = frozenset((Tick, Start))
REMOVED = frozenset(("untrusted", "wrong type", "not finite", "sentinel", "out of range", "power-on value"))
"""Words by which nodes count fields that they left out (docs/reference/mqtt.md)."""


class Rate:
    """How fast a count grows, over about a second, whoever asks how often, from whichever thread. [1/s]"""

    def __init__(self) -> None:
        self._before, self._rate = (time.monotonic(), 0), 0.0

    def of(self, count: int) -> float:
        """Take the count as it is now."""
        now, (then, before) = time.monotonic(), self._before
        if now - then >= 0.9:
            self._before, self._rate = (now, count), round((count - before) / (now - then), 2)
        return self._rate


def p99_ms(seconds: Iterable[float]) -> float:
    """Give what 99 % stay below, 0 without any. [ms]"""
    ordered = sorted(seconds)
    return round(ordered[int(len(ordered) * 0.99)] * 1000, 3) if ordered else 0.0


class StepMeter:
    """Counters of one step since the process started.

    rate : readings, status, alerts and commands a second; seconds: that its batches took.
    """

    def __init__(self, step: Step, sinks: dict[str, list[str]], books: Conservation, tap: StepTap) -> None:
        self.step, self._sinks, self._books, self.tap = step, sinks, books, tap
        self.logic: Logic | None = None
        self._fates = dict.fromkeys(FATES, 0)
        self.took = 0
        self.gave: dict[str, int] = dict.fromkeys(step.node.out, 0)
        self.refused: Counter[str] = Counter()
        self._seconds: deque[float] = deque(maxlen=_SAMPLES)
        self._rate = Rate()
        self.astray = self.state_bytes = self.batches = 0
        self.seconds = 0.0

    def begin(self, logic: Logic) -> None:
        """Take the logic at work, new or recovered."""
        self.logic = logic
        self._fates["pending"] = logic.counts["pending"]
        self._books.recovered(logic.counts["pending"])

    def add(self, seq: int, items: list[Any], out: Ports, own: int, seconds: float) -> None:
        """Count one batch. own: how many of the items taken, and passed on, are the journal's own."""
        self.took += len(items) - own
        for port, given in out.items():
            self.gave[port] += len(given)
            if given and port == "dead":
                self.refused.update([letter.reason for letter in given])
        self.gave[self.step.node.out[0]] -= own
        self._seconds.append(seconds)
        self.seconds += seconds
        self.batches += 1
        if self.logic is not None:
            before, counts = self._fates, self.logic.counts
            self._fates = {fate: counts[fate] for fate in FATES}
            became = {fate: self._fates[fate] - before[fate] for fate in FATES}
            self._books.happened(seq, became)
            self.astray += self._gone_astray(items, out[self.step.node.out[0]], became)

    def _gone_astray(self, items: list[Any], passed: list[Any], became: dict[str, int]) -> int:
        """Count readings that came and neither went on nor have a fate; 0, unless a node is mistaken.

        They are told from other items only where the lengths of both lists do not say that all is well. What a
        later node receives by itself (history) goes to the store by itself.
        """
        first = self.step.up is None
        ended = became["duplicate"] + became["dropped"] + became["dead readings"] + became["pending"]
        came = len(items)
        if first:
            came, ended = 0, ended - became["received"]
        if came == len(passed) + ended:
            return 0
        came, went = (sum([type(item) is Reading for item in each]) for each in (items, passed))
        return came - went - ended

    def read(self) -> dict[str, Any]:
        """Say what a page shows.

        up, sinks : where it is fed from, and the sinks of each port: with `up` of the others, the graph.
        p99_ms    : of a batch; state: sizes; state_bytes: as last saved; counts: dropped, duplicate …;
        dead      : letters by reason; removed: fields that were left out, by reason.
        """
        counts = dict(self.logic.counts) if self.logic else {}
        return {
            "step": self.step.id,
            "node": self.step.node.name,
            "up": self.step.up or SOURCE,
            "sinks": self._sinks,
            "in": self.took,
            "out": dict(self.gave),
            "rate": self._rate.of(self.took),
            "p99_ms": p99_ms(self._seconds),
            "state": self.logic.sizes() if self.logic else {},
            "state_bytes": self.state_bytes,
            "counts": counts,
            "dead": dict(self.refused),
            "removed": {word: count for word, count in counts.items() if word in REMOVED},
        }


@runtime_checkable
class TakesHistory(Protocol):
    """Logic that imports history."""

    def standing(self, device_id: str, import_id: str) -> Standing:
        """Say how far an import has come. Other threads ask."""


class Progress(msgspec.Struct):
    """How far the pipeline has come, in the journal's seq; written by source and store sink, read by others.

    read      : of the newest batch that the source gave.
    arrived   : of that frame. [ms since 1970, UTC]
    stored    : of the newest batch that the store has.
    committed : up to here nothing is needed again, except by an older recovery copy.
    tick      : number of the newest tick that was read, 0 before the first.
    fenced    : up to here the store is durable.
    waiting   : why the store sink waits, "" while it does not.
    since     : when it began to wait; attempts: how often it tried; next_try: when again. [ms since 1970, UTC]
    retries   : attempts that failed, of all waits.
    stop      : ask the source to end.
    """

    read: int = 0
    arrived: int = 0
    stored: int = 0
    committed: int = 0
    tick: int = 0
    fenced: int = 0
    waiting: str = ""
    since: int = 0
    attempts: int = 0
    retries: int = 0
    next_try: int = 0
    stop: bool = False


class Sink:
    """Counters of one sink. done: rows stored, messages published. batches: how long each took. [s]

    writes, seconds : of the store: batches written, and how long all together took. [s]
    """

    def __init__(self) -> None:
        self.done = self.writes = 0
        self.seconds = 0.0
        self.batches: deque[float] = deque(maxlen=_SAMPLES)
        self._rate = Rate()

    def read(self) -> dict[str, Any]:
        """Say what a page shows; p99_ms: of a batch."""
        return {"done": self.done, "rate": self._rate.of(self.done), "p99_ms": p99_ms(self.batches)}


class Meter:
    """All counters of one running graph."""

    def __init__(self) -> None:
        self.steps: list[StepMeter] = []
        self.progress = Progress()
        self.stored_rows: Counter[str] = Counter()
        self.conservation = Conservation()
        self.store, self.live = Sink(), Sink()
        self.taps = Taps()

    def step(self, step: Step, edges: list[Edge]) -> StepMeter:
        """Add the meter of a step, in the order of the pipe."""
        sinks: dict[str, list[str]] = {}
        for edge in edges:
            if edge.step == step.id:
                sinks.setdefault(edge.port, []).append(edge.sink)
        meter = StepMeter(step, sinks, self.conservation, self.taps.add(step))
        self.steps.append(meter)
        return meter

    def standing(self, device_id: str, import_id: str) -> dict[str, Any]:
        """Say how far an import of history has come; see Standing. Empty where no node takes history."""
        for step in self.steps:
            if isinstance(step.logic, TakesHistory):
                found: dict[str, Any] = msgspec.to_builtins(step.logic.standing(device_id, import_id))
                return found
        return {}

    @property
    def headless(self) -> int:
        """Count chunks of history that were left out, because some before them never came."""
        return sum(step.logic.counts["out of sequence"] for step in self.steps if step.logic)

    def _astray(self) -> str:
        """Name the step that lost or doubled readings, or else the store if the sum does not close."""
        astray = [step.step.id for step in self.steps if step.astray]
        return astray[0] if astray else "store" if self.conservation.read()["unexplained"] else ""

    def read(self) -> dict[str, Any]:
        """Say all of it."""
        nodes, progress = [step.read() for step in self.steps], self.progress
        return {
            "nodes": nodes,
            "dirty": sum(node["state"].get("dirty", 0) for node in nodes),
            "read_seq": progress.read,
            "stored_seq": progress.stored,
            "committed_seq": progress.committed,
            "store": {
                **self.store.read(),
                "rows": dict(self.stored_rows),
                **self.conservation.at_the_store(),
                "fence_behind": max(0, progress.stored - progress.fenced),
                "waiting": progress.waiting,
                "waiting_since": iso(progress.since) if progress.waiting else None,
                "attempts": progress.attempts if progress.waiting else 0,
                "next_try": iso(progress.next_try) if progress.waiting else None,
            },
            "live": self.live.read(),
            "conservation": self.conservation.read(),
            "astray": self._astray(),
            "taps": self.taps.read(),
        }


def count_own(items: list[Any]) -> int:
    """Count the journal's own items, ticks and starts; the others are what devices and users sent."""
    return sum([type(item) in _OWN for item in items])
