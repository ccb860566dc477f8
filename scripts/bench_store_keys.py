"""Compare primary keys for the raw table: python scripts/bench_store_keys.py [--devices 1000] [--rounds 864].

Writes `rounds` rows of each device in event order (one batch a round, then batches of 5), and reads one day of one
device, from a new connection and from a cold file. Prints a Markdown table for docs/reference/store.md.
"""

import argparse
import os
import random
import sqlite3
import tempfile
import time
from pathlib import Path

COLUMNS = {"ord": "INTEGER", "late": "INTEGER", "clock": "INTEGER", "body": "BLOB"}
BODY_BYTES = 43
"""What 20 packed quantities take."""

DAY_MS = 86_400_000
TIME_BITS = 43
LAYOUTS = {
    "(at, device) without rowid": ("at INTEGER, device INTEGER, {columns}, PRIMARY KEY (at, device)", True),
    "(device, at) without rowid": ("device INTEGER, at INTEGER, {columns}, PRIMARY KEY (device, at)", True),
    "rowid + index (device, at)": ("device INTEGER, at INTEGER, {columns}, UNIQUE (device, at)", False),
    "rowid = device · 2^43 + at": ("key INTEGER PRIMARY KEY, {columns}", False),
}


def connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute("PRAGMA cache_size=-65536")
    db.execute("PRAGMA wal_autocheckpoint=8000")
    return db


def row_values(rng: random.Random) -> list[int | bytes]:
    """The rest of a row, as of a device that sends 20 quantities."""
    return [(1 << 40) + rng.randrange(1 << 20), rng.randrange(20, 400), 0, rng.randbytes(BODY_BYTES)]


def measure(name: str, folder: Path, devices: int, rounds: int) -> str:
    body, without_rowid = LAYOUTS[name]
    composed = "key" in body
    columns = ", ".join(f"{column} {type_}" for column, type_ in COLUMNS.items())
    path = folder / "bench.sqlite"
    db = connect(path)
    db.execute(f"CREATE TABLE raw ({body.format(columns=columns)})" + (" WITHOUT ROWID" if without_rowid else ""))
    keys = ["key"] if composed else ["device", "at"]
    marks = ", ".join("?" * (len(keys) + len(COLUMNS)))
    insert = f"INSERT INTO raw ({', '.join([*keys, *COLUMNS])}) VALUES ({marks}) ON CONFLICT DO NOTHING"
    rng = random.Random(1)
    values = [row_values(rng) for _ in range(1000)]

    def row(device: int, at: int) -> list[int | bytes]:
        key = [(device << TIME_BITS) + at] if composed else [device, at]
        return [*key, *values[(device + at) % 1000]]

    def write(pairs: list[tuple[int, int]], size: int) -> float:
        rows = [row(device, at) for device, at in pairs]
        begin = time.process_time()
        for first in range(0, len(rows), size):
            db.execute("BEGIN IMMEDIATE")
            db.executemany(insert, rows[first : first + size])
            db.execute("COMMIT")
        return time.process_time() - begin

    step = DAY_MS // rounds
    spent = sum(write([(device, n * step) for device in range(devices)], devices) for n in range(rounds))
    per_row = 1e6 * spent / (rounds * devices)
    extra = 5 * 1000
    pairs = [(rng.randrange(devices), DAY_MS + n) for n in range(extra)]
    per_small = 1e6 * write(pairs, 5) / extra
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    size = path.stat().st_size / (rounds * devices)
    warm = [read(path, rng.randrange(devices), composed, rounds) for _ in range(15)]
    cold = []
    for _ in range(5):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
        cold.append(read(path, rng.randrange(devices), composed, rounds))
    path.unlink()
    warm_ms, cold_ms = 1e3 * sorted(warm)[len(warm) // 2], 1e3 * sorted(cold)[len(cold) // 2]
    return f"| {name} | {per_row:.1f} | {per_small:.1f} | {size:.0f} | {warm_ms:.1f} | {cold_ms:.1f} |"


def read(path: Path, device: int, composed: bool, rounds: int) -> float:
    db = connect(path)
    where, bounds = "device = ? AND at >= ? AND at < ?", (device, 0, DAY_MS)
    if composed:
        where, bounds = "key >= ? AND key < ?", (device << TIME_BITS, (device << TIME_BITS) + DAY_MS)
    begin = time.perf_counter()
    found = db.execute(f"SELECT * FROM raw WHERE {where}", bounds).fetchall()
    spent = time.perf_counter() - begin
    assert len(found) == rounds
    db.close()
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=864)
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    options = parser.parse_args()
    print(f"{options.devices} devices, {options.rounds} rows each of {BODY_BYTES} B packed; writing in CPU time\n")
    print(
        "| key | µs/row, batches of all devices | µs/row, batches of 5 | bytes/row | 24 h warm [ms] | cold [ms] |"
    )
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for name in LAYOUTS:
            print(measure(name, Path(folder), options.devices, options.rounds), flush=True)


if __name__ == "__main__":
    main()
