"""From a checked graph to a Bytewax dataflow.

A batch of the journal stays one item all the way: each step takes its list and gives one list a port. So a
store sink can tell when every port's piece of a batch is there, and one batch becomes one transaction.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

import bytewax.operators as op
import msgspec
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import FixedPartitionedSink

from flows.graph import Graph, Step
from flows.nodes.ports import PIPE_KEY, Logic, Ports, Snapshot
from flows.telemetry.meter import Meter, StepMeter, count_own

FLOW_ID = "heat_pump"

Keyed = tuple[str, Any]


class Batch(msgspec.Struct):
    """Items on their way down the pipe.

    seq : of the last frame they came from.
    own : how many of them are ticks and starts, which every step passes on; None: not counted yet.
    """

    seq: int
    items: list[Any]
    own: int | None = None


class Piece(msgspec.Struct):
    """What one batch sent to a sink by one port."""

    seq: int
    port: str
    items: list[Any]


def build(
    graph: Graph,
    source: FixedPartitionedSource[Keyed, Any],
    sinks: dict[str, FixedPartitionedSink[Any, Any]],
    meter: Meter,
) -> Dataflow:
    """Wire a dataflow. sinks: by name; ports that lead to any other name end there."""
    flow = Dataflow(FLOW_ID)
    pipe: Any = op.input("journal", flow, source)
    pieces: dict[str, list[Any]] = {name: [] for name in sinks}
    for step in graph.steps:
        measured = meter.step(step, graph.edges)
        outputs = _step(step, pipe, measured)
        for edge in graph.edges:
            if edge.step == step.id and edge.sink in pieces:
                name = f"{edge.step}_{edge.port}_to_{edge.sink}"
                pieces[edge.sink].append(op.map(name, outputs, _piece(edge.port, edge.name)))
        pipe = op.map(f"{step.id}_pipe", outputs, _down(step.node.out[0]))
    for name, streams in pieces.items():
        op.output(name, op.merge(f"{name}_pieces", *streams), sinks[name])
    return flow


def step_ids(graph: Graph) -> dict[str, Step]:
    """Steps that keep state, by the id under which Bytewax saves it."""
    return {f"{FLOW_ID}.{step.id}": step for step in graph.steps if step.node.version}


def _step(step: Step, pipe: Any, meter: StepMeter) -> Any:
    if step.node.version:
        return op.stateful_batch(step.id, pipe, lambda saved: _Stateful(step, saved, meter))
    logic = step.node.recover(step.params, None)
    meter.begin(logic)
    return op.map(step.id, pipe, lambda keyed: (keyed[0], _run(logic, step.node.out, keyed[1], meter)))


class _Stateful(StatefulBatchLogic[Batch, "_Bundle", Snapshot]):
    """Runs a node's logic in Bytewax and lets it save the node's state."""

    def __init__(self, step: Step, saved: Snapshot | None, meter: StepMeter) -> None:
        self._logic = step.node.recover(step.params, saved)
        meter.begin(self._logic)
        self._ports, self._meter = step.node.out, meter

    def on_batch(self, values: list[Batch]) -> tuple[Iterable["_Bundle"], bool]:
        return [_run(self._logic, self._ports, batch, self._meter) for batch in values], False

    def snapshot(self) -> Any:
        saved = self._logic.snapshot()
        if saved is not None:
            self._meter.state_bytes = len(saved[1]) + sum(map(len, saved[2].values()))
        return saved


class _Bundle(msgspec.Struct):
    """What a step made of one batch, by port."""

    seq: int
    own: int
    out: Ports


def _run(logic: Logic, ports: tuple[str, ...], batch: Batch, meter: StepMeter) -> _Bundle:
    out: Ports = {port: [] for port in ports}
    tap = meter.tap
    looks = tap.before(batch.seq, batch.items, logic.counts) if tap.armed else None
    started = time.perf_counter()
    logic.on_items(batch.items, out)
    seconds = time.perf_counter() - started
    own = count_own(batch.items) if batch.own is None else batch.own
    meter.add(batch.seq, batch.items, out, own, seconds)
    if looks:
        tap.after(batch.seq, looks, out, logic.counts)
    return _Bundle(batch.seq, own, out)


def _down(port: str) -> Callable[[Keyed], Keyed]:
    return lambda keyed: (PIPE_KEY, Batch(keyed[1].seq, keyed[1].out[port], keyed[1].own))


def _piece(port: str, name: str) -> Callable[[Keyed], Keyed]:
    return lambda keyed: (PIPE_KEY, Piece(keyed[1].seq, name, keyed[1].out[port]))
