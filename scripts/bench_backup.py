#!/usr/bin/env python
"""How long a backup takes, how large it is, and what a flow that goes on meanwhile loses by it.

    .venv/bin/python scripts/bench_backup.py
    .venv/bin/python scripts/bench_backup.py --influxd /usr/bin/influxd

An installation of so many readings is made by running the shipped graph over a journal of them. Then flow and api
run as scripts/up ships them, and latencies are measured as bench_latency.py does it: alone, and while one backup
after the other is made. With --influxd the store is a private InfluxDB, and no latencies are measured.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

sys.path.insert(0, str(Path(__file__).parent.parent))

from flows.backup import manifest
from flows.journal.writer import Journal
from flows.main import run_journal
from flows.model.frame import FrameKind, Start, start_payload, tick_payload
from flows.model.message import Message
from flows.store import StoreAddress
from scripts.bench_latency import WARM_UP_S, measure, now_ms
from scripts.lib.fleet import Fleet
from scripts.lib.site import shipped_site
from scripts.lib.watching import console, folder_mb, show_settings
from tests.cli.heatpump import HEATPUMP, clean_environment
from tests.influxd import Influxd
from tests.ledger.processes import ProductionMosquitto
from tests.ledger.runner import influx_address, influx_settings

BATCH = 5_000


class Made(NamedTuple):
    """One run of a command: [s], [MB] of memory at most, what it said."""

    seconds: float
    cpu_s: float
    peak_mb: float
    said: str


def main(
    readings: Annotated[int, typer.Option(min=1000, help="How many are stored.")] = 1_000_000,
    devices: Annotated[int, typer.Option(min=1, help="Of how many devices.")] = 100,
    rate: Annotated[int, typer.Option(min=50, help="Messages a second meanwhile.")] = 200,
    seconds: Annotated[int, typer.Option(min=2, help="How long latencies are measured. [s]")] = 30,
    influxd: Annotated[str, typer.Option(help="Binary of an InfluxDB to keep all in.")] = "",
) -> None:
    """Fill an installation, back it up while it runs, verify and restore the backup."""
    show_settings({"readings": readings, "devices": devices, "rate": rate, "influxd": influxd or "none: SQLite"})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="backup-")))
        server = Influxd(folder / "influxdb", influxd) if influxd else None
        if server is not None:
            server.start()
            stack.callback(server.stop)
        data, backups = folder / "data", folder / "backups"
        store: StoreAddress = influx_address(server) if server else data / "store.sqlite"
        fill(data, store, readings, devices)
        size = f", {folder_mb(data / 'journal'):.0f} MB of journal"
        size += "" if server else f", {store_mb(data):.0f} MB of store"
        console.print(f"{readings} readings of {devices} devices{size}")
        settings = {"HEATPUMP_DATA": str(data), **influx_settings(server)}
        if server is None:
            beside_a_flow(folder, backups, settings, rate, seconds)
        for name in ("first", "second: unchanged segments are linked"):
            tell(f"backup, {name}", run("backup", backups, settings=settings))
        made = manifest.named(backups)[1]
        console.print(f"its files: {made.size / 1e6:.1f} MB, {made.size / readings:.1f} bytes a reading")
        tell("verify", run("backup", backups, "--verify", settings=settings))
        if server is None:
            tell("restore", run("restore", backups, settings={"HEATPUMP_DATA": str(folder / "new")}))


def fill(data: Path, store: StoreAddress, readings: int, devices: int) -> None:
    """Journal readings up to now, and let the graph take them."""
    fleet = Fleet(devices, readings // devices, now_ms())
    journal = Journal.open(data / "journal", sync=lambda _: None)
    journal.append(FrameKind.START, now_ms(), payload=start_payload(Start(0, 0)))
    for batch in batches(fleet):
        journal.append_messages(batch)
        journal.append(FrameKind.TICK, now_ms(), payload=tick_payload(journal.last_seq))
        journal.commit()
    journal.close()
    if run_journal(data / "journal", store, data / "recovery"):
        raise SystemExit("the installation could not be filled")


def batches(fleet: Fleet) -> Iterator[list[Message]]:
    """Give the fleet's messages some thousands at a time."""
    batch: list[Message] = []
    for topic, payload in fleet.messages(1):
        batch.append(Message(topic, payload, 1, False, False, 0, now_ms()))
        if len(batch) == BATCH:
            yield batch
            batch = []
    yield batch


def beside_a_flow(folder: Path, backups: Path, settings: dict[str, str], rate: int, seconds: int) -> None:
    """Measure latencies alone, and while backups are made."""
    with shipped_site(ProductionMosquitto(folder / "broker"), folder) as (site, publisher):
        for name in ("alone", "while backups are made"):
            over, made = threading.Event(), list[Made]()
            going = threading.Thread(target=again_and_again, args=(backups, settings, over, made))
            if name != "alone":
                going.start()
            stored, _ = measure(site, publisher, rate, seconds)
            over.set()
            if name != "alone":
                going.join()
                tell(f"backup beside a flow at {rate} msg/s, {len(made)} of them, the longest", max(made))
            stored.sort()
            told = ", ".join(f"p{share} {stored[len(stored) * share // 100]:.1f} ms" for share in (50, 90, 99))
            console.print(f"publish → stored {name}, {len(stored)} readings: {told}, most {stored[-1]:.1f} ms")


def again_and_again(backups: Path, settings: dict[str, str], over: threading.Event, made: list[Made]) -> None:
    """Make backups until it is over, each without one before to link to."""
    time.sleep(WARM_UP_S)
    while not over.is_set():
        made.append(run("backup", backups / str(len(made)), settings=settings))


def run(*arguments: object, settings: dict[str, str]) -> Made:
    """Run a command of ours to its end."""
    began = time.monotonic()
    process = subprocess.Popen(
        [*HEATPUMP, *map(str, arguments)], env=clean_environment(**settings), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{arguments} ended with {process.returncode}: {said}")
    process.stdout.close()
    return Made(time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, said.strip())


def tell(name: str, made: Made) -> None:
    """Print a run."""
    console.print(f"{name}: {made.seconds:.1f} s, {made.cpu_s:.1f} s of CPU, {made.peak_mb:.0f} MB at most")
    console.print(f"    {made.said.splitlines()[-1]}")


def store_mb(data: Path) -> float:
    """The store's files. [MB]"""
    return sum(path.stat().st_size for path in data.glob("store.sqlite*")) / 1e6


if __name__ == "__main__":
    typer.run(main)
