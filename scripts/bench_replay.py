#!/usr/bin/env python
"""How long a device-year takes from a recording into a store: every node, all rollups, retention as in service.

    .venv/bin/python scripts/bench_replay.py
    .venv/bin/python scripts/bench_replay.py --days 30 --ticks second

Makes a recording of one heat pump (scripts/lib/fleet.py), a reading every 10 s, 30 a message, and runs
`heatpump replay --into` on it. A flow ticks every second it is subscribed; --ticks message leaves out those
between two messages, as a CSV that is replayed does.
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).parent.parent))

from flows.journal.recording import Head, write_recording
from flows.model.frame import Frame, FrameKind, Start, start_payload, tick_payload
from flows.model.times import DAY_MS
from flows.store import open_reader
from scripts.lib.fleet import STEP_MS, Payload, Pump
from scripts.lib.watching import cpu_model, version_of

BEGAN = 1_735_689_600_000
"""2025-01-01."""


class Ticks(StrEnum):
    """How often the recording ticks."""

    second = "second"
    message = "message"


def main(
    days: Annotated[float, typer.Option(min=0.01, help="How much of a year.")] = 365.0,
    per_message: Annotated[int, typer.Option(min=1, help="Readings a message.")] = 30,
    ticks: Annotated[Ticks, typer.Option(help="Ticks every second, or one with each message.")] = Ticks.second,
    payload: Annotated[Payload, typer.Option(help="Which reading.")] = Payload.contract,
) -> None:
    """Make the recording, replay it, print what it took and whether everything was stored."""
    count = int(days * DAY_MS / STEP_MS) // per_message * per_message
    print(f"days {days:g}, {count} readings, {per_message} a message, ticks each {ticks}, payload {payload}")
    versions = (f"{name} {version_of(name)}" for name in ("heat-pump-monitor", "bytewax", "msgspec", "numpy"))
    print(f"{', '.join(versions)}, Python {sys.version.split()[0]}; {cpu_model()}")
    with tempfile.TemporaryDirectory(prefix="bench-replay-") as scratch:
        recording, store = Path(scratch) / "year.hpr", Path(scratch) / "year.sqlite"
        began = time.monotonic()
        head = Head("0" * 32, BEGAN, BEGAN + round(days * DAY_MS) + 1, (), "bench")
        found = write_recording(recording, head, frames(count, per_message, ticks, payload), lambda _: None)
        size = recording.stat().st_size
        print(f"recording: {found.frames} frames, {size / 1e6:.1f} MB, {time.monotonic() - began:.1f} s to make")
        began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [Path(sys.executable).parent / "heatpump", "replay", recording, "--into", store]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        each = cpu / count * 1e6
        print(f"replay: {wall:.1f} s, CPU {cpu:.1f} s, {each:.1f} µs a reading, {count / wall:.0f} a second")
        print(f"most memory {after.ru_maxrss / 1e3:.0f} MB, store {store.stat().st_size / 1e6:.1f} MB")
        check(store, count)


def frames(count: int, per_message: int, ticks: Ticks, payload: Payload) -> Iterator[Frame]:
    """Give the frames that a flow would have journaled."""
    pump, seq, tick, at = Pump(1), 1, 0, BEGAN
    yield Frame(1, FrameKind.START, at, payload=start_payload(Start(0, 0)))
    for _ in range(count // per_message):
        texts = []
        for _ in range(per_message):
            at += STEP_MS
            texts.append(pump.text(at, payload))
        until = (at - BEGAN) // 1000
        for second in range(tick + 1, until + 1) if ticks is Ticks.second else (until,):
            seq += 1
            yield Frame(seq, FrameKind.TICK, BEGAN + second * 1000, payload=tick_payload(second))
        tick, seq = until, seq + 1
        body = texts[0] if per_message == 1 else f"[{','.join(texts)}]"
        yield Frame(seq, FrameKind.MESSAGE, at, f"heatpump/{pump.device_id}/data", body.encode(), 1)
    yield Frame(seq + 1, FrameKind.TICK, at + 1000, payload=tick_payload(tick + 1))


def check(store: Path, count: int) -> None:
    """Hold what is stored against what was recorded; raw rows older than 30 days are gone by then."""
    with closing(open_reader(store)) as reader:
        dead = reader.dead_letters(None, None, None, 10)
        days = reader.rollups("pump00001", "1d", 0, 1 << 53, 1_000)
        hours = reader.rollups("pump00001", "1h", 0, 1 << 53, 10_000)
        minutes = reader.rollups("pump00001", "1m", 0, 1 << 53, 1_000_000)
        raw = reader.stats().total_readings
    counted = sum(row.count for row in hours)
    print(f"stored: {raw} raw, {len(minutes)} minutes, {len(hours)} hours, {len(days)} days; {len(dead)} dead")
    print(f"the closed hours count {counted} of {count} readings")
    assert not dead and count - counted <= 3_600_000 // STEP_MS + 1


if __name__ == "__main__":
    typer.run(main)
