"""Measure the embedded store: python scripts/bench_store.py [--devices 1000] [--rounds 1000].

Writes `rounds` raw rows of each device (30 columns, all filled) in batches of several sizes, and minute rows of
110 columns; then asks what the API asks. Prints a Markdown table for docs/reference/store.md.
"""

import argparse
import itertools
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from flows.model.device import DEFAULT_METADATA
from flows.model.quantities import ENERGY_COLUMNS, FLAGS, QUANTITIES, rollup_columns
from flows.model.rollup import Refold, RollupRow
from flows.model.rows import RawRow
from flows.physics.derive import derived_values
from flows.store import open_reader, open_writer

START = 1_770_000_000_000 // 86_400_000 * 86_400_000
DAY = 86_400_000
DOZEN = [q.name for q in QUANTITIES[:4]] + ["voltage", "current", "power", "pressure_high", "pressure_low"]
QUANTITIES_SENT = QUANTITIES[:30]
MINUTE_COLUMNS = [*itertools.chain(*map(rollup_columns, QUANTITIES)), *ENERGY_COLUMNS][:110]


def timed(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=1000, help="raw rows of each device, spread over a day")
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        measure(Path(folder) / "store.sqlite", options.devices, options.rounds)
        weigh(Path(folder) / "day.sqlite")


def measure(path: Path, devices: int, rounds: int) -> None:
    rng = random.Random(1)
    names = [f"site{n:04}" for n in range(devices)]
    writer, reader = open_writer(path), open_reader(path)
    readings = [
        {
            q.name: (rng.random() < 0.5) if q.name in FLAGS else round(rng.uniform(20, 60), 1)
            for q in QUANTITIES_SENT
        }
        for _ in range(100)
    ]
    minutes = [{column: rng.uniform(20, 60) for column in MINUTE_COLUMNS} for _ in range(100)]
    step, order = DAY // rounds, itertools.count(1)

    def raw(device_id: str, at: int) -> RawRow:
        return RawRow(device_id, at, next(order), at, "device", rng.choice(readings))

    def show(what: str, value: str) -> None:
        print(f"| {what} | {value} |", flush=True)

    print(f"{devices} devices, {rounds} raw rows each\n\n| what | measured |\n|---|---|")
    spent = 0.0
    for n in range(rounds):
        batch = [raw(name, START + n * step) for name in names]
        spent += timed(lambda batch=batch: writer.apply(batch))
    show("raw row of 30 columns, batches of every device once", f"{1e6 * spent / devices / rounds:.1f} µs")
    batch = [raw(names[0], START + DAY + n) for n in range(10_000)]
    show("raw row, batches of 1 000 of one device", f"{1e6 * in_batches(writer, batch, 1000) / len(batch):.1f} µs")
    show("the same again (a replay)", f"{1e6 * in_batches(writer, batch, 1000) / len(batch):.1f} µs")
    batch = [raw(rng.choice(names), START + DAY + 20_000 + n) for n in range(5_000)]
    show("raw row, batches of 5", f"{1e6 * in_batches(writer, batch, 5) / len(batch):.1f} µs")
    batch = [
        RollupRow(name, "1m", START + n * 60_000, next(order), 6, rng.choice(minutes), "measured")
        for n in range(20)
        for name in names
    ]
    spent = in_batches(writer, batch, 1000)
    show("minute row of 110 columns, batches of every device once", f"{1e6 * spent / len(batch):.1f} µs")
    hours = [
        RollupRow(names[7], "1h", START - n * 3_600_000, next(order), 360, rng.choice(minutes), "measured")
        for n in range(720)
    ]
    writer.apply(hours)
    show("file", f"{path.stat().st_size / 1e6:.0f} MB")

    def ask(what: str, question: Callable[[], object], times: int = 40) -> None:
        spans = sorted(timed(question) for _ in range(times))
        show(what, f"{1e3 * spans[times // 2]:.1f} ms, p95 {1e3 * spans[int(times * 0.95)]:.1f} ms")

    span = (START, START + DAY)
    ask("stats()", reader.stats)
    ask("devices()", reader.devices, times=10)
    ask("24 h raw of one device, 3 columns", lambda: reader.raw_columns(
        rng.choice(names), *span, ["temp_inlet", "temp_outlet", "power"], 100_000))  # fmt: skip
    ask("24 h raw of one device, whole rows", lambda: reader.readings(rng.choice(names), *span, 100_000))
    ask("30 d of hours of one device, 3 columns", lambda: reader.rollup_columns(
        names[7], "1h", START - 30 * DAY, START + 1, MINUTE_COLUMNS[:3], 1000))  # fmt: skip
    reader.close()
    writer.close()


def weigh(path: Path) -> None:
    """Say what a day of a dozen slowly moving quantities every 10 s takes on disk."""
    rng, writer, rows = random.Random(1), open_writer(path), []
    values = dict(zip(DOZEN, (30.0, 35.0, 5.0, 70.0, 230.0, 4.0, 900.0, 280.0, 70.0), strict=True))
    for n in range(DAY // 10_000 + 1):
        values = {name: round(value + rng.uniform(-0.2, 0.2), 2) for name, value in values.items()}
        flags = {"compressor_running": n // 90 % 2 == 0, "fan_running": True, "defrost_active": False}
        derived = derived_values(values, DEFAULT_METADATA)
        rows.append(RawRow("site1", START + n * 10_000, n, START, "device", {**values, **flags, **derived}))
    in_batches(writer, rows, 1000)
    writer.close()  # carries the log into the file
    raw_bytes = path.stat().st_size
    writer = open_writer(path)
    writer.apply([Refold("site1", len(rows), START, START + DAY, START + DAY)])
    writer.close()
    minute_bytes = path.stat().st_size - raw_bytes
    raw_row, minute_row = raw_bytes / len(rows), minute_bytes / 1440
    print(f"| on disk, 9 numbers, 3 flags and what derives from them | {raw_row:.0f} B a raw row, "
          f"{minute_row:.0f} B a minute row |")  # fmt: skip
    sites = 300 * (30 * raw_bytes + 90 * minute_bytes)
    print(f"| 300 such sites, 30 d raw and 90 d of minutes | {sites / 1e9:.0f} GB |")


def in_batches(writer: object, rows: list, size: int) -> float:
    return sum(timed(lambda n=n: writer.apply(rows[n : n + size])) for n in range(0, len(rows), size))


if __name__ == "__main__":
    main()
