"""Measure the embedded store: python scripts/bench_store.py [--devices 1000] [--rounds 60].

Writes realistic readings of a fleet (20 quantities, scripts/lib/fleet.py) in batches of several shapes, and what
else the pipeline writes; then asks what the API asks. Costs are CPU time of this process, all in: packing, SQLite,
its log and carrying that into the database. Prints a Markdown table for docs/reference/store.md.
"""

import argparse
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, count, islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from lib.rows import raw_rows
from lib.watching import cpu_model

from flows.model.rollup import Compose, Refold, RollupRow
from flows.model.rows import LatestRow, RawRow, StoreItem
from flows.store import open_reader, open_writer
from flows.store.protocol import StoreReader, StoreWriter
from tests.folding import block_of

DAY, HOUR, MINUTE = 86_400_000, 3_600_000, 60_000
START = 1_770_000_000_000 // DAY * DAY


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument(
        "--rounds", type=int, default=60, help="batches of every device once, and as many of 5 each"
    )
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    options = parser.parse_args()
    print(
        f"{options.devices} devices; SQLite {sqlite3.sqlite_version}, {cpu_model()}\n\n"
        "| what | measured |\n|---|---|"
    )
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "store.sqlite"
        writer, reader = open_writer(path), open_reader(path)
        write(writer, reader, options.devices, options.rounds)
        ask(reader, options.devices)
        reader.close()
        writer.close()


def write(writer: StoreWriter, reader: StoreReader, devices: int, rounds: int) -> None:
    """Write what a fleet sends, in the order in which it comes."""
    streams = [raw_rows(number, START) for number in range(devices)]
    show("raw row, batches of every device once", writer, (turn(streams, 1) for _ in range(rounds)))
    show("raw row, batches of every device 5 times", writer, (turn(streams, 5) for _ in range(rounds)))
    show("raw row, batches of 5", writer, parts(turn(streams, 1), 5))
    alone = list(islice(raw_rows(devices, START), 8640))
    show("raw row, batches of 1 000 of one device", writer, parts(alone, 1000))
    show("the same again (a replay)", writer, parts(alone, 1000))
    latest = [
        [LatestRow(row.device_id, row.order, {k: (row.at, v) for k, v in row.values.items()}) for row in rows]
        for rows in (turn(streams, 1) for _ in range(20))
    ]
    show("LatestRow of 20 quantities, every device", writer, latest)
    refold = Refold(alone[0].device_id, 1 << 50, START, START + DAY, START + DAY)
    cost("a minute folded again, hours and days composed", 1440, lambda: writer.apply([refold]))
    minutes = reader.rollups(refold.device_id, "1m", START, START + 60 * MINUTE, 60)
    names = [row.device_id for row in turn(streams, 1)]
    of_all = [[moved(minute, name) for name in names] for minute in minutes]
    columns = max(len(minute.values) for minute in minutes)
    once, often = [block_of(rows) for rows in of_all[:40]], block_of(list(chain(*of_all[40:])))
    each = f"minute row of {columns} columns, batches of every device"
    cost(f"{each} once", 40 * len(names), lambda: [writer.apply([block]) for block in once])
    cost(f"{each} 20 times", 20 * len(names), lambda: writer.apply([often]))
    hours = [Compose(name, (1 << 52) + n, "1h", START) for n, name in enumerate(names)]
    show("an hour composed of its minutes", writer, [hours])


def turn(streams: list[Iterator[RawRow]], each: int) -> list[RawRow]:
    """The next readings of every device, a round after the other."""
    return [next(stream) for _ in range(each) for stream in streams]


def parts(rows: list[RawRow], size: int) -> list[list[RawRow]]:
    """Cut into batches."""
    return [rows[first : first + size] for first in range(0, len(rows), size)]


def moved(row: RollupRow, device_id: str) -> RollupRow:
    """The same row of another device."""
    return RollupRow(device_id, row.resolution, row.start, row.order, row.count, row.values, row.heat_source)


def show(what: str, writer: StoreWriter, batches: Iterable[list[StoreItem]]) -> None:
    """Write batches; print the cost of a row."""
    waiting = list(batches)
    cost(what, sum(map(len, waiting)), lambda: [writer.apply(batch) for batch in waiting])


def cost(what: str, rows: int, call: Callable[[], object]) -> None:
    """Print what a call cost for each of its rows."""
    begin = time.process_time()
    call()
    print(f"| {what} | {1e6 * (time.process_time() - begin) / rows:.1f} µs |", flush=True)


def ask(reader: StoreReader, devices: int) -> None:
    """Ask what the API asks; print wall times."""
    rng, numbers = random.Random(1), count()
    some, span = [f"pump{rng.randrange(devices):05}" for _ in range(100)], (START, START + DAY)
    fields = ["temp_inlet", "temp_outlet", "power"]
    alone = f"pump{devices:05}"

    def question(what: str, call: Callable[[], object], times: int = 40) -> None:
        spans = []
        for _ in range(times):
            begin = time.perf_counter()
            call()
            spans.append(time.perf_counter() - begin)
        spans.sort()
        print(
            f"| {what} | {1e3 * spans[times // 2]:.1f} ms, p95 {1e3 * spans[int(times * 0.95)]:.1f} ms |",
            flush=True,
        )

    question("stats()", reader.stats)
    question("devices()", reader.devices, times=10)
    question("100 newest readings", lambda: reader.readings(some[next(numbers) % 100], *span, 100))
    question("24 h raw of one device (8 640), 3 columns", lambda: reader.raw_columns(alone, *span, fields, 10_000))
    whole = [*raw_names(reader, alone)]
    question(
        f"24 h raw of one device, {len(whole)} columns", lambda: reader.raw_columns(alone, *span, whole, 10_000)
    )
    question(
        "24 h of minutes of one device, 3 columns",
        lambda: reader.rollup_columns(alone, "1m", *span, [f"{name}_mean" for name in fields], 2000),
    )


def raw_names(reader: StoreReader, device_id: str) -> Iterable[str]:
    """Name what a device's readings have, derived quantities too."""
    return reader.readings(device_id, START, START + DAY, 1)[0].values


if __name__ == "__main__":
    main()
