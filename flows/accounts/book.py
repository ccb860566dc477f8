"""The accounts: kept in accounts.json, from which Mosquitto's `passwd` and `acl` are made, all in one folder.

Each file is replaced as a whole: whoever reads sees the old one or the new one. Mosquitto reads them at its
next SIGHUP, which deploy/mosquitto/run.sh sends within two seconds.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from flows.accounts.acl import acl
from flows.durable import replace_file
from flows.errors import ConfigError

PER_DEVICE = "per-device"
"""A file by whose being there run.sh knows that no account is shared."""


class Account(msgspec.Struct):
    """One account.

    hashed : its password, as Mosquitto keeps it.
    since  : when it was made. [ms since 1970, UTC]
    renewed : when it last got another password; 0: never. [ms since 1970, UTC]
    """

    hashed: str
    since: int
    renewed: int = 0


class Book(msgspec.Struct):
    """All accounts, by name. shared: the shared account's name, "" where there is none."""

    services: dict[str, Account] = {}
    devices: dict[str, Account] = {}
    shared: str = ""
    shared_account: Account | None = None
    per_device: bool = False


def read(folder: Path) -> Book:
    """Read the accounts; none where there is no file yet. Raises ConfigError, OSError."""
    path = folder / "accounts.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Book)
    except FileNotFoundError:
        return Book()
    except msgspec.DecodeError as error:
        allowed = f"cannot be read ({error}); restore it from a backup, or remove it and add each device anew"
        raise ConfigError("HEATPUMP_MQTT_ACCOUNTS", str(path), allowed) from None


@contextmanager
def changing(folder: Path) -> Iterator[Book]:
    """Read the accounts, have them changed, and write what changed; of several at once one waits for the other."""
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    with open(os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        book = read(folder)
        yield book
        write(folder, book)


def write(folder: Path, book: Book) -> None:
    """Make the files say what the book does. What says so already is left alone."""
    _keep(folder / "accounts.json", msgspec.json.format(msgspec.json.encode(book)) + b"\n", 0o600)
    shared = book.shared if book.shared_account else ""
    _keep(folder / "acl", acl(shared).encode(), 0o640)
    accounts = {**book.services, **book.devices}
    if book.shared_account:
        accounts[book.shared] = book.shared_account
    lines = [f"{name}:{account.hashed}\n" for name, account in sorted(accounts.items())]
    # Never empty: Mosquitto would refuse to start, and nobody would know why.
    _keep(folder / "passwd", "".join(["# Made by `heatpump accounts`.\n", *lines]).encode(), 0o640)
    if book.per_device:
        (folder / PER_DEVICE).touch(0o640)
    else:
        (folder / PER_DEVICE).unlink(missing_ok=True)


def _keep(path: Path, content: bytes, mode: int) -> None:
    """Have a file hold that."""
    with suppress(FileNotFoundError):
        if path.read_bytes() == content:
            if path.stat().st_mode & 0o777 != mode:  # as a restore leaves it: the broker could not read it
                path.chmod(mode)
            return
    replace_file(path, content, mode)
