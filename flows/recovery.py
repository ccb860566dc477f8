"""Recovery state: where it stands, its daily copies, and whether it fits journal and store (decision 2).

Journal, recovery state and store can each be lost, restored or rolled back alone. At start:

  store at or ahead of recovery        replay from recovery: the normal crash
  recovery lost or ahead of the store  newest copy at or before the fence, else the journal's beginning; replay
  nothing reaches back to the fence    refuse, name the hours, offer `heatpump rebuild`
  a foreign journal                    refuse
"""

import logging
import pickle
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from flows.build import FLOW_ID, step_ids
from flows.errors import ConfigError, StartRefused
from flows.graph import Graph
from flows.journal.reader import JournalInfo
from flows.recovery_copy import copy_database
from flows.store.export import MARK
from flows.store.protocol import Fence

log = logging.getLogger("heatpump.recovery")

PART = "part-0.sqlite3"
SOURCE_STEP = f"{FLOW_ID}.journal"
RESTORING = "restoring.json"
"""In the data folder while `heatpump restore` has not ended."""


class Position(msgspec.Struct, frozen=True):
    """What the source saves each epoch: the journal and the seq of the last frame read."""

    journal_id: str
    seq: int


class Saved(msgspec.Struct, frozen=True):
    """What a recovery folder holds: its position, and each step's snapshot version."""

    position: Position
    versions: dict[str, int]


def read_saved(folder: Path) -> Saved | None:
    """Read where a recovery folder would resume; None of a new, absent or broken one."""
    part = folder / PART
    if not part.exists():
        return None
    try:
        with closing(sqlite3.connect(f"file:{part}?mode=ro", uri=True)) as db:
            return _read_saved(db)
    except (sqlite3.Error, pickle.UnpicklingError, EOFError) as error:
        log.warning("recovery state in %s cannot be read: %s", folder, error)
        return None


def _read_saved(db: sqlite3.Connection) -> Saved | None:
    """Take the newest snapshot of each step before the epoch at which Bytewax would resume."""
    execution = db.execute("SELECT ex_num, resume_epoch FROM exs ORDER BY ex_num DESC LIMIT 1").fetchone()
    if execution is None:
        return None
    front = db.execute("SELECT MIN(worker_frontier) FROM fronts WHERE ex_num = ?", execution[:1]).fetchone()[0]
    resume = execution[1] if front is None else front
    newest = db.execute(
        "SELECT step_id, ser_change, MAX(snap_epoch) FROM snaps WHERE snap_epoch < ? GROUP BY step_id, state_key",
        (resume,),
    ).fetchall()
    saved: dict[str, Any] = {step: pickle.loads(change) for step, change, _ in newest if change is not None}
    source = saved.pop(SOURCE_STEP, None)
    if source is None:
        return None
    versions = {step: state[0] for step, state in saved.items() if isinstance(state, tuple)}
    return Saved(Position(*source), versions)


def check_steps(saved: Saved, graph: Graph) -> None:
    """Refuse saved state that the graph cannot take. Raises ConfigError naming the step."""
    steps = step_ids(graph)
    for step_id, version in saved.versions.items():
        name = step_id.removeprefix(f"{FLOW_ID}.")
        if step_id not in steps:
            raise ConfigError(
                f"step.{name}",
                name,
                "has saved state but is not in the graph: renaming or removing a step is a migration. "
                "Name it as before, or run `heatpump rebuild` to compute all state anew from the journal",
            )
        if not steps[step_id].node.can_read(version):
            raise ConfigError(
                f"step.{name}",
                f"state version {version}",
                f"cannot be read by this build, which writes version {steps[step_id].node.version}: "
                "run the build that wrote it, or `heatpump rebuild`",
            )
    missing = set(steps) - set(saved.versions)
    if saved.versions and missing:
        name = min(missing).removeprefix(f"{FLOW_ID}.")
        raise ConfigError(
            f"step.{name}",
            name,
            "is in the graph but has no saved state: a new or renamed step would start without its past. "
            "Run `heatpump rebuild` to compute all state anew from the journal",
        )


def prepare(
    folder: Path,
    copies: Path,
    graph: Graph,
    fence: Fence | None,
    journal: JournalInfo,
    anew: Position | None = None,
) -> None:
    """Apply the start rules: leave in `folder` the state to resume from, or nothing to begin with.

    anew : where `heatpump rebuild` allowed to begin without the past (see rebuild.py).
    Raises StartRefused, ConfigError. What is set aside is renamed, never deleted.
    """
    if fence is not None and fence.journal_id.startswith(MARK):
        raise StartRefused(
            "the store is not whole: `heatpump migrate` into it has not ended; give the same command again, "
            "and start when it is done"
        )
    if fence is not None and fence.journal_id != journal.journal_id:
        raise StartRefused(
            f"the store was fed from journal {fence.journal_id[:8]}, the data folder holds journal "
            f"{journal.journal_id[:8]}: put the right one back, or run `heatpump rebuild` to go on with this one"
        )
    stored = fence.seq if fence else 0
    if fence is not None and stored > journal.last_seq:
        raise StartRefused(
            f"the store has frames up to {stored}, the journal ends at {journal.last_seq}: an older journal was "
            "put in place, or a flow on a copy of it wrote into this store; put the right one back, or run "
            "`heatpump rebuild` to go on with this one"
        )
    saved = read_saved(folder)
    if saved is not None:
        check_steps(saved, graph)
        if saved.position.journal_id == journal.journal_id and saved.position.seq <= stored:
            _reachable(saved.position.seq, journal)
            return
        log.warning("recovery state stands at %s, the store at %s: set aside", saved.position.seq, stored)
    set_aside(folder)
    copy = newest_copy(copies, journal.journal_id, stored, graph)
    start = copy[1] if copy else 0
    if not copy and anew and anew.journal_id == journal.journal_id:
        start = anew.seq
    _reachable(start, journal)
    if copy:
        log.warning("resuming from the copy at %s", start)
        unfinished = folder.with_name(f"{folder.name}-unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(copy[0], unfinished)
        unfinished.rename(folder)


def check_restored(data: Path) -> None:
    """Refuse a data folder into which a backup is only half put back. Raises StartRefused."""
    if (data / RESTORING).exists():
        raise StartRefused(
            f"`heatpump restore` into {data} has not ended: give the same command again, and start when it is done"
        )


def _reachable(seq: int, journal: JournalInfo) -> None:
    if journal.first_seq > seq + 1:
        raise StartRefused(
            f"the frames {seq + 1} to {journal.first_seq - 1} are needed and no longer in the journal, which "
            f"begins {_clock(journal.first_arrived)}: what arrived before that and is not stored would be "
            "missing. Restore an older recovery copy or journal, or run `heatpump rebuild` to go on without them"
        )


def _clock(ms: int | None) -> str:
    return "empty" if ms is None else f"at {datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def set_aside(folder: Path) -> None:
    """Rename a folder out of the way."""
    if folder.exists():
        folder.rename(folder.with_name(f"{folder.name}-aside-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"))


def newest_copy(copies: Path, journal_id: str, at_most: int, graph: Graph) -> tuple[Path, int] | None:
    """Find the newest copy at or before a frame that the graph can take: its folder, and where it stands."""
    for folder in sorted(copies.glob("*"), reverse=True):
        saved = read_saved(folder)
        if saved and saved.position.journal_id == journal_id and saved.position.seq <= at_most:
            try:
                check_steps(saved, graph)
            except ConfigError:
                continue
            return folder, saved.position.seq
    return None


def copy_now(folder: Path, copies: Path) -> int | None:
    """Copy the recovery state while it is in use; return the copy's position, None where there is none yet.

    Raises OSError.
    """
    part = folder / PART
    if not part.exists():
        return None
    unfinished = copies / "unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    copy_database(part, unfinished / PART)
    saved = read_saved(unfinished)
    if saved is None:
        shutil.rmtree(unfinished)
        return None
    final = copies / f"{saved.position.seq:020d}"
    shutil.rmtree(final, ignore_errors=True)
    unfinished.rename(final)
    return saved.position.seq


def prune_copies(copies: Path, older_than_s: float, keep: int = 1) -> int | None:
    """Delete copies made before an instant, but the newest `keep`; return the oldest kept position.

    older_than_s : [s since 1970, UTC]
    """
    folders = sorted(folder for folder in copies.glob("*") if folder.name.isdigit())
    for folder in folders[:-keep] if keep else folders:
        if folder.stat().st_mtime < older_than_s:
            shutil.rmtree(folder)
    left = sorted(folder.name for folder in copies.glob("*") if folder.name.isdigit())
    return int(left[0]) if left else None
