"""The simulator as a module, its rows, and sums over them that use nothing of its own."""

from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from typing import Any

from flows.demo.simulated import simulator as load

DAY_MS = 86_400_000
JANUARY_MS = 1_767_571_200_000  # 2026-01-05
Row = dict[str, Any]


@cache
def simulator() -> Any:
    """The script, imported once."""
    return load()


def device(
    profile: str = "terrace", seed: int = 1, start_ms: int = JANUARY_MS, faults: str = "", **more: Any
) -> Any:
    """A simulated device; faults and events as on the command line, separated by blanks."""
    script = simulator()
    known = {**script.FAULTS, **script.EVENTS}
    changes = [script.parse_change(text, start_ms, known) for text in faults.split()]
    return script.Device("site1", script.PROFILES[profile], seed, start_ms, changes, **more)


def rows(what: Any, days: float, interval_s: float = 60.0, start_ms: int = JANUARY_MS) -> list[Row]:
    """What a device measures in so many days; each row has its `time` too."""
    span = simulator().rows(what, start_ms, start_ms + int(days * DAY_MS), interval_s)
    return [{**row, "time": ms} for ms, row in span]


def heat_w(row: Row) -> float:
    """Heat that the published water carries: flow, both temperatures, and water's 4.15 MJ/(m3 K) around 35 C. [W]"""
    return row["flow_rate"] * 69.2 * (row["temp_outlet"] - row["temp_inlet"])


def kwh(powers: Iterable[float], interval_s: float = 60.0) -> float:
    """Energy of evenly spaced powers. [W -> kWh]"""
    return sum(powers) * interval_s / 3.6e6


def starts(measured: list[Row], flag: str = "compressor_running") -> int:
    """How often a flag went up."""
    return sum(now[flag] and not before[flag] for before, now in pairwise(measured))


def runs(measured: list[Row]) -> list[Row]:
    """Rows of the compressor heating, not defrosting, once it has settled for ten minutes."""
    settled, since = [], None
    for row in measured:
        heats = row["compressor_running"] and not row["defrost_active"]
        since = (row["time"] if since is None else since) if heats else None
        if since is not None and row["time"] - since >= 600_000:
            settled.append(row)
    return settled


def mean(values: Iterable[float]) -> float:
    """The mean of at least one value."""
    listed = list(values)
    return sum(listed) / len(listed)
