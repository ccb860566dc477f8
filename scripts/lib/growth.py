"""Samples of a long run: memory, handles and sizes over time, and whether memory and handles stay flat."""

import time
from typing import Any, NamedTuple

import psutil
from rich.table import Table

from scripts.lib.fleet import STEP_MS, Pump
from scripts.lib.watching import Watched, console, folder_mb
from tests.ledger.load import Message
from tests.ledger.processes import Publisher, Site, wait_until

PROCESSES = ("flow", "api")
YOUNG_S = 30.0
"""So long after its start a process still loads and fills caches."""

HISTORY = 500_000
IN_A_MESSAGE = 50
AT_ONCE = 200

FIRST_PART = 1 / 3
MOST_HANDLES = 8


def flat(most: float) -> str:
    """Say what counts as flat. most: growth as a share."""
    return (
        f"flat: least squares over all but the first third of the samples, younger processes than {YOUNG_S:.0f} s "
        f"aside, rise by at most {most:.0%}; handles differ by at most {MOST_HANDLES}"
    )


class Sample(NamedTuple):
    """at_s: since the begin [s]; processes by name: memory [MB], handles, age [s]; sizes [MB]."""

    at_s: float
    memory: dict[str, float]
    handles: dict[str, int]
    age_s: dict[str, float]
    sizes: dict[str, float]
    dirty: int
    backlog: int


class Growth:
    """Takes samples of a running site."""

    def __init__(self, site: Site) -> None:
        self._site, self._began = site, time.monotonic()
        self.samples: list[Sample] = []

    def sample(self) -> Sample | None:
        """Take one; none while flow or api is being started again."""
        pipeline: dict[str, Any] = self._site.get("/api/pipeline")
        try:
            watched = [Watched(name, self._site.children[name].pid) for name in PROCESSES]
            memory = {process.name: process.rss_mb for process in watched}
            handles = {process.name: process.handles for process in watched}
            age = {process.name: process.age_s for process in watched}
        except psutil.NoSuchProcess:
            return None
        if not pipeline:
            return None
        data = self._site.data
        sizes = {name: folder_mb(data / name) for name in ("journal", "recovery")}
        sizes["store"] = sum(file.stat().st_size for file in data.glob("store.sqlite*")) / 1e6
        at = time.monotonic() - self._began
        self.samples.append(Sample(at, memory, handles, age, sizes, pipeline["dirty"], pipeline["backlog"]))
        return self.samples[-1]

    def show(self) -> None:
        """Print all samples."""
        sizes = ("journal", "recovery", "store")
        table = Table("min", *(f"{name} MB" for name in PROCESSES), *(f"{name} handles" for name in PROCESSES))
        for name in (*(f"{name} MB" for name in sizes), "dirty", "backlog"):
            table.add_column(name)
        for sample in self.samples:
            cells = [f"{sample.at_s / 60:.1f}"]
            cells += [f"{sample.memory[name]:.0f}" for name in PROCESSES]
            cells += [str(sample.handles[name]) for name in PROCESSES]
            cells += [f"{sample.sizes[name]:.1f}" for name in sizes]
            table.add_row(*cells, str(sample.dirty), str(sample.backlog))
        console.print(table)

    def peak_mb(self, name: str) -> float:
        """The most memory that a sample has seen. [MB]"""
        return max(sample.memory[name] for sample in self.samples)

    def troubles(self, most: float) -> list[str]:
        """Say what is not flat; prints the slopes."""
        found = []
        for name in PROCESSES:
            counted = [sample for sample in self.samples if sample.age_s[name] >= YOUNG_S]
            counted = counted[int(len(counted) * FIRST_PART) :]
            if len(counted) < 3:
                console.print(f"{name}: too short a run to judge growth", highlight=False)
                continue
            times = [sample.at_s / 3600 for sample in counted]
            memory = [sample.memory[name] for sample in counted]
            handles = [sample.handles[name] for sample in counted]
            per_hour, mean = slope(times, memory), sum(memory) / len(memory)
            grown = per_hour * (times[-1] - times[0])
            console.print(
                f"{name}: {mean:.1f} MB, {per_hour:+.2f} MB an hour ({grown:+.1f} MB in "
                f"{(times[-1] - times[0]) * 60:.0f} min); handles {min(handles)} to {max(handles)}",
                highlight=False,
            )
            if grown > most * mean:
                found.append(f"{name}: memory grows by {grown:.1f} MB, {grown / mean:.1%}")
            if max(handles) - min(handles) > MOST_HANDLES:
                found.append(f"{name}: file handles from {min(handles)} to {max(handles)}")
        return found


def fill(site: Site, publisher: Publisher, pumps: list[Pump], readings: int) -> None:
    """Give the store a past larger than its cache, so that a cache that fills is not taken for growth."""
    turns = readings // len(pumps) // IN_A_MESSAGE * IN_A_MESSAGE
    start = time.time_ns() // 1_000_000 - turns * STEP_MS
    messages = ((first, pump) for first in range(0, turns, IN_A_MESSAGE) for pump in pumps)
    for number, (first, pump) in enumerate(messages, 1):
        texts = (pump.text(start + turn * STEP_MS) for turn in range(first, first + IN_A_MESSAGE))
        payload = f"[{','.join(texts)}]".encode()
        publisher.send(Message(pump.device_id, f"heatpump/{pump.device_id}/data", payload))
        if number % AT_ONCE == 0:
            publisher.wait_acknowledged()
            wait_until("the past is stored", site.is_idle)


def slope(x: list[float], y: list[float]) -> float:
    """Least squares: by how much y rises a unit of x."""
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread
