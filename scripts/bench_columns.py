"""A sketch, not the pipeline: what a reading would cost if batches were columns from decode to store.

    .venv/bin/python scripts/bench_columns.py

The same fleet, messages and functions as the pipeline (typed decode, derived quantities, fold, packing), but one
matrix a batch instead of a Reading each. It leaves out what needs a reading at a time: duplicates, the
clock's rules but Unix time, transitions, refusals. So it says what the next factor is worth, not what would ship.
Process time, the least of several runs. [CPU µs a reading]
"""

import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import msgspec
import numpy as np
from lib.fleet import Fleet, Payload
from lib.watching import cpu_model, version_of

from flows.model.quantities import QUANTITIES
from flows.model.rules import SHIPPED_RULES, load_rules
from flows.model.table import Table
from flows.model.times import now_ms
from flows.nodes.payload import _Payload
from flows.physics.derive import derived_table
from flows.physics.fold import SAMPLES_AT_ONCE
from flows.physics.minutes import minutes_of
from flows.physics.segments import MINUTE_MS, Strips, held_after
from flows.store.sqlite.packing import layout, pack

DEVICES, ROUNDS, PER_MESSAGE, RUNS = 1_000, 30, 30, 3
MESSAGES_A_BATCH = 100
NAMES = tuple(q.name for q in QUANTITIES if q.path)


def main() -> None:
    """Measure and print."""
    messages = [data for _, data in Fleet(DEVICES, ROUNDS, now_ms(), Payload.measured).messages(PER_MESSAGE)]
    runs = [sketch(messages) for _ in range(RUNS)]
    readings = DEVICES * ROUNDS
    print(f"{readings} readings, {PER_MESSAGE} a message; numpy {version_of('numpy')}; {cpu_model()}")
    for part in runs[0]:
        print(f"{part:28} {1e6 * min(run[part] for run in runs) / readings:6.2f}")
    print(f"{'all of it':28} {1e6 * min(sum(run.values()) for run in runs) / readings:6.2f}")


def row_maker() -> Any:
    """Write the function that lists a payload's quantities; None where one is missing."""
    paths = [quantity.path for quantity in QUANTITIES if quantity.path]
    groups = sorted({path[:-1] for path in paths}, key=len)
    lines = ["def row(p):"]
    for group in groups:
        name, parent = "_".join(group), "_".join(group[:-1]) or "p"
        lines.append(f" {name} = {parent}.{group[-1]} if {parent} is not None else None")
    cells = ", ".join(f"{'_'.join(p[:-1])}.{p[-1]} if {'_'.join(p[:-1])} is not None else None" for p in paths)
    written: dict[str, Any] = {}
    exec("\n".join([*lines, f" return ({cells})"]), written)
    return written["row"]


def sketch(messages: list[bytes]) -> dict[str, float]:
    """Run all parts over the messages. [CPU s]"""
    decode, row = msgspec.json.Decoder(list[_Payload]).decode, row_maker()
    rules = [rule for rule in load_rules(SHIPPED_RULES) if rule.quantity in NAMES]
    spent: Counter[str] = Counter()
    for first in range(0, len(messages), MESSAGES_A_BATCH):
        mark = time.process_time()

        def lap(part: str) -> None:
            nonlocal mark
            now = time.process_time()
            spent[part] += now - mark
            mark = now

        payloads = [
            payload for message in messages[first : first + MESSAGES_A_BATCH] for payload in decode(message)
        ]
        lap("decode with spans")
        cells = [row(payload) for payload in payloads]
        at = np.array([payload.timestamp for payload in payloads], dtype=np.int64)
        lap("to rows")
        values = np.array(cells, dtype=np.float64)
        lap("to a matrix")
        derived = derived_table(Table(np.arange(len(at)), NAMES, values), [])
        lap("derive")
        for rule in rules:
            column = values[:, NAMES.index(rule.quantity)]
            worst = column >= rule.warning if rule.direction == "high" else column <= rule.warning
            np.flatnonzero(worst)
        lap("alert bands")
        pack(layout(tuple((name, 100.0, 10_000.0) for name in NAMES)), values)
        lap("pack raw rows")
        every = np.concatenate([values, derived.values], axis=1)
        for start in range(0, len(at), SAMPLES_AT_ONCE // PER_MESSAGE * PER_MESSAGE):
            part = slice(start, start + SAMPLES_AT_ONCE // PER_MESSAGE * PER_MESSAGE)
            fold(at[part], every[part], (*NAMES, *derived.names))
        lap("fold to minutes")
    return dict(spent)


def fold(at: Any, values: Any, names: tuple[str, ...]) -> None:
    """Fold whole messages as strips."""
    there = np.flatnonzero(~np.isnan(values).all(axis=0))
    firsts = np.append(np.arange(0, len(at), PER_MESSAGE), len(at))
    kept = values[:, there]
    sent = np.where(np.isnan(kept), -(1 << 62), at[:, None])
    strips = len(firsts) - 1
    given = Strips(
        tuple(names[column] for column in there), firsts, at, kept, sent, np.zeros(strips, bool), [[]] * strips
    )
    minutes_of(given, held_after(given), at[firsts[:-1]] // MINUTE_MS * MINUTE_MS, at[firsts[1:] - 1])


if __name__ == "__main__":
    main()
