"""Secrets, apart from the backup: one file, encrypted with a passphrase (age), that the tool `age` opens, too.

In it is a tar: data/secrets/… and data/tls/… of the data folder, and where the settings have these elsewhere,
access/… (tokens and users), accounts/… (of the broker) and secrets/… (files named after variables).
"""

import io
import os
import sys
import tarfile
from collections.abc import Iterator
from getpass import getpass
from pathlib import Path

import pyrage  # type: ignore[import-untyped]

from flows.backup.files import make_folder, write_private
from flows.errors import BackupError, ConfigError
from flows.settings import Settings

SHORTEST = 12
"""A passphrase that may be tried without end, by whoever finds the file. [characters]"""


def places(settings: Settings) -> dict[str, Path]:
    """Say where each part of the tar lives: folders, by the name before its first /."""
    data = settings.data
    found = {"data/secrets": data / "secrets", "data/tls": data / "tls"}
    apart = {
        "access": settings.access_path.parent,
        "accounts": settings.accounts_folder,
        "secrets": Path(settings.secrets) if settings.secrets else data / "secrets",
    }
    found |= {name: path for name, path in apart.items() if not path.is_relative_to(data / "secrets")}
    return found


def _wanted(name: str, folder: Path, settings: Settings) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)  # Kubernetes' own links
        foreign = name == "access" and path != settings.access_path
        if path.is_file() and not hidden and not foreign:
            yield f"{name}/{path.relative_to(folder)}", path


def write(file: Path, settings: Settings, passphrase: str) -> list[str]:
    """Write all that is there; returns what that is. Raises BackupError where nothing is, OSError."""
    packed, names = io.BytesIO(), []
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for part, folder in places(settings).items():
            for name, path in _wanted(part, folder, settings):
                entry, body = tarfile.TarInfo(name), path.read_bytes()
                entry.size, entry.mode, entry.mtime = len(body), 0o600, int(path.stat().st_mtime)
                tar.addfile(entry, io.BytesIO(body))
                names.append(name)
    if not names:
        raise BackupError(f"there are no credentials in {settings.data}: nothing was written to {file}")
    write_private(file, pyrage.passphrase.encrypt(packed.getvalue(), passphrase))
    return names


def read(file: Path, passphrase: str) -> dict[str, bytes]:
    """Decrypt; gives the files by name. Raises BackupError, OSError."""
    try:
        packed = pyrage.passphrase.decrypt(file.read_bytes(), passphrase)
    except pyrage.DecryptError:
        raise BackupError(f"{file} cannot be opened: the passphrase is another, or the file is damaged") from None
    found = {}
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        for entry in tar:
            body = tar.extractfile(entry)
            if body is not None:
                found[entry.name] = body.read()
    return found


def put_back(found: dict[str, bytes], settings: Settings) -> tuple[list[str], list[str]]:
    """Put files where the settings have them; what is there already and differs stays.

    Returns what was put back, and what was not, each with why. Raises OSError.
    """
    done, left = [], []
    for name, body in found.items():
        part = next((part for part in places(settings) if name.startswith(f"{part}/")), None)
        rest = Path(name.removeprefix(f"{part}/"))
        if part is None or rest.is_absolute() or ".." in rest.parts:
            left.append(f"{name} (no place is set for it)")
            continue
        path = places(settings)[part] / rest
        if path.exists():
            if path.read_bytes() != body:
                left.append(f"{name} ({path} is there and differs)")
            continue
        try:
            make_folder(path.parent)
            write_private(path, body)
        except OSError as error:
            left.append(f"{name} ({path}: {error.strerror})")
        else:
            done.append(name)
    return done, left


def ask_twice() -> str:
    """Ask for a new passphrase, twice where somebody types it. Raises ConfigError."""
    passphrase = ask()
    if len(passphrase) < SHORTEST:
        raise ConfigError("passphrase", "…", f"must have at least {SHORTEST} characters")
    if sys.stdin.isatty() and getpass("Again: ") != passphrase:
        raise ConfigError("passphrase", "…", "is not the same both times")
    return passphrase


def ask() -> str:
    """Ask for a passphrase: the first line of what is piped in, else typed unseen."""
    if sys.stdin.isatty():
        return getpass("Passphrase: ")
    return sys.stdin.readline().rstrip(os.linesep)
