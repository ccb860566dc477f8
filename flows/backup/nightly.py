"""What goes on around a backup: one at a time, old ones deleted, and a note of the last for who watches."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from flows.backup import manifest
from flows.backup.files import make_folder, write_private
from flows.backup.manifest import Manifest
from flows.errors import BackupError

NOTE = "backup.json"
"""In the data folder's run/."""


class Note(msgspec.Struct, frozen=True):
    """The last backup that was made.

    at      : when it was begun: what arrived before is in it. [ms since 1970, UTC]
    seconds : how long it took. [s]
    size    : of its files. [bytes]
    path    : its folder.
    """

    at: int
    seconds: float
    size: int
    path: str


@contextmanager
def alone(*folders: Path) -> Iterator[None]:
    """Let no two backups run at once on a data folder, nor into one folder. Raises BackupError."""
    files = []
    try:
        for folder in folders:
            make_folder(folder)
            files.append((folder / "backup.lock").open("a"))
            try:
                fcntl.flock(files[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise BackupError(f"another backup is being made ({folder / 'backup.lock'} is held)") from None
        yield
    finally:
        for file in files:
            file.close()


def keep_newest(into: Path, keep: int) -> list[Path]:
    """Delete all but the newest whole backups in a folder; returns what went. keep: at least 1."""
    gone = [path for path, _ in manifest.whole(into)[:-keep]]
    for path in gone:
        aside = path.with_name(f"{manifest.UNFINISHED}{path.name}")  # half of one is none
        path.rename(aside)
        shutil.rmtree(aside)
    return gone


def write_note(data: Path, folder: Path, made: Manifest, seconds: float) -> None:
    """Leave word of a backup in run/backup.json."""
    note = Note(made.made_ms, round(seconds, 1), made.size, str(folder.absolute()))
    write_private(data / "run" / NOTE, msgspec.json.encode(note))


def read_note(data: Path) -> Note | None:
    """Read of the last backup; None where none was made."""
    try:
        return msgspec.json.decode((data / "run" / NOTE).read_bytes(), type=Note)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
