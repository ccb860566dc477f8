"""login: a name and a password made into a session, slowly for who guesses."""

import asyncio
import logging
import math

from starlette.concurrency import run_in_threadpool

from api.access import Access
from flows.access import passwords
from flows.access.account import Account

log = logging.getLogger("heatpump.api.login")

MOST_AT_ONCE = 16
"""So many may wait for their password to be compared, one after the other; another is told to come again."""

BUSY_S = 5


class TooMany(Exception):
    """Has to wait. seconds: how long."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = math.ceil(seconds)


class Door:
    """Compares passwords, one at a time: each costs 16 MB and a part of a second."""

    def __init__(self, access: Access) -> None:
        self._access, self._turn, self._waiting = access, asyncio.Lock(), 0

    async def enter(self, name: str, password: str, address: str) -> Account | None:
        """Find the user of a name and a password; None if they are not right. Raises TooMany.

        It takes the same work whether or not there is such a user.
        """
        if self._waiting >= MOST_AT_ONCE:
            raise TooMany(BUSY_S)
        self._waiting += 1
        try:
            async with self._turn:
                return await self._compare(name, password[: passwords.LONGEST], address)
        finally:
            self._waiting -= 1

    async def _compare(self, name: str, password: str, address: str) -> Account | None:
        brake = self._access.brake
        wait = brake.wait(name, address)
        if wait > 0:
            raise TooMany(wait)
        user = self._access.book.user(name)
        kept = user.password if user is not None else passwords.NOBODYS
        is_right = await run_in_threadpool(passwords.matches, password, kept)
        if user is None or not is_right:
            brake.failed(name, address)
            # The name only of who is known: people type passwords into the wrong field.
            who = repr(user.name) if user is not None else "nobody who is known"
            log.warning("a log-in as %s from %.64s failed", who, address)
            return None
        brake.succeeded(name, address)
        log.info("%r logged in", user.name)
        return user
