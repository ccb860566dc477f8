"""A backup tried out: its files are what was written, and a flow goes on from it to the end of its journal.

In a scratch folder beside it, or in the system's where that cannot be written. Then every rollup is folded again.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from flows.backup import files
from flows.backup.manifest import GRAPH, JOURNAL, RECOVERY, STORE, Manifest
from flows.backup.refold import refold
from flows.backup.store import counts_of, fence_of
from flows.errors import BackupError, HeatPumpError
from flows.journal.reader import JournalReader, describe, newest_first
from flows.journal.writer import Journal
from flows.main import run_journal
from flows.model.frame import FrameKind, tick_of, tick_payload
from flows.nodes.rollup import MINUTES_A_TICK
from flows.rebuild import allowed_from
from flows.store import check_store
from flows.telemetry.meter import Meter

FRAMES = 10_000
SECONDS = 10
"""Journaled behind the end, in the scratch folder: what waits for the next second or two is done then."""
ROUNDS = 5


class Found(msgspec.Struct):
    """differences: each in a sentence. frames: read; rollups: folded again."""

    differences: list[str] = []
    frames: int = 0
    rollups: int = 0


def verify(folder: Path, made: Manifest) -> Found:
    """Try a backup out. Raises OSError where there is no room for that."""
    found = Found([*_damaged(folder, made)])
    if found.differences:
        return found
    scratch = _scratch(folder)
    try:
        _try_out(folder, made, scratch, found)
    except HeatPumpError as error:
        found.differences.append(str(error))
    finally:
        shutil.rmtree(scratch)
    return found


def _damaged(folder: Path, made: Manifest) -> Iterator[str]:
    for packed in made.files:
        try:
            files.check(folder, packed)
        except BackupError as error:
            yield str(error)


def _scratch(folder: Path) -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="verify-", dir=folder.parent))
    except OSError:
        return Path(tempfile.mkdtemp(prefix="heatpump-verify-"))


def _try_out(folder: Path, made: Manifest, scratch: Path, found: Found) -> None:
    for packed in made.files:
        files.unpack(folder, packed, scratch / packed.path.removesuffix(files.ENDING))
    store, journal = scratch / STORE, scratch / JOURNAL
    check_store(store)
    fence = fence_of(store)
    if fence != made.fence:
        found.differences.append(f"the store's fence is {fence}, the manifest says {made.fence}")
    found.differences += _counts(made.counts, counts_of(store))
    found.differences += _journal(journal, made, found)
    if not found.differences:
        _go_on(scratch, made, found)
    if not found.differences:
        refolded = refold(store)
        found.rollups = refolded.compared
        found.differences += refolded.differences


def _counts(said: dict[str, dict[str, int]], there: dict[str, dict[str, int]]) -> Iterator[str]:
    for table in sorted(said.keys() | there.keys()):
        mine, theirs = said.get(table, {}), there.get(table, {})
        for month in sorted(mine.keys() | theirs.keys()):
            if mine.get(month, 0) != theirs.get(month, 0):
                of = f"{table} of {month}" if month else table
                yield f"{of} has {theirs.get(month, 0):,} rows, the manifest says {mine.get(month, 0):,}"


def _journal(folder: Path, made: Manifest, found: Found) -> Iterator[str]:
    info = describe(folder)
    said, there = (
        (made.journal_id, made.first_seq, made.last_seq),
        (info.journal_id, info.first_seq, info.last_seq),
    )
    if said != there:
        told = [f"{journal_id[:8]}, frames {first} to {last}" for journal_id, first, last in (there, said)]
        yield f"the journal is {told[0]}, the manifest says {told[1]}"
    with JournalReader(folder, 0) as reader:
        while frames := reader.read(FRAMES):
            found.frames += len(frames)


def _go_on(scratch: Path, made: Manifest, found: Found) -> None:
    """Let a flow go on to the journal's end, and until nothing is left to heal."""
    journal, store = scratch / JOURNAL, scratch / STORE
    seconds, meter = SECONDS, Meter()
    for _ in range(ROUNDS):
        _add_seconds(journal, seconds)
        meter = Meter()
        code = run_journal(
            journal,
            store,
            scratch / RECOVERY,
            graph_path=scratch / GRAPH / made.graph,
            meter=meter,
            anew=allowed_from(scratch),
        )
        if code:
            found.differences.append("a flow that goes on from it fails: its last lines say why")
            return
        dirty = meter.read()["dirty"]
        if not dirty:
            break
        seconds = SECONDS + 2 * dirty // MINUTES_A_TICK
    fence, end = fence_of(store), describe(journal).last_seq
    if fence is None or fence.seq != end:
        found.differences.append(f"a flow that goes on from it ends at {fence}, the journal at frame {end}")


def _add_seconds(folder: Path, count: int) -> None:
    """Journal seconds in which nothing came."""
    newest = next((frame for frame in newest_first(folder) if frame.kind is FrameKind.TICK), None)
    n = tick_of(newest).n if newest else 0
    journal = Journal.open(folder)
    try:
        arrived = describe(folder).last_arrived or 0
        for number in range(n + 1, n + 1 + count):
            journal.append(FrameKind.TICK, arrived, payload=tick_payload(number))
        journal.commit()
    finally:
        journal.close()
