"""Measure reading over HTTP: python scripts/bench_query.py [--devices 1000] [--requests 200] [--keep FOLDER].

Builds a store of synthetic rows through the flow's own writer: for every device an hour of readings and minutes
and a day of hours (so that one device's rows lie among all the others'), and for ten of them 24 h of readings
every 10 s (8 640), 24 h of minutes and 400 d of hours and days; their sites are in Berlin, so that their days are
composed of hours. Then serves it as `heatpump api` does, in a process of its own, and asks each of the ten in turn
on one connection. Prints a Markdown table for docs/benchmarks.md; its last column is the CPU time of the server,
which other load on the machine changes least.
"""

import argparse
import itertools
import os
import platform
import random
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import httpx
from lib.watching import Watched

from flows.model.device import DeviceMetadata
from flows.model.quantities import ENERGY_COLUMNS, FLAGS, rollup_columns
from flows.model.quantities import QUANTITIES as ALL
from flows.model.rollup import BUCKET_MS, Resolution, RollupRow
from flows.model.rows import DeviceRow, LatestRow, RawRow, StoreItem
from flows.store import open_writer
from tests.folding import block_of

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
ASKED = 10
SENT = [q for q in ALL if not q.name.startswith(("phase", "setpoint", "backup"))]
COLUMNS = [*itertools.chain(*(rollup_columns(q) for q in SENT)), *ENERGY_COLUMNS]
BATCH = 5_000

FOUR = "fields=temp_inlet,temp_outlet,power,compressor_running"
ENERGIES = "fields=electric_kwh_space,heat_kwh_space,electric_kwh_dhw,heat_kwh_dhw"
QUESTIONS = {
    "24 h raw, 4 quantities": f"series?resolution=raw&hours=24&{FOUR}",
    "24 h raw, all quantities": "series?resolution=raw&hours=24",
    "24 h auto (minutes), 4 quantities": f"series?hours=24&{FOUR}",
    "30 d auto (hours), 4 quantities": f"series?start={{month}}&{FOUR}",
    "30 d hours, energies by mode": f"series?start={{month}}&resolution=1h&{ENERGIES}",
    "30 d days": "series?start={month}&resolution=1d&fields=power,electric_kwh_space",
    "13 months by day": "series?start={months}&resolution=1d&fields=power,electric_kwh_space,heat_kwh_space",
    "100 newest readings": "readings",
    "1 000 newest readings": "readings?limit=1000",
    "status": "status",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=200, help="of each question")
    parser.add_argument("--keep", type=Path, help="a folder for the store, used again if it has one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "bench.sqlite"
        names = [f"site{n:04}" for n in range(options.devices)]
        asked = names[:: max(1, options.devices // ASKED)][:ASKED]
        now = time.time_ns() // 1_000_000 // HOUR * HOUR
        if not path.exists():
            print(f"building {path} …", file=sys.stderr)
            build(path, names, frozenset(asked), now)
        report(path, options.devices)
        measure(["--store", str(path)], asked, now, options.requests, QUESTIONS)


def build(path: Path, names: list[str], asked: frozenset[str], now: int) -> None:
    """Fill the store in the order of time, all devices interleaved, as a flow would."""
    rng = random.Random(1)
    readings = [
        {q.name: (rng.random() < 0.5) if q.name in FLAGS else round(rng.uniform(20, 60), 1) for q in SENT}
        for _ in range(100)
    ]
    rollups = [{column: rng.uniform(0.01, 1.0) for column in COLUMNS} for _ in range(100)]
    orders = itertools.count(1)
    writer = open_writer(path)
    batch: list[StoreItem] = []

    def add(item: StoreItem) -> None:
        batch.append(item)
        if len(batch) >= BATCH:
            writer.apply(batch)
            batch.clear()

    def rollup(name: str, resolution: Resolution, start: int) -> None:
        bucket = BUCKET_MS[resolution] // (10 * SECOND)
        row = RollupRow(name, resolution, start, next(orders), bucket, rng.choice(rollups), "measured")
        add(block_of([row]))

    for start in range(now - 400 * DAY, now, HOUR):
        for name in names if start >= now - DAY else asked:
            rollup(name, "1h", start)
    for start in range(now // DAY * DAY - 400 * DAY, now // DAY * DAY, DAY):
        for name in asked:
            rollup(name, "1d", start)
    for start in range(now - DAY, now, MINUTE):
        for name in names if start >= now - HOUR else asked:
            rollup(name, "1m", start)
    for at in range(now - DAY, now, 10 * SECOND):
        for name in names if at >= now - HOUR and at % MINUTE == 0 else asked:
            add(RawRow.of(name, at, next(orders), at, "device", rng.choice(readings)))
    last = now - 10 * SECOND
    for name in names:
        order = next(orders)
        metadata = [DeviceMetadata(timezone="Europe/Berlin")] if name in asked else []
        add(DeviceRow(name, order, online=True, last_seen=last, metadata=metadata))
        add(LatestRow(name, order, {quantity: (last, value) for quantity, value in readings[0].items()}))
    writer.apply(batch)
    writer.close()


def report(path: Path, devices: int) -> None:
    """Say what was measured on what."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("fastapi", "uvicorn", "msgspec"))
    print(
        f"{devices} devices, {len(SENT)} quantities and {len(COLUMNS)} rollup columns a row (synthetic values), ",
        end="",
    )
    print(f"store of {path.stat().st_size / 1e6:.0f} MB; Python {platform.python_version()}, ", end="")
    print(f"SQLite {sqlite3.sqlite_version}, {packages}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")


def measure(
    options: list[str],
    asked: list[str],
    now: int,
    requests: int,
    questions: dict[str, str],
) -> None:
    """Ask each question of each device in turn; print quantiles of whole answers.

    questions : by what they are called; one that begins with / is of no device.
    options   : of `heatpump api`, to say what it serves.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "flows.cli.app", "api", *options, "--port", str(port)]
    month, months = (
        time.strftime("%Y-%m-%dT%H:00:00Z", time.gmtime((now - days * DAY) / 1000)) for days in (30, 396)
    )
    process = subprocess.Popen(command, cwd=Path(__file__).parent.parent)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
            wait_until_ready(client, process)
            print("| question | points | kB | p50 ms | p95 ms | max ms | CPU ms |\n|---|---|---|---|---|---|---|")
            server = Watched("api", process.pid)
            for label, question in questions.items():
                before = server.used()
                answered = line(client, label, question.format(month=month, months=months), asked, requests)
                spent = server.used().since(before).cpu_s / requests
                print(f"{answered} {1000 * spent:.1f} |", flush=True)
    finally:
        process.terminate()
        process.wait(10)


def wait_until_ready(client: httpx.Client, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        try:
            client.get("/api/health")
            return
        except httpx.TransportError:
            time.sleep(0.05)
    sys.exit("the API did not start")


def line(client: httpx.Client, label: str, question: str, asked: list[str], requests: int) -> str:
    took = []
    for number in range(requests):
        begin = time.perf_counter()
        path = question if question.startswith("/") else f"/api/devices/{asked[number % len(asked)]}/{question}"
        answer = client.get(path)
        took.append((time.perf_counter() - begin) * 1000)
        answer.raise_for_status()
    body = answer.json()
    points = len(body["time"]) if "time" in body else len(body) if isinstance(body, list) else 1
    p95 = statistics.quantiles(took, n=20)[-1]
    size = len(answer.content) / 1000
    return f"| {label} | {points} | {size:.0f} | {statistics.median(took):.1f} | {p95:.1f} | {max(took):.1f} |"


if __name__ == "__main__":
    main()
