"""One simulated house as a process: python -m flows.demo.simulated TASK. Its past into files, then live by MQTT.

A simulated device is the same at the same time however it got there, so nothing jumps. Files appear whole, under
`history_file`. Complaints go to stderr; SIGTERM ends it, without its being called offline: the demo rests.
"""

import importlib.util
import math
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np

from flows.child import die_with_parent
from flows.demo.sites import LIVE_MS, SITES, Began, Site, Span
from flows.errors import ConfigError
from flows.model.table import Table
from flows.model.times import now_ms

MOST_AT_ONCE = 100
"""Readings in one message."""

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "simulate_device.py"


class Task(msgspec.Struct, frozen=True):
    """What to do for one site.

    past, recent : spans of history that are wanted, each oldest first.
    live         : when the first live reading is due; what is late comes fast. [ms since 1970, UTC]
    user         : sent where MQTT_PASSWORD is set.
    ca           : file of the broker's CA; "": without TLS.
    """

    device_id: str
    began: Began
    past: list[Span]
    recent: list[Span]
    live: int
    folder: str
    broker: str
    port: int
    user: str
    ca: str


def history_file(folder: Path, device_id: str, part: str) -> Path:
    """Where a part of a device's history appears."""
    return folder / f"{device_id}-{part}.npz"


def read_history(file: Path) -> Table:
    """Read such a file."""
    with np.load(file) as parts:
        return Table(parts["at"], tuple(map(str, parts["names"])), parts["values"])


def simulator() -> Any:
    """Load the simulator, a script of its own. Raises ConfigError where the project's scripts are not there."""
    spec = importlib.util.spec_from_file_location("simulate_device", SCRIPT)
    if spec is None or spec.loader is None or not SCRIPT.exists():
        raise ConfigError("demo", str(SCRIPT), "is missing: the demo needs the project's folder, as it is cloned")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def device_of(script: Any, site: Site, began: Began) -> Any:
    """Make the simulated device of a site, as it is at the demo's first reading."""
    changes = [
        script.Change(event.name, event.size, began.at - round(event.days_ago * 86_400_000), script.NEVER_MS)
        for event in site.events
    ]
    return script.Device(site.device_id, script.PROFILES[site.profile], site.seed, began.start, changes)


def simulate(script: Any, device: Any, spans: list[Span], is_over: Callable[[], bool] = lambda: False) -> Table:
    """Measure spans, which must be later than what was measured before; rows stay empty once it is over."""
    names = tuple(script.columns(device))
    at = np.array([ms for span in spans for ms in range(*span)], np.int64)
    values = np.full((len(at), len(names)), np.nan)
    for row, ms in enumerate(at.tolist()):
        if is_over():
            break
        sample = device.sample(ms) or {}
        values[row] = [sample.get(name, math.nan) for name in names]
    return Table(at, names, values)


def main() -> int:
    """See the module. What is newest comes first: life, behind it the last days, then the months before."""
    die_with_parent()
    task = msgspec.json.decode(sys.argv[1], type=Task)
    stop = threading.Event()
    script = simulator()
    site = next(site for site in SITES if site.device_id == task.device_id)
    device = device_of(script, site, task.began)
    device.pump.advance(task.recent[0].start if task.recent else task.live)
    recent = deepcopy(device)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with ThreadPoolExecutor(1) as pool:
        life = pool.submit(_live, script, device, task, stop)
        if task.recent:
            _write(task, "recent", simulate(script, recent, task.recent, stop.is_set))
        if task.past:
            past = device_of(script, site, task.began)
            _write(task, "past", simulate(script, past, task.past, stop.is_set))
        refused = life.result()
    if refused:
        print(refused, file=sys.stderr)  # noqa: T201
    return 1 if refused else 0


def _live(script: Any, device: Any, task: Task, stop: threading.Event) -> str:
    """Publish until stopped; what is late comes in arrays, as of a device that was offline.

    Returns why the broker refused, or "".
    """
    password = os.environ.get("MQTT_PASSWORD", "")
    options = SimpleNamespace(broker=task.broker, port=task.port, user=task.user, password=password, ca=task.ca)
    link = script.Connection(options, [device], stop)
    link.open()
    due = task.live
    while not stop.is_set():
        late_ms = now_ms() - due
        if late_ms < 0 or link.full:
            stop.wait(max(-late_ms / 1000, 0.05))
            continue
        behind = [device.reading(due + ms) for ms in range(0, min(late_ms + 1, MOST_AT_ONCE * LIVE_MS), LIVE_MS)]
        sent = behind if len(behind) > 1 else behind[0]
        link.send(f"heatpump/{task.device_id}/data", msgspec.json.encode(sent).decode())
        due += len(behind) * LIVE_MS
    link.close(says_offline=False)
    refused: str = link.refused
    return refused


def _write(task: Task, part: str, table: Table) -> None:
    file = history_file(Path(task.folder), task.device_id, part)
    new = file.with_suffix(".new")
    with new.open("wb") as out:
        np.savez(out, at=table.at, names=np.array(table.names), values=table.values)
    new.replace(file)


if __name__ == "__main__":
    sys.exit(main())
