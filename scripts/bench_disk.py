"""Measure what rows take on disk: python scripts/bench_disk.py [--devices 40] [--hours 26] [--payload contract].

Journals the readings of a fleet as sensors send them (steps of 0.1 °C, noise, event times that jitter), 10 s
apart, and runs the graph over them in batches of one reading a device, as a live fleet gives them: so the pages
are as full as they come to be. Prints the bytes a raw, minute and hour row takes with its share of the tree, by
payload, and what that makes of 300 sites with the contract's retentions after a year (a day row weighs as much as
an hour's).
"""

import argparse
import random
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from lib.fleet import STEP_MS, Payload, Pump
from lib.watching import cpu_model, version_of

from flows.journal.writer import Journal
from flows.main import run_journal
from flows.model.frame import FrameKind
from flows.model.times import now_ms
from flows.settings import Settings

SITES = 300
HOUR = 3_600_000
KEPT = {"raw": (30, 86_400_000 // STEP_MS), "rollup_1m": (90, 1440), "rollup_1h": (365, 25)}
"""By table, the days its rows are kept and the rows a day. Day rows are counted as hours."""

JITTER_MS = 40


def main() -> None:
    """Measure each payload and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=40)
    parser.add_argument("--hours", type=int, default=26)
    parser.add_argument("--payload", type=Payload, choices=list(Payload), help="only this one")
    given = parser.parse_args()
    payloads = [given.payload] if given.payload else [Payload.contract, Payload.measured]
    measured = {}
    for payload in payloads:
        with tempfile.TemporaryDirectory() as folder:
            fill(Path(folder), given.devices, given.hours * HOUR // STEP_MS, payload)
            measured[payload] = bytes_a_row(Path(folder) / "store.sqlite")
    versions = ", ".join(f"{name} {version_of(name)}" for name in ("heat-pump-monitor", "numpy"))
    print(f"{given.devices} devices, {given.hours} h; {versions}, SQLite {sqlite3.sqlite_version}; {cpu_model()}")
    kept = {name: field.default for name, field in Settings.model_fields.items() if "retention" in name}
    print(f"settings: {', '.join(f'{name}={value}' for name, value in kept.items())}\n")
    print("| bytes a row | " + " | ".join(SENT[payload] for payload in payloads) + " |")
    print("|---|" + "---|" * len(payloads))
    for table in KEPT:
        print(f"| {table} | " + " | ".join(f"{measured[payload][table]:.0f}" for payload in payloads) + " |")
    totals = dict.fromkeys(payloads, 0.0)
    for table, (days, rows) in KEPT.items():
        sizes = {payload: SITES * days * rows * measured[payload][table] / 1e9 for payload in payloads}
        totals = {payload: totals[payload] + sizes[payload] for payload in payloads}
        print(
            f"| GB of {SITES} sites, {table}, {days} d | " + " | ".join(f"{n:.1f}" for n in sizes.values()) + " |"
        )
    print("| **GB in all** | " + " | ".join(f"**{total:.1f}**" for total in totals.values()) + " |")


SENT = {Payload.contract: "12 quantities", Payload.measured: "20 quantities"}


def fill(folder: Path, devices: int, rounds: int, payload: Payload) -> None:
    """Journal a fleet's readings, a round after the other, and store them in batches of a round."""
    rng = random.Random(1)
    pumps = [Pump(number) for number in range(devices)]
    journal = Journal.open(folder / "journal", min_free_bytes=1)
    first = now_ms() - rounds * STEP_MS
    for turn in range(rounds):
        for number, pump in enumerate(pumps):
            at = first + turn * STEP_MS + number * STEP_MS // devices + rng.randint(0, JITTER_MS)
            arrived = at + rng.randint(20, 400)
            text = pump.text(at, payload).encode()
            journal.append(FrameKind.MESSAGE, arrived, f"heatpump/{pump.device_id}/data", text, qos=1)
        journal.commit()
    journal.close()
    if run_journal(folder / "journal", folder / "store.sqlite", batch_frames=devices) != 0:
        raise SystemExit("the graph did not run to the end of the journal")


def bytes_a_row(store: Path) -> dict[str, float]:
    """Bytes of a table's pages, inner ones too, by row."""
    with closing(sqlite3.connect(store)) as db:
        found = {}
        for table in KEPT:
            (size,) = db.execute("SELECT sum(pgsize) FROM dbstat WHERE name = ?", (table,)).fetchone()
            (rows,) = db.execute(f"SELECT count(*) FROM {table}").fetchone()
            found[table] = size / max(rows, 1)
        return found


if __name__ == "__main__":
    main()
