"""book: the accounts in force, by token and by name; the file is looked at each second, and for who is unknown."""

import hmac
import logging
import os
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from flows.access import file, tokens
from flows.access.account import Account, stands
from flows.errors import ConfigError

log = logging.getLogger("heatpump.access")

LOOK_EVERY_S = 1.0
"""How long a change of the file may stay unseen; so long a revoked token may still be taken. [s]"""

MISSED_EVERY_S = 0.05
"""How long an account that was just made may stay unknown; guessing costs us no more looks than these. [s]"""

_Seen = tuple[int, int, int, int] | str


def _now() -> datetime:
    return datetime.now(UTC)


class Book:
    """Accounts of a file beside those that settings make. Finding a token is one digest and one look-up.

    A file that cannot be read opens nothing: what was read before stays in force, and nothing else.
    One that is gone has no accounts.
    """

    def __init__(
        self,
        path: Path,
        fixed: Iterable[Account] = (),
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = _now,
    ) -> None:
        """Read the file. fixed: accounts of settings, with the digest of their token."""
        self._path, self._clock, self._now = path, clock, now
        self._fixed = {account.token: account for account in fixed}
        self._tokens: dict[str, Account] = dict(self._fixed)
        self._users: dict[str, Account] = {}
        self._seen: _Seen | None = None
        self._looked = -LOOK_EVERY_S
        self.look()

    def by_token(self, token: str) -> Account | None:
        """Find the account of a token; None if there is none, or it has expired."""
        self.look()
        digest = tokens.digest_of(token)
        account = self._tokens.get(digest)
        if account is None:
            self.look(MISSED_EVERY_S)
            account = self._tokens.get(digest)
        if account is None or not hmac.compare_digest(account.token, digest):
            return None
        return account if stands(account, self._now()) else None

    def user(self, name: str) -> Account | None:
        """Find a user; None if there is none, or it has expired."""
        self.look()
        if name not in self._users:
            self.look(MISSED_EVERY_S)
        account = self._users.get(name)
        return account if account is not None and stands(account, self._now()) else None

    @property
    def has_users(self) -> bool:
        """Whether anybody can log in."""
        self.look()
        return bool(self._users)

    def look(self, every_s: float = LOOK_EVERY_S) -> None:
        """Read the file again if it is another than before, unless it was looked at within every_s."""
        now = self._clock()
        if now - self._looked < every_s:
            return
        self._looked = now
        seen = self._stat()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            accounts = file.read(self._path)
        except ConfigError as error:
            kept = len(self._tokens) - len(self._fixed) + len(self._users)
            log.error("%s; the %d accounts read before stay in force", error, kept)
            return
        self._tokens = {account.token: account for account in accounts if account.token} | self._fixed
        self._users = {account.name: account for account in accounts if account.password}
        log.info("%d tokens and users in %s", len(accounts), self._path)

    def _stat(self) -> _Seen:
        """Tell one state of the file from another; links are followed, as Kubernetes swaps them."""
        try:
            found = os.stat(self._path)
        except OSError as error:
            return error.strerror or type(error).__name__
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
