"""A trace: one reading's way from the journal to the store, with times."""

import time
from collections import deque
from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from flows.graph import Step
from flows.model.frame import Frame
from flows.model.reading import ORDER_STEP
from flows.model.times import iso

MOST_TRACES = 10


class Stop(msgspec.Struct):
    """What one node did to it; passed: a tap.Passed. ms: when, since arrival."""

    step: Step
    passed: Any
    ms: float = 0.0


class Trace(msgspec.Struct):
    """One message of a device, followed by its last reading.

    seq   : of its frame.
    first : order of its first reading; order: of the one that is followed.
    batch : seq of the batch that it travels in.
    place : index of the step that it comes to next; held: it waits in that step.
    ended : the side port in which its way ended.
    began : when it was read [perf_counter s], which was `lag_ms` after its arrival.
    stored, sent : when the store had it, when the live sink published it, None before. [perf_counter s]
    """

    frame: Frame
    batch: int
    order: int
    began: float
    lag_ms: float
    place: int = 0
    held: bool = False
    ended: str = ""
    stops: list[Stop] = []
    stored: float | None = None
    sent: float | None = None
    rows: list[str] = []

    @property
    def first(self) -> int:
        """Order of the message's first reading."""
        return self.frame.seq * ORDER_STEP

    def stop(self, stop: Stop, batch: int, pipe: str) -> None:
        """Add what a node did. batch: in which; pipe: the port that leads on."""
        passed = stop.passed
        stop.ms = self.since(time.perf_counter())
        if self.held:
            self.stops[-1] = stop  # at once: other threads read
        else:
            self.stops.append(stop)
        self.batch = batch
        if passed.after is not None:
            self.order = passed.after.first
        self.held = False
        if passed.port == pipe and passed.after is not None:
            self.place += 1
        elif passed.port and passed.port != pipe:
            self.ended = passed.port
        else:
            self.held = True

    def is_stored(self, rows: list[str]) -> None:
        """Take note that the store has what came of it; not while it waits in a node."""
        if not self.held:
            self.stored, self.rows = time.perf_counter(), sorted(set(rows))

    def since(self, at: float) -> float:
        """Time from arrival to an instant. [ms]"""
        return round(self.lag_ms + (at - self.began) * 1000, 2)

    def told(self, synced: float | None) -> dict[str, Any]:
        """Say all but the nodes."""
        frame = self.frame
        return {
            "device_id": frame.topic.split("/")[1],
            "seq": frame.seq,
            "arrived": iso(frame.arrived),
            "topic": frame.topic,
            "bytes": frame.original_bytes or len(frame.payload),
            "qos": frame.qos,
            "retained": frame.retain,
            "synced_ms": synced,
            "done": self.stored is not None,
            "ended": self.ended,
            "waits_in": self.stops[-1].step.id if self.held else "",
            "live_ms": None if self.sent is None else self.since(self.sent),
            "stored_ms": None if self.stored is None else self.since(self.stored),
            "rows": self.rows,
        }


class Following:
    """The newest messages of one device. until: when nobody asks any more, monotonic. [s]"""

    MOST: ClassVar[int] = 8
    """Devices at once; another takes the place of the one asked for longest ago."""

    def __init__(self, device_id: str) -> None:
        self.device_id, self.until = device_id, 0.0
        self.traces: deque[Trace] = deque(maxlen=MOST_TRACES)

    def begin(self, frame: Frame, batch: int) -> Trace:
        """Begin to follow a message, which has come to the first node; its payload is not kept."""
        now, lag = time.perf_counter(), time.time_ns() / 1e6 - frame.arrived
        size = frame.original_bytes or len(frame.payload)
        kept = msgspec.structs.replace(frame, payload=b"", original_bytes=size)
        trace = Trace(kept, batch, frame.seq * ORDER_STEP, now, max(0.0, lag))
        self.traces.append(trace)
        return trace

    def open_at(self, index: int) -> Iterator[Trace]:
        """List the messages whose way goes through a step next."""
        return (trace for trace in self.traces if trace.place == index and not trace.ended and trace.stops)

    def pick(self, after: int | None) -> Trace | None:
        """Give the newest message whose way is done, or else under way; behind a number the first of them."""
        known = [trace for trace in self.traces if after is None or trace.frame.seq > after]
        done = [trace for trace in known if trace.stored is not None] or known
        if not done:
            return None
        return done[-1] if after is None else done[0]
