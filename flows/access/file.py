"""file: the accounts as JSON, replaced whole, readable by its owner alone."""

import fcntl
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from flows.access.account import Account, check_account
from flows.durable import replace_file
from flows.errors import BadQuery, ConfigError

VARIABLE = "HEATPUMP_ACCESS"
MOST_BYTES = 16_000_000


class _Accounts(msgspec.Struct, forbid_unknown_fields=True):
    """The file. An unknown field is refused: a misspelt `expires` would never expire."""

    version: Literal[1]
    accounts: list[Account]


_decode = msgspec.json.Decoder(_Accounts).decode


def read(path: Path) -> list[Account]:
    """Read the accounts; none where there is no file.

    Raises ConfigError that says what is wrong, and shows nothing of what stands there.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(VARIABLE, str(path), f"cannot be read: {error.strerror}") from None
    if len(text) > MOST_BYTES:
        raise ConfigError(VARIABLE, str(path), f"holds more than {MOST_BYTES} bytes")
    try:
        accounts = _decode(text).accounts
        for account in accounts:
            check_account(account)
    except (msgspec.MsgspecError, UnicodeDecodeError, BadQuery, RecursionError) as error:
        allowed = f"is no file of accounts: {error}; `heatpump token` and `heatpump user` write it"
        raise ConfigError(VARIABLE, str(path), allowed) from None
    counted = Counter(account.name for account in accounts)
    if counted and counted.most_common(1)[0][1] > 1:
        raise ConfigError(VARIABLE, str(path), f"has two accounts named {counted.most_common(1)[0][0]!r}")
    return accounts


@contextmanager
def changing(path: Path) -> Iterator[list[Account]]:
    """Give the accounts to change; write them when done. Of two who change at once one waits.

    Raises ConfigError, OSError where it cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _give_to_owner(lock, path.parent)
        fcntl.flock(lock, fcntl.LOCK_EX)
        accounts = read(path)
        before = list(accounts)
        yield accounts
        if accounts != before:
            _write(path, accounts)
    finally:
        os.close(lock)


def _write(path: Path, accounts: list[Account]) -> None:
    text = msgspec.json.format(msgspec.json.encode(_Accounts(1, accounts)), indent=1) + b"\n"
    replace_file(path, text, 0o600, lambda handle: _give_to_owner(handle, path.parent))


def _give_to_owner(handle: int, folder: Path) -> None:
    """Give a file to its folder's owner, where root adds a token for the service's user, who must read it."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(handle, owner.st_uid, owner.st_gid)
