"""account: who looks at the pages, and what that account may do; the API decides, the pages follow."""

from collections.abc import Mapping
from typing import Any

import msgspec

MOST_NAMED = 8
COMMANDING = ("command", "admin")


class Account(msgspec.Struct, frozen=True):
    """As GET /api/session answers.

    name    : "" where nobody is logged in: on this machine, or while the API cannot say.
    scope   : read, command or admin.
    has_all : whether it may see all devices, and so what is about the whole system.
    ids, groups : else the devices it may see, and groups of them.
    """

    name: str
    scope: str
    has_all: bool
    ids: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    @property
    def may_command(self) -> bool:
        """Whether it may do more than look."""
        return self.scope in COMMANDING

    @property
    def sees(self) -> str:
        """Say which devices it may see."""
        if self.has_all:
            return "all devices"
        named = [*self.ids, *(f"all of group {group}" for group in self.groups)]
        unsaid = len(named) - MOST_NAMED
        return ", ".join(named[:MOST_NAMED]) + (f" and {unsaid} more" if unsaid > 0 else "")


OWN = Account("", "admin", True)
"""Who is on this machine, and asks without a login."""

UNKNOWN = Account("", "read", True)
"""Whoever it is, while the API does not say: it decides, once it answers."""


def account_of(answer: Mapping[str, Any]) -> Account:
    """Read an answer of GET /api/session."""
    devices = answer["devices"]
    if devices == "all":
        return Account(str(answer["name"]), str(answer["scope"]), True)
    ids, groups = (tuple(map(str, devices.get(part) or ())) for part in ("ids", "groups"))
    return Account(str(answer["name"]), str(answer["scope"]), False, ids, groups)
