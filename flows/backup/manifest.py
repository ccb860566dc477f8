"""What a backup says of itself: manifest.json, the last file that is written into its folder."""

import re
from pathlib import Path

import msgspec

from flows.backup.files import Packed, write_private
from flows.errors import BackupError
from flows.store.protocol import Fence

FORMAT = 1
NAME = "manifest.json"
STORE = "store.sqlite"
JOURNAL = "journal"
RECOVERY = "recovery"
GRAPH = "graph"
UNFINISHED = "unfinished-"

_INSIDE = re.compile(r"(?:(?!\.\.?/)[^/\0]+/)*(?!\.\.?$)[^/\0]+")
"""A relative path of which no part is . or .."""


class Manifest(msgspec.Struct, frozen=True):
    """What is in a backup.

    format     : of the folder; a newer one is refused.
    version    : of the program that made it.
    made_at    : when it was begun. [ISO 8601, UTC]
    made_ms    : the same. [ms since 1970, UTC]
    store      : of which kind the store was; in the backup it always is a SQLite file.
    journal_id : of the journal.
    fence      : of the store, None of one that no epoch has reached.
    recovery   : frame at which the recovery state stands, None where there was none yet.
    first_seq, last_seq : the frames that the journal holds.
    graph      : name of the graph's file in the folder graph.
    counts     : rows by table and UTC month; "" where a table has no time.
    files      : all but this one.
    """

    format: int
    version: str
    made_at: str
    made_ms: int
    store: str
    journal_id: str
    fence: Fence | None
    recovery: int | None
    first_seq: int
    last_seq: int
    graph: str
    counts: dict[str, dict[str, int]]
    files: list[Packed]

    @property
    def size(self) -> int:
        """All files together, as they lie there. [bytes]"""
        return sum(file.size for file in self.files)

    @property
    def readings(self) -> int:
        """Raw rows."""
        return sum(self.counts.get("raw", {}).values())


class _Format(msgspec.Struct):
    format: int


def write(folder: Path, manifest: Manifest) -> None:
    """Write it durably. Raises OSError."""
    write_private(folder / NAME, msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")


def read(folder: Path) -> Manifest:
    """Read the manifest of a backup. Raises BackupError: none there, damaged, or of a newer format."""
    path = folder / NAME
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise BackupError(f"{folder} is no backup: it has no {NAME}") from None
    try:
        found = msgspec.json.decode(data, type=_Format).format
        if found > FORMAT:
            raise BackupError(
                f"{folder} has format {found}, this version reads up to {FORMAT}: use the version that made it, "
                "or a newer one"
            )
        made = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BackupError(f"{path} is damaged: {error}") from None
    _check_paths(path, made)
    return made


def _check_paths(path: Path, made: Manifest) -> None:
    """Refuse names that lead out of the folder: whoever gave us the backup would choose what is written over."""
    names = [file.path for file in made.files]
    for name in (*names, made.graph):
        if not _INSIDE.fullmatch(name):
            raise BackupError(f"{path} is damaged: {name[:200]!r} is no name of a file in a backup")
    if len(set(names)) < len(names):
        raise BackupError(f"{path} is damaged: it names a file twice")


def whole(folder: Path) -> list[tuple[Path, Manifest]]:
    """List the whole backups in a folder, oldest first; what cannot be read is left out."""
    found = []
    for path in sorted(folder.glob(f"*/{NAME}")):
        if not path.parent.name.startswith(UNFINISHED):
            try:
                found.append((path.parent, read(path.parent)))
            except BackupError:
                continue
    return sorted(found, key=lambda each: (each[1].made_ms, each[0].name))


def named(folder: Path) -> tuple[Path, Manifest]:
    """Read the backup that a folder is, or the newest in it. Raises BackupError."""
    if (folder / NAME).exists():
        return folder, read(folder)
    if not folder.is_dir():
        raise BackupError(f"{folder} is not there: name a backup, or the folder that holds backups")
    found = sorted(path.parent for path in folder.glob(f"*/{NAME}") if not path.parent.name.startswith(UNFINISHED))
    if not found:
        raise BackupError(f"{folder} holds no whole backup: name one, or the folder that holds backups")
    return found[-1], read(found[-1])
