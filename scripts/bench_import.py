"""Measure a history import: python scripts/bench_import.py [--devices 10] [--years 1] [--step 300].

Writes a CSV a device (12 quantities, synthetic values with the steps of real sensors), starts `heatpump flow` on a
folder of its own and runs `heatpump import csv` for one device after the other. Prints how long it took, what CPU
each process used a reading, and what became of it. The aim: ten device-years of 5-minute data in 60 s.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import psutil
from rich.table import Table

from flows.model.times import DAY_MS, HOUR_MS, iso, now_ms
from flows.store import open_reader
from scripts.lib.watching import console, show_settings
from tests.ledger.processes import wait_until

COLUMNS = {
    "temp_outlet": (35.0, 10.0, 1),
    "temp_inlet": (30.0, 8.0, 1),
    "temp_ambient": (7.0, 12.0, 1),
    "temp_indoor": (20.5, 1.0, 1),
    "temp_dhw": (47.0, 5.0, 1),
    "voltage": (231.0, 4.0, 1),
    "current": (6.0, 3.0, 2),
    "power": (1400.0, 900.0, 1),
    "flow_rate": (18.0, 2.0, 1),
    "water_pressure": (1.6, 0.2, 2),
}
"""By quantity: middle, spread and decimals. compressor_running and electric_energy come beside them."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=10)
    parser.add_argument("--years", type=float, default=1.0, help="of each device, up to now")
    parser.add_argument("--step", type=int, default=300, help="between readings [s]")
    options = parser.parse_args()
    show_settings(vars(options))
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), options.devices, options.years, options.step * 1000)


def measure(folder: Path, devices: int, years: float, step_ms: int) -> None:
    readings = int(years * 365 * DAY_MS / step_ms)
    files = [write(folder / f"site{number}.csv", number, readings, step_ms) for number in range(devices)]
    mapping = folder / "map.toml"
    names = [*COLUMNS, "compressor_running", "electric_energy"]
    mapping.write_text("".join(f'[quantity.{name}]\nfield = "{name}"\n' for name in names))
    # No broker answers there: an import needs none.
    data = folder / "data"
    environment = {**os.environ, "HEATPUMP_DATA": str(data), "MQTT_BROKER": "127.0.0.1", "MQTT_PORT": "9"}
    heatpump = [sys.executable, "-m", "flows.cli.app"]
    with (folder / "flow.log").open("w") as log:
        flow = subprocess.Popen([*heatpump, "flow"], env=environment, stdout=log, stderr=log)
    try:
        wait_until("the flow listens, or has ended", lambda: (data / "run" / "flow.json").exists() or flow.poll())
        assert flow.poll() is None, (folder / "flow.log").read_text()
        process = psutil.Process(flow.pid)
        began, flow_cpu, client_cpu, peak = time.monotonic(), cpu(process), children(), 0
        for file in files:
            command = [*heatpump, "import", "csv", str(file), "--device", file.stem, "--map", str(mapping)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            peak = max(peak, process.memory_info().rss)
        wall = time.monotonic() - began
        flow_cpu, client_cpu = cpu(process) - flow_cpu, children() - client_cpu
    finally:
        flow.terminate()
        flow.wait(30)
    show(data, devices, readings, wall, flow_cpu, client_cpu, peak)


def write(path: Path, seed: int, readings: int, step_ms: int) -> Path:
    rng, energy = random.Random(seed), 1000.0
    start = now_ms() // step_ms * step_ms - readings * step_ms
    with path.open("w") as file:
        file.write(f"time,{','.join(COLUMNS)},compressor_running,electric_energy\n")
        for number in range(readings):
            cells = [f"{mid + rng.uniform(-0.5, 0.5) * wide:.{digits}f}" for mid, wide, digits in COLUMNS.values()]
            energy += 1.4 * step_ms / HOUR_MS
            file.write(f"{iso(start + number * step_ms)},{','.join(cells)},{number // 7 % 2},{energy:.2f}\n")
    return path


def cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def children() -> float:
    """CPU of the processes that were run and have ended. [s]"""
    times = os.times()
    return times.children_user + times.children_system


def show(
    data: Path, devices: int, readings: int, wall: float, flow_cpu: float, client_cpu: float, peak: int
) -> None:
    total = devices * readings
    table = Table("measure", "value", title=f"{devices} devices, {total:,} readings of 12 quantities")
    table.add_row("time", f"{wall:.1f} s, {total / wall:,.0f} readings/s")
    table.add_row("CPU of the flow", f"{flow_cpu:.1f} s, {flow_cpu / total * 1e6:.1f} µs a reading")
    table.add_row("CPU of the imports", f"{client_cpu:.1f} s, {client_cpu / total * 1e6:.1f} µs a reading")
    table.add_row("memory of the flow", f"{peak / 1e6:.0f} MB")
    table.add_row("journal", f"{size(data / 'journal') / 1e6:.1f} MB")
    table.add_row("store", f"{(data / 'store.sqlite').stat().st_size / 1e6:.1f} MB")
    with closing(open_reader(data / "store.sqlite")) as reader:
        for resolution in ("1m", "1h", "1d"):
            rows = sum(
                len(reader.rollups(f"site{number}", resolution, 0, 1 << 43, 10_000_000))
                for number in range(devices)
            )
            table.add_row(f"rows {resolution}", f"{rows:,}")
        table.add_row("raw rows", f"{reader.stats().total_readings:,}")
    console.print(table)


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
