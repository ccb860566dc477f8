"""A backup put back into an empty installation, of the same kind of store or another.

All is checked first and unpacked beside its place. Then the store, then the recovery state, and the journal last:
no flow starts before it is there. The same command again goes on where one was interrupted.
"""

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec

from flows import recovery
from flows.backup import files
from flows.backup.files import Packed, make_folder, sync_tree, unpack, write_private
from flows.backup.make import BESIDE
from flows.backup.manifest import GRAPH, JOURNAL, RECOVERY, STORE, Manifest
from flows.backup.store import Tell
from flows.durable import sync_folder
from flows.errors import BackupError
from flows.lock import locked
from flows.migration import report
from flows.migration.run import Migration
from flows.model.influx_address import InfluxAddress
from flows.model.rules import SHIPPED_RULES
from flows.settings import Settings
from flows.store import open_writer
from flows.store.export import open_export, units

STAGED = "restore-unfinished"


class Begun(msgspec.Struct, frozen=True):
    """What is being put back: a backup, by the instant it was made and its journal."""

    made_ms: int
    journal_id: str


def restore(
    folder: Path,
    made: Manifest,
    settings: Settings,
    tell: Tell = lambda *_: None,
    say: Callable[[str], None] = lambda _: None,
    step: Callable[[str], None] = lambda _: None,
) -> None:
    """Put a backup back. Raises BackupError, ConfigError, StartRefused, StoreError, OSError.

    say  : called with what is worth knowing, in sentences.
    step : called before each step, with its name: tests let things happen there.
    """
    data = settings.data
    make_folder(data)
    with locked(data / "lock"):
        note, begun = data / recovery.RESTORING, Begun(made.made_ms, made.journal_id)
        before = _begun(note)
        if before is not None and before != begun:
            raise BackupError(f"{note} tells of another backup, put back by half: restore that one again")
        if before is None:
            _check_empty(settings)
        for packed in made.files:
            files.check(folder, packed)
        if before is None:
            write_private(note, msgspec.json.encode(begun))
        staged = data / STAGED
        step("unpack")
        for packed in made.files:
            tell(f"unpacks {packed.path}", 0, 1)
            if not _in_place(settings, packed):
                unpack(folder, packed, staged / packed.path.removesuffix(files.ENDING))
        sync_tree(staged)
        step("store")
        if isinstance(settings.store, InfluxAddress):
            _fill_server(settings, made, staged / STORE, tell, say)
        else:
            _move(staged / STORE, settings.store_path)
        for name in BESIDE:
            _move(staged / name, data / name)
        _say_of_graph(staged / GRAPH, made.graph, settings.graph, say)
        step("recovery")
        _move(staged / RECOVERY, data / "recovery")
        step("journal")
        _move(staged / JOURNAL, data / "journal")
        step("end")
        note.unlink()
        sync_folder(data)
        shutil.rmtree(staged)


def _begun(note: Path) -> Begun | None:
    try:
        return msgspec.json.decode(note.read_bytes(), type=Begun)
    except FileNotFoundError:
        return None


def _check_empty(settings: Settings) -> None:
    """Raises BackupError naming what is not empty."""
    data = settings.data
    there = [name for name in ("journal", "recovery", "recovery-copies") if any((data / name).glob("*"))]
    there += [name for name in BESIDE if (data / name).exists()]
    if not settings.influxdb_url and settings.store_path.exists():
        there.insert(0, settings.store_path.name)
    if there:
        raise BackupError(
            f"the data folder {data} is not empty: it has {', '.join(there)}; a backup is only put back into an "
            "empty installation: move these away, or name another folder with --data"
        )
    if not isinstance(settings.store, InfluxAddress):
        return
    with closing(open_writer(settings.store)) as writer, closing(open_export(settings.store)) as store:
        devices = store.devices()
        filled = writer.fence() is not None or any(
            batch for unit in units(devices) for batch in store.read(*unit) if batch
        )
    if filled:
        of = f"it has {len(devices)} devices" if devices else "a flow has written to it"
        raise BackupError(
            f"the buckets of {settings.influxdb_bucket!r} at {settings.influxdb_url} are not empty: {of}; a "
            "backup is only put back into an empty installation: delete them, or name others with INFLUXDB_BUCKET"
        )


def _in_place(settings: Settings, packed: Packed) -> bool:
    """Tell whether an interrupted restore has put a file in its place already."""
    name = packed.path.removesuffix(files.ENDING)
    if name == STORE:
        return not settings.influxdb_url and settings.store_path.exists()
    top = name.partition("/")[0]
    return top != GRAPH and (settings.data / top).exists()


def _move(staged: Path, place: Path) -> None:
    """Put what is staged in its place, durably; it may be there already, or in no backup."""
    if not staged.exists():
        return
    if place.is_dir() and not any(place.iterdir()):
        place.rmdir()
    staged.rename(place)
    sync_folder(place.parent)


def _fill_server(settings: Settings, made: Manifest, store: Path, tell: Tell, say: Callable[[str], None]) -> None:
    """Copy the rows into the server's buckets, and compare; nothing to do where that was done."""
    target = settings.store
    with closing(open_writer(target)) as writer:
        if made.fence is not None and writer.fence() == made.fence:
            return
    open_writer(store).close()  # of an older version it is brought up to date
    way = Migration(store, target, store.with_name(f"{store.name}.migration"))
    progress = way.begin()
    way.copy(progress, tell)
    there, settled = way.count_again(tell), way.settled()
    differences = [*report.differences(progress.tally, there, settled)]
    if differences:
        raise BackupError(
            f"the server has not taken all: {differences[0]}; delete its buckets and {settings.data / STAGED}, "
            "and restore again"
        )
    for section, rows in progress.left_out.items():
        say(f"left out {rows:,} {report.TITLES[section]} that are older than the bucket keeps them")
    way.end(progress)


def _say_of_graph(folder: Path, name: str, graph: Path, say: Callable[[str], None]) -> None:
    """Say where graph or rules are others than those of this installation; the backup's stay in its folder."""
    for path, here in ((folder / name, graph), (folder / SHIPPED_RULES.name, SHIPPED_RULES)):
        if path.exists() and path.read_bytes() != here.read_bytes():
            say(f"{here} is another than the backup's {GRAPH}/{path.name}: unpack that one, if it is meant")
