"""Tokens that are made on the first start and kept in the data folder, readable by their owner only."""

import os
import secrets
from pathlib import Path


def read_or_create(path: Path) -> str:
    """Read a token; make one if there is none."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    if not _read(path):
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(new, path)  # of two that start at once, one wins
        except FileExistsError:
            if not _read(path):
                os.replace(new, path)
        new.unlink(missing_ok=True)
    return _read(path)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""
