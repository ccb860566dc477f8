"""Files that are whole and stay so: what was written is on the disk before it counts as written."""

import os
from collections.abc import Callable
from pathlib import Path


def replace_file(path: Path, content: bytes, mode: int, prepare: Callable[[int], None] | None = None) -> None:
    """Put a file in another's place, durably: whoever reads sees the old one or the new one. Raises OSError.

    Of several who write at once all but one must wait: the caller holds a lock.

    prepare : is given the new file's handle before it counts, such as to change its owner.
    """
    new = path.with_name(f".{path.name}.new")  # one name: the lock is held, and a killed one's is written over
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        if prepare:
            prepare(file.fileno())
        os.fsync(file.fileno())
    os.replace(new, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make created, renamed and removed names durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
