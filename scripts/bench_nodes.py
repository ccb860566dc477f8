"""Measure what each node costs: python scripts/bench_nodes.py [--payload measured|contract] [--refrigerant R290].

Reads the messages of a fleet of 1 000 devices as the journal would give them: batches of 1 000 frames at one
reading a message and of 100 at thirty, a tick every 10 000 readings. Prints the CPU microseconds a reading of each
node, of the engine around them (Bytewax, meter, wiring: a whole run into nothing, less the nodes), and of the live
sink where everything is fresh and where nothing is (a backlog). Process time, the least of several runs.
"""

import argparse
import gc
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from bytewax.run import cli_main
from lib.fleet import Fleet, Payload, Pump
from lib.watching import cpu_model, version_of

from flows.build import Batch, Piece, build
from flows.graph import Graph, load_graph
from flows.main import GC_THRESHOLDS
from flows.model.device import DeviceMetadata, MetadataChanged
from flows.model.frame import Frame, FrameKind, Tick
from flows.model.times import now_ms
from flows.nodes.ports import PIPE_KEY
from flows.sinks.live import LivePartition
from flows.telemetry.meter import Meter

GRAPH = Path(__file__).parent.parent / "flows" / "graphs" / "heat_pump.toml"
DEVICES = 1_000
TICK_EVERY = 10_000
FRAMES_A_BATCH = {1: 1_000, 30: 100}


def main() -> None:
    """Measure and print a Markdown table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=30, help="readings a device; a multiple of 30")
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--payload", type=Payload, default=Payload.measured, choices=list(Payload))
    arguments.add_argument("--refrigerant", default="", help="set it for every device, for example R290")
    given = arguments.parse_args()
    graph, columns = load_graph(GRAPH), {}
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)  # as the flow does
    for per_message in FRAMES_A_BATCH:
        batches = list(make_batches(given.rounds, per_message, given.payload))
        if given.refrigerant:
            batches.insert(0, everywhere(given.refrigerant))
        columns[per_message] = measure(graph, batches, DEVICES * given.rounds, given.runs)
    refrigerant = given.refrigerant or "unknown"
    print(f"{DEVICES * given.rounds} readings, payload {given.payload}, refrigerant {refrigerant}")
    versions = (f"{name} {version_of(name)}" for name in ("heat-pump-monitor", "bytewax", "msgspec", "numpy"))
    print(f"{', '.join(versions)}, Python {sys.version.split()[0]}; {cpu_model()}\n")
    print("| CPU µs a reading | " + " | ".join(f"{n} a message" for n in columns) + " |")
    print("|---|" + "---|" * len(columns))
    for name in columns[1]:
        print(f"| {name} | " + " | ".join(f"{column[name]:.2f}" for column in columns.values()) + " |")


def make_batches(rounds: int, per_message: int, payload: Payload) -> Iterator[Batch]:
    """Make frames as the journal's reader gives them. The devices' clocks end about now."""
    now = now_ms()
    frames: list[Any] = []
    size = FRAMES_A_BATCH[per_message]
    for seq, (topic, data) in enumerate(Fleet(DEVICES, rounds, now, payload).messages(per_message), start=1):
        frames.append(Frame(seq, FrameKind.MESSAGE, now, topic, data))
        if seq * per_message % TICK_EVERY < per_message:
            frames.append(Tick(seq, seq * per_message // TICK_EVERY, now))
        if len(frames) >= size:
            yield Batch(seq, frames)
            frames = []


def everywhere(refrigerant: str) -> Batch:
    """Tell every device's refrigerant, as the effect of a command does."""
    history = [DeviceMetadata(refrigerant=refrigerant)]
    return Batch(0, [MetadataChanged(Pump(n).device_id, 0, history, None) for n in range(DEVICES)])


def measure(graph: Graph, batches: list[Batch], readings: int, runs: int) -> dict[str, float]:
    """Say what each part costs. [CPU µs a reading]"""
    found = [measure_once(graph, batches) for _ in range(runs)]
    least = {name: min(each[name] for each in found) for name in found[0]}
    nodes = sum(least[step.id] for step in graph.steps)
    least["the whole pipe"] = min(timed(lambda: run(graph, batches)) for _ in range(runs))
    least["of it the engine"] = least["the whole pipe"] - nodes
    return {name: 1e6 * seconds / readings for name, seconds in least.items()}


def measure_once(graph: Graph, batches: list[Batch]) -> dict[str, float]:
    """Run the nodes without an engine. [CPU s]"""
    logics = {step.id: step.node.recover(step.params, None) for step in graph.steps}
    spent: Counter[str] = Counter()
    fresh, backlog = LivePartition(Nobody()), LivePartition(Nobody())
    for batch in batches:
        items, readings = batch.items, []
        for step in graph.steps:
            out: dict[str, list[Any]] = {port: [] for port in step.node.out}
            spent[step.id] += timed(logics[step.id].on_items, items, out)
            items = out[step.node.out[0]]
            readings += out.get("live", [])
        piece = Piece(batch.seq, "derive.live", readings)
        now = now_ms()
        for reading in readings:
            reading.arrived = now
        spent["live sink, all fresh"] += timed(fresh.write_batch, [piece])
        for reading in readings:
            reading.arrived = now - 3_600_000
        spent["live sink, nothing fresh"] += timed(backlog.write_batch, [piece])
    spent["their states saved once"] = timed(lambda: [logic.snapshot() for logic in logics.values()])
    return spent


class Nobody:
    """A broker that takes everything and does nothing."""

    def publish(self, topic: str, payload: bytes, qos: int) -> bool:
        return True


class Given(FixedPartitionedSource[tuple[str, Batch], int], StatefulSourcePartition[tuple[str, Batch], int]):
    """A source of batches that are there."""

    def __init__(self, batches: list[Batch]) -> None:
        self._batches = iter(batches)

    def list_parts(self) -> list[str]:
        return ["given"]

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> "Given":
        return self

    def next_batch(self) -> list[tuple[str, Batch]]:
        return [(PIPE_KEY, next(self._batches))]

    def snapshot(self) -> int:
        return 0


class Away(FixedPartitionedSink[Piece, None], StatefulSinkPartition[Piece, None]):
    """A sink that drops what it gets."""

    def list_parts(self) -> list[str]:
        return ["away"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "Away":
        return self

    def write_batch(self, values: list[Piece]) -> None:
        pass

    def snapshot(self) -> None:
        pass


def run(graph: Graph, batches: list[Batch]) -> None:
    """Run the graph under Bytewax, without sinks and recovery."""
    cli_main(build(graph, Given(batches), {"store": Away(), "live": Away()}, Meter()))


def timed(work: Callable[..., object], *given: object) -> float:
    """Seconds of CPU that something takes."""
    start = time.process_time()
    work(*given)
    return time.process_time() - start


if __name__ == "__main__":
    main()
