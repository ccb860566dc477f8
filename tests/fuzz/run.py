"""Bent messages through the real pipeline into a real store, and whether each of them is accounted for."""

import logging
import resource
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from flows.journal.frame import encode_fields
from flows.main import run_frames
from flows.model.frame import Frame
from flows.model.reading import MAX_READINGS
from flows.settings import load_settings
from flows.sources.replay import Recorded
from flows.store import open_reader
from flows.telemetry.meter import Meter
from tests.fuzz.messages import REFUSED_WITNESS, RETENTION_MS, WITNESS, Fuzz

JOURNAL = "f" * 32


class Verdict(NamedTuple):
    """What a run came to.

    troubles    : what is not as it must be, in sentences.
    sums        : the conservation sum.
    letters     : dead letters by reason.
    counts      : what each step dropped, removed or found doubled, by step and rule.
    messages    : how many there were.
    seconds     : of CPU, making the messages included.
    """

    troubles: list[str]
    sums: dict[str, int]
    letters: Counter[str]
    counts: Counter[str]
    messages: int
    seconds: float


class _Errors(logging.Handler):
    """Keeps what is logged as an error: nothing that anybody sends may be one."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        trace = f" ({record.exc_info[1]!r:.200})" if record.exc_info else ""
        self.found[f"{record.name} logged: {record.getMessage()[:300]}{trace}"] += 1


class _Journalable(Recorded):
    """Frames that a journal could hold: encoding each is part of the trial."""

    def read(self, max_frames: int) -> list[Frame]:
        frames = super().read(max_frames)
        for frame in frames[:: max(1, len(frames) // 100)]:
            encode_fields(
                0, frame.seq, frame.kind, frame.arrived, frame.topic, frame.payload, frame.qos, frame.retain, frame.dup,
                frame.packet_id, frame.original_bytes,
            )  # fmt: skip
        return frames


def run(seed: str, count: int, store: Path, batch_frames: int = 8_000) -> Verdict:
    """Run `count` messages of a seed into a new store."""
    fuzz, meter, errors = Fuzz(seed, count), Meter(), _Errors()
    settings = load_settings(data=store.parent, batch_frames=batch_frames, influxdb_retention="1d")
    logging.getLogger().addHandler(errors)
    before = resource.getrusage(resource.RUSAGE_SELF)
    try:
        code = run_frames(_Journalable(fuzz.frames()), JOURNAL, store, settings, meter)
    finally:
        logging.getLogger().removeHandler(errors)
    after = resource.getrusage(resource.RUSAGE_SELF)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    troubles = [f"{count}x {what}" for what, count in errors.found.most_common(20)]
    if code:
        return Verdict([f"the flow ended with {code}", *troubles], {}, Counter(), Counter(), 0, seconds)
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
        letters = Counter(dict(db.execute("SELECT reason, sum(count) FROM dead_letter_count GROUP BY reason")))
        troubles += [
            f"integrity_check: {row[0]}" for row in db.execute("PRAGMA integrity_check") if row[0] != "ok"
        ]
    troubles += _accounts(fuzz, meter, letters) + witnesses(fuzz, store)
    if (store.parent / "refused.jsonl").exists():
        troubles.append(f"the store refused even letters: see {store.parent / 'refused.jsonl'}")
    steps = {step.step.id: step.logic.counts for step in meter.steps if step.logic}
    counts = Counter({f"{step}: {why}": n for step, each in steps.items() for why, n in each.items() if n})
    return Verdict(troubles, meter.conservation.read(), letters, counts, fuzz.made["message"], seconds)


def _accounts(fuzz: Fuzz, meter: Meter, letters: Counter[str]) -> list[str]:
    """Hold the sums against each other and against what was made."""
    sums, decode = meter.conservation.read(), meter.steps[0]
    assert decode.logic is not None
    made = fuzz.made.total() - fuzz.made["tick"] - fuzz.made["start"]
    history = next(step.logic for step in meter.steps if step.step.id == "history")
    checks = [
        ("unexplained readings", sums["unexplained"], 0),
        ("spans that wait to be healed", meter.read()["dirty"], 0),
        ("readings in flight", sums["in_flight"], 0),
        ("frames that decode took, but for ticks and starts", decode.took, made),
        ("readings in all messages", decode.logic.counts["received"], fuzz.readings),
        ("readings of messages and history", sums["received"], fuzz.readings + history.counts["received"]),
        ("letters for mistakes of ours", letters["internal"] + letters["store_refused"], 0),
    ]
    return [f"{what}: {got}, not {wanted}" for what, got, wanted in checks if got != wanted]


def witnesses(fuzz: Fuzz, store: Path) -> list[str]:
    """Look for every reading and every letter of the devices that were left in peace."""
    troubles = []
    with closing(open_reader(store)) as reader:
        rows = reader.readings(WITNESS, 0, 1 << 43, len(fuzz.numbers) + MAX_READINGS)
        found = {row.at: row.values.get("electric_energy") for row in rows}
        counts = reader.dead_letter_counts(REFUSED_WITNESS, 0, 1 << 43)
    kept = {at: number for at, number in fuzz.numbers.items() if at >= max(fuzz.numbers) - RETENTION_MS}
    lost = [at for at, number in kept.items() if found.get(at) != number]
    more = [at for at, number in found.items() if fuzz.numbers.get(at) != number]
    if lost or more:
        troubles.append(
            f"{len(lost)} of {len(kept)} readings of the witness lost ({lost[:3]}), {len(more)} invented"
        )
    refused: Counter[str] = Counter()
    for counted in counts:
        refused[counted.reason] += counted.count
    if refused != fuzz.refused:
        troubles.append(f"letters of the witness: {dict(refused)}, not {dict(fuzz.refused)}")
    return troubles
