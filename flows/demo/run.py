"""Load the demo into a running installation, and let it live on."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from flows.child import PARENT
from flows.demo.folder import check_folder, loaded_mark
from flows.demo.installation import DemoFailed, Installation
from flows.demo.recording import DEVICE_ID, load_recording
from flows.demo.simulated import Task, history_file, read_history, simulator
from flows.demo.sites import (
    FINE_MS,
    SITES,
    Began,
    Site,
    began_in,
    import_id,
    live_from,
    missing_from,
    past_wanted,
    recent_wanted,
)
from flows.flow_port import FlowPort
from flows.lock import locked
from flows.model.times import now_ms
from flows.settings import Settings

Say = Callable[[str], None]
GOODBYE_S = 1.2

PARTS = {"recent": "the last days", "past": "the months before"}
"""The imports of a house, as people call them: its last days with all that came later, and its months."""


def run(settings: Settings, say: Say) -> int:
    """Load what is missing and live on until SIGTERM or SIGINT; return the exit code.

    Raises ConfigError, FlowDown, StoreError, StartRefused, DemoFailed.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    check_folder(settings)
    simulator()  # said at once where it is not there, as is the flow
    FlowPort(settings).health()
    with locked(settings.data / "demo.lock"):
        loaded_mark(settings.data).unlink(missing_ok=True)
        try:
            with living(settings, say, now_ms()) as houses:
                loaded_mark(settings.data).touch()
                while all(house.poll() is None for house in houses):
                    time.sleep(0.2)
                raise DemoFailed("a simulated house has ended: start the demo again")
        finally:
            loaded_mark(settings.data).unlink(missing_ok=True)


@contextmanager
def living(settings: Settings, say: Say, now: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Load what is missing up to now while the houses begin to live; behind it they have ended.

    now : [ms since 1970, UTC]
    Gives the houses once all is loaded.
    """
    clock, now = time.monotonic(), now // FINE_MS * FINE_MS
    installation, began = Installation(settings), began_in(settings.data, now)
    houses: list[subprocess.Popen[bytes]] = []
    folder = settings.data / "run" / "demo"
    shutil.rmtree(folder, ignore_errors=True)  # what a killed one left
    folder.mkdir()
    try:
        tasks = [_task(installation, settings, site, began, now, folder) for site in SITES]
        houses += [_start(settings, task) for task in tasks]
        _load(installation, tasks, houses, folder, now, say, clock)
        yield houses
    finally:
        _end(houses)
        shutil.rmtree(folder, ignore_errors=True)


def _task(
    installation: Installation, settings: Settings, site: Site, began: Began, now: int, folder: Path
) -> Task:
    """Find out what is missing of a site."""
    device_id = site.device_id
    past, recent = (
        installation.standing(device_id, import_id(device_id, part, began.at)) for part in ("past", "recent")
    )
    start = missing_from(began, recent, installation.whole_until(device_id, recent.at, now))
    live = live_from(start, now)
    return Task(
        device_id,
        began,
        past_wanted(began, past),
        recent_wanted(began, start, live),
        live=live,
        folder=str(folder),
        broker=settings.mqtt_host,
        port=settings.mqtt_port,
        user=settings.mqtt_user,
        ca=settings.mqtt_ca,
    )


def _load(
    installation: Installation,
    tasks: list[Task],
    houses: list[subprocess.Popen[bytes]],
    folder: Path,
    now: int,
    say: Say,
    clock: float,
) -> None:
    """Send everything, the newest first; say how far it is."""
    total = sum(span.readings for task in tasks for span in [*task.past, *task.recent])
    installation.mark_simulated([site.device_id for site in SITES])
    for site in SITES:
        installation.describe(site.device_id, site.metadata)
    if total:
        say(f"{len(SITES)} simulated houses: {total:,} readings to load, the newest first")
    recorded = load_recording(installation, now)
    if recorded:
        say(f"{DEVICE_ID}: a real heat pump's recording, {recorded:,} readings, is loaded")
    done = 0
    for part, called in PARTS.items():
        for task in tasks:
            if not getattr(task, part):
                continue
            file = history_file(folder, task.device_id, part)
            _await(file, houses)
            table = read_history(file)
            file.unlink()
            name = import_id(task.device_id, part, task.began.at)
            installation.send(task.device_id, name, f"the demo's {task.device_id}, {part}", iter([table]))
            done += len(table.at)
            say(f"{task.device_id}: {called} are loaded, {done / total:.0%} of all")
    spent = time.monotonic() - clock
    say(f"everything is loaded, in {spent:.0f} s" if total or recorded else "everything was loaded already")


def _await(file: Path, houses: list[subprocess.Popen[bytes]]) -> None:
    while not file.exists():
        if any(house.poll() is not None for house in houses):
            raise DemoFailed("a simulated house has ended before its history was whole: start the demo again")
        time.sleep(0.02)


def _start(settings: Settings, task: Task) -> subprocess.Popen[bytes]:
    """Start a house; what it says of each reading is for nobody, what it complains of is shown."""
    command = [sys.executable, "-m", "flows.demo.simulated", msgspec.json.encode(task).decode()]
    own: dict[str, Any] = {
        PARENT: str(os.getpid()),
        "MQTT_PASSWORD": settings.mqtt_password.get_secret_value(),
    }
    return subprocess.Popen(
        command, env={**os.environ, **own}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )


def _end(houses: list[subprocess.Popen[bytes]]) -> None:
    """Have all say goodbye; kill what does not in time."""
    for house in houses:
        house.terminate()
    deadline = time.monotonic() + GOODBYE_S
    for house in houses:
        try:
            house.wait(max(deadline - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            house.kill()
            house.wait()


def _leave(*_: Any) -> None:
    raise SystemExit(0)
