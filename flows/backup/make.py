"""A backup made while all runs: recovery state, then the store, then the journal.

In this order: recovery ≤ fence ≤ end of the journal, and every row of the store is of a frame that the journal
has. That is what a kill leaves behind, so the flow goes on from it by the start rules (flows/recovery.py). It is
written under a name of its own, made durable, and only then named as a backup.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from flows import recovery
from flows.backup import manifest
from flows.backup.files import make_folder, pack, sync_tree
from flows.backup.journal import CopiedJournal, copy_journal
from flows.backup.manifest import FORMAT, GRAPH, RECOVERY, STORE, UNFINISHED, Manifest
from flows.backup.store import Tell, counts_of, fence_of, snapshot
from flows.durable import sync_folder
from flows.errors import BackupError
from flows.graph import load_graph
from flows.model.rules import SHIPPED_RULES
from flows.model.times import now_ms
from flows.rebuild import MARK as REBUILT
from flows.rebuild import allowed_from
from flows.settings import Settings
from flows.store.protocol import Fence

BESIDE = (REBUILT, "refused.jsonl")
"""Small files of the data folder that belong to the state."""

Step = Callable[[str], None]
"""Called before each step, with its name: tests let things happen there."""


def make(
    settings: Settings, into: Path, tell: Tell = lambda *_: None, step: Step = lambda _: None
) -> tuple[Path, Manifest]:
    """Make a backup in a folder; nothing is left of one that fails. Raises HeatPumpError, OSError.

    tell : called with what is copied, and how many of how many parts are done.
    """
    _check_there(settings)
    make_folder(into)
    before = next(reversed(manifest.whole(into)), None)
    made_ms = now_ms()
    name = f"{datetime.fromtimestamp(made_ms / 1000, UTC):%Y%m%dT%H%M%S}.{made_ms % 1000:03d}Z"
    for left in into.glob(f"{UNFINISHED}*"):
        shutil.rmtree(left)
    unfinished = into / f"{UNFINISHED}{name}"
    try:
        unfinished.mkdir(mode=0o700)
        made = _fill(settings, unfinished, made_ms, before, tell, step)
        step("named")
        sync_tree(unfinished)
        unfinished.rename(into / name)
        sync_folder(into)
    except OSError as error:
        raise BackupError(f"no backup was made in {into}: {error.strerror or error} ({error.filename})") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return into / name, made


def _check_there(settings: Settings) -> None:
    if not any((settings.data / "journal").glob("*.seg")):
        raise BackupError(
            f"the data folder {settings.data} has no journal: nothing to back up; name another with --data"
        )


def _fill(
    settings: Settings,
    folder: Path,
    made_ms: int,
    before: tuple[Path, Manifest] | None,
    tell: Tell,
    step: Step,
) -> Manifest:
    step("recovery")
    with _recovery_kept(settings.data) as copy:
        return _fill_beside(settings, folder, made_ms, before, copy, tell, step)


def _fill_beside(
    settings: Settings,
    folder: Path,
    made_ms: int,
    before: tuple[Path, Manifest] | None,
    copy: Path | None,
    tell: Tell,
    step: Step,
) -> Manifest:
    files = []
    step("store")
    store = folder / STORE
    snapshot(settings.store, store, tell)
    fence, counts = fence_of(store), counts_of(store)
    files.append(pack(store, folder, STORE))
    for left in folder.glob(f"{STORE}*"):
        if left.name != f"{STORE}.zst":
            left.unlink()
    if fence is not None and (copy is None or int(copy.name) > fence.seq):
        found = recovery.newest_copy(
            settings.data / "recovery-copies", fence.journal_id, fence.seq, load_graph(settings.graph)
        )
        copy = found[0] if found else None
    seq = None if copy is None else int(copy.name)
    if copy is not None:
        files.append(pack(copy / recovery.PART, folder, f"{RECOVERY}/{recovery.PART}"))
    step("journal")
    copied = copy_journal(settings.data / "journal", folder, before)
    step("rest")
    files += copied.files.values()
    _check_fits(settings, copied, fence, seq)
    for name in BESIDE:
        if (settings.data / name).exists():
            files.append(pack(settings.data / name, folder, name))
    for path in (settings.graph, SHIPPED_RULES):
        files.append(pack(path, folder, f"{GRAPH}/{path.name}"))
    made = Manifest(
        FORMAT,
        version("heat-pump-monitor"),
        datetime.fromtimestamp(made_ms / 1000, UTC).isoformat(timespec="milliseconds"),
        made_ms,
        settings.store_kind,
        copied.journal_id,
        fence,
        seq,
        copied.first_seq,
        copied.last_seq,
        settings.graph.name,
        counts,
        files,
    )
    manifest.write(folder, made)
    return made


@contextmanager
def _recovery_kept(data: Path) -> Iterator[Path | None]:
    """Copy the recovery state to its daily copies, for as long as the backup takes; None where there is none.

    There it keeps the flow from trimming what it needs of the journal (flows/housekeeping.py).
    """
    own, copies = data / "recovery-copies-backup", data / "recovery-copies"
    seq = recovery.copy_now(data / "recovery", own)  # beside them: the flow may be making one, too
    if seq is None:
        yield None
        return
    copy = copies / f"{seq:020d}"
    make_folder(copies)
    is_new = not copy.exists()
    if is_new:
        (own / copy.name).rename(copy)
    shutil.rmtree(own)
    try:
        yield copy
    finally:
        if is_new:
            shutil.rmtree(copy, ignore_errors=True)


def _check_fits(settings: Settings, copied: CopiedJournal, fence: Fence | None, seq: int | None) -> None:
    """Refuse what no flow could go on from, in the words of the start rules. Raises BackupError."""
    journal = settings.data / "journal"
    if fence is not None and fence.journal_id != copied.journal_id:
        raise BackupError(
            f"the store was fed from journal {fence.journal_id[:8]}, {journal} is {copied.journal_id[:8]}: "
            "no flow could go on from a backup of them; put the right one back, or run `heatpump rebuild`, first"
        )
    if fence is not None and fence.seq > copied.last_seq:
        raise BackupError(
            f"the store has frames up to {fence.seq}, {journal} ends at {copied.last_seq}: no flow could go on "
            "from a backup of them; put the right journal back, or run `heatpump rebuild`, first"
        )
    anew = allowed_from(settings.data)
    begin = anew.seq if seq is None and anew and anew.journal_id == copied.journal_id else seq or 0
    if copied.first_seq > begin + 1:
        raise BackupError(
            f"the frames {begin + 1} to {copied.first_seq - 1} are needed and no longer in {journal}: no flow "
            "could go on from a backup of it; make one again once the flow has run for a minute"
        )
