"""Files packed into a backup (zstd) and out of it, each with its hash; all of them private and durable."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec
import zstandard

from flows.durable import sync_folder
from flows.errors import BackupError

CHUNK = 1 << 20
LEVEL = 3
ENDING = ".zst"


class Packed(msgspec.Struct, frozen=True):
    """A file of a backup.

    path     : in the backup's folder.
    size     : as it lies there; unpacked: of what is in it. [bytes]
    sha256   : of it as it lies there, in hex.
    """

    path: str
    size: int
    sha256: str
    unpacked: int


class _Hashing:
    """Counts and hashes what is written through it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.hash, self.size = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        self.size += len(data)
        return self._file.write(data)


def pack(source: Path, folder: Path, name: str, length: int | None = None) -> Packed:
    """Pack a file, or its first `length` bytes, into a backup's folder, durably. Raises OSError."""
    path = folder / f"{name}{ENDING}"
    make_folder(path.parent)
    left = length if length is not None else source.stat().st_size
    unpacked = 0
    with source.open("rb") as file, _created(path) as target:
        hashing = _Hashing(target)
        with zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).stream_writer(
            hashing,  # type: ignore[arg-type]
            closefd=False,
        ) as packing:
            while left > 0 and (data := file.read(min(CHUNK, left))):
                left, unpacked = left - len(data), unpacked + len(data)
                packing.write(data)
    return Packed(str(path.relative_to(folder)), hashing.size, hashing.hash.hexdigest(), unpacked)


def unpack(folder: Path, packed: Packed, target: Path) -> None:
    """Unpack a file of a backup, durably; what is there is replaced. Raises BackupError, OSError.

    No more is written than the manifest says: a small file may hold more than the disk.
    """
    make_folder(target.parent)
    written = 0
    try:
        with opened(folder, packed) as file, _created(target) as out:
            for data in zstandard.ZstdDecompressor().read_to_iter(file, read_size=CHUNK, write_size=CHUNK):
                written += len(data)
                if written > packed.unpacked:
                    said = f"it holds more than the {packed.unpacked} bytes that the manifest says"
                    raise BackupError(f"{folder / packed.path} is damaged: {said}")
                out.write(data)
    except zstandard.ZstdError as error:
        raise BackupError(f"{folder / packed.path} is damaged: {error}") from None
    if written != packed.unpacked:
        raise BackupError(
            f"{folder / packed.path} is damaged: it holds {written} bytes, the manifest says {packed.unpacked}"
        )


def check(folder: Path, packed: Packed) -> None:
    """Compare a file with what the manifest says of it. Raises BackupError, OSError."""
    path, found = folder / packed.path, hashlib.sha256()
    with opened(folder, packed) as file:
        size = os.fstat(file.fileno()).st_size
        while data := file.read(CHUNK):
            found.update(data)
    if size != packed.size:
        raise BackupError(f"{path} is damaged: it has {size} bytes, the manifest says {packed.size}")
    if found.hexdigest() != packed.sha256:
        raise BackupError(f"{path} is damaged: its sha256 is another than the manifest's")


@contextmanager
def opened(folder: Path, packed: Packed) -> Iterator[BinaryIO]:
    """Open a file of a backup as it lies there. Raises BackupError where it is missing."""
    try:
        file = (folder / packed.path).open("rb")
    except FileNotFoundError:
        raise BackupError(f"{folder / packed.path} is missing: the backup is not whole") from None
    with file:
        yield file


@contextmanager
def _created(path: Path) -> Iterator[BinaryIO]:
    """Make a file that its owner alone may read; durable at the end, but for its name."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def write_private(path: Path, data: bytes) -> None:
    """Write a small file of its owner alone, durably: whole or not at all. Raises OSError."""
    make_folder(path.parent)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with _created(new) as file:
            file.write(data)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder of its owner alone, if it is not there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def sync_tree(folder: Path) -> None:
    """Do so in a folder and all below it."""
    for path in (*(each for each in folder.rglob("*") if each.is_dir()), folder):
        sync_folder(path)
