"""Who connected, as Mosquitto's log tells it: at most the last two files of 2 MB, see deploy/mosquitto/run.sh."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

# The end is Mosquitto's own; before it stands the client id, which may be any text a client chose.
_CONNECTED = re.compile(r"(\d+): New client connected from (\S+):\d+ as (.*) \(p\d+, c\d, k\d+, u'([^']*)'\)\.$")
_MADE = re.compile(r"(?:auto-)?[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}")
"""A client id that the broker made for a client without one."""


class Seen(NamedTuple):
    """When a client last connected. client_id: "" where the broker made one. at: [ms since 1970, UTC]"""

    user: str
    client_id: str
    address: str
    at: int


def connections(log: Path) -> list[Seen]:
    """Read who connected, each user with each client id (or, without one, address) once, newest first.

    Raises OSError where the log cannot be read.
    """
    found: dict[tuple[str, str], Seen] = {}
    old = log.with_name(f"{log.name}.1")
    for path in (old, log) if old.exists() else (log,):
        with path.open(encoding="utf-8", errors="replace") as lines:
            for seen in _read(lines):
                found[seen.user, seen.client_id or seen.address] = seen
    return sorted(found.values(), key=lambda seen: seen.at, reverse=True)


def _read(lines: Iterable[str]) -> Iterable[Seen]:
    for line in lines:
        if match := _CONNECTED.match(line.rstrip("\n")):
            at, address, client_id, user = match.groups()
            yield Seen(user, "" if _MADE.fullmatch(client_id) else client_id, address, int(at) * 1000)


def last_by_user(seen: Iterable[Seen]) -> dict[str, Seen]:
    """Give each user's newest."""
    last: dict[str, Seen] = {}
    for one in seen:
        if one.user not in last or one.at > last[one.user].at:
            last[one.user] = one
    return last
