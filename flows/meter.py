"""Counts what passes every node and port; read by the pipeline page, published once a second. Never stored."""

import time
from collections import Counter, deque
from typing import Any, Protocol, runtime_checkable

import msgspec

from flows.conservation import FATES, Conservation
from flows.graph import SOURCE, Edge, Step
from flows.model.frame import Start, Tick
from flows.model.history import Standing
from flows.nodes.ports import Logic, Ports

_SAMPLES = 512
_OWN = frozenset((Tick, Start))


class StepMeter:
    """Counters of one step since the process started. rate: readings, status, alerts and commands a second."""

    def __init__(self, step: Step, sinks: dict[str, list[str]], books: Conservation) -> None:
        self.step, self._sinks, self._books = step, sinks, books
        self.logic: Logic | None = None
        self._fates = dict.fromkeys(FATES, 0)
        self.took = 0
        self.gave: dict[str, int] = dict.fromkeys(step.node.out, 0)
        self._seconds: deque[float] = deque(maxlen=_SAMPLES)
        self._last: tuple[float, int] = (time.monotonic(), 0)
        self._rate = 0.0

    def begin(self, logic: Logic) -> None:
        """Take the logic at work, new or recovered."""
        self.logic = logic
        self._fates["pending"] = logic.counts["pending"]
        self._books.recovered(logic.counts["pending"])

    def add(self, seq: int, took: int, out: Ports, own: int, seconds: float) -> None:
        """Count one batch. own: how many of the items taken, and passed on, are the journal's own."""
        self.took += took - own
        for port, given in out.items():
            self.gave[port] += len(given)
        self.gave[self.step.node.out[0]] -= own
        self._seconds.append(seconds)
        if self.logic is not None:
            before, counts = self._fates, self.logic.counts
            self._fates = {fate: counts[fate] for fate in FATES}
            self._books.happened(seq, {fate: self._fates[fate] - before[fate] for fate in FATES})

    def read(self) -> dict[str, Any]:
        """Say what a page shows.

        up, sinks : where it is fed from, and the sinks of each port: with `up` of the others, the graph.
        p99_ms    : of a batch; state: sizes; counts: dropped, duplicate, fields removed by reason …
        """
        now, (then, took) = time.monotonic(), self._last
        if now - then >= 0.9:
            self._rate = (self.took - took) / (now - then)
            self._last = (now, self.took)
        ordered = sorted(self._seconds)
        p99 = ordered[int(len(ordered) * 0.99)] if ordered else 0.0
        return {
            "step": self.step.id,
            "node": self.step.node.name,
            "up": self.step.up or SOURCE,
            "sinks": self._sinks,
            "in": self.took,
            "out": dict(self.gave),
            "rate": round(self._rate, 2),
            "p99_ms": round(p99 * 1000, 3),
            "state": self.logic.sizes() if self.logic else {},
            "counts": dict(self.logic.counts) if self.logic else {},
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
    waiting   : why the store sink waits, "" while it does not.
    stop      : ask the source to end.
    """

    read: int = 0
    arrived: int = 0
    stored: int = 0
    committed: int = 0
    waiting: str = ""
    stop: bool = False


class Meter:
    """All counters of one running graph."""

    def __init__(self) -> None:
        self.steps: list[StepMeter] = []
        self.progress = Progress()
        self.stored_rows: Counter[str] = Counter()
        self.conservation = Conservation()

    def step(self, step: Step, edges: list[Edge]) -> StepMeter:
        """Add the meter of a step, in the order of the pipe."""
        sinks: dict[str, list[str]] = {}
        for edge in edges:
            if edge.step == step.id:
                sinks.setdefault(edge.port, []).append(edge.sink)
        meter = StepMeter(step, sinks, self.conservation)
        self.steps.append(meter)
        return meter

    def standing(self, device_id: str, import_id: str) -> dict[str, Any]:
        """Say how far an import of history has come; see Standing. Empty where no node takes history."""
        for step in self.steps:
            if isinstance(step.logic, TakesHistory):
                found: dict[str, Any] = msgspec.to_builtins(step.logic.standing(device_id, import_id))
                return found
        return {}

    def read(self) -> dict[str, Any]:
        """Say all of it."""
        nodes = [step.read() for step in self.steps]
        return {
            "nodes": nodes,
            "dirty": sum(node["state"].get("dirty", 0) for node in nodes),
            "read_seq": self.progress.read,
            "stored_seq": self.progress.stored,
            "committed_seq": self.progress.committed,
            "store": {"waiting": self.progress.waiting, "rows": dict(self.stored_rows)},
            "conservation": self.conservation.read(),
        }


def count_own(items: list[Any]) -> int:
    """Count the journal's own items, ticks and starts; the others are what devices and users sent."""
    return sum([type(item) in _OWN for item in items])
