"""account: one token or user, and whether it may do something to a device. Pure: no file, no clock."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from flows.access.passwords import KEPT
from flows.errors import BadQuery
from flows.model.device import DEVICE_ID, GROUP

Scope = Literal["metrics", "read", "command", "admin"]
"""Each holds those before it. metrics: nothing but GET /metrics, of the token made for that alone."""

GRANTED: tuple[Scope, ...] = ("read", "command", "admin")
"""What a token or user can be given."""

RANK: dict[Scope, int] = {"metrics": 0, "read": 1, "command": 2, "admin": 3}

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
TOKEN = re.compile(r"[0-9a-f]{64}")
RESERVED = frozenset({"api", "api-token", "metrics-token"})
"""Names that the audit has for others."""

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
GroupOf = Callable[[str], str]
"""Gives a device's group as its metadata has it now, "" of one that has none or is not known."""


class DeviceSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The devices of these ids, and those whose metadata names one of these groups."""

    ids: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


Devices = Literal["all"] | DeviceSet


class Account(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A token or a user: exactly one of `token` and `password` is set.

    name     : as the audit shows it.
    created  : when; None of those that settings make.
    expires  : from when on it is refused; None: never.
    token    : SHA-256 of the token, hexadecimal.
    password : as passwords.py writes it.
    """

    name: str
    scope: Scope
    devices: Devices
    created: Instant | None = None
    expires: Instant | None = None
    token: str = ""
    password: str = ""

    @property
    def kind(self) -> Literal["token", "user"]:
        """What it is."""
        return "token" if self.token else "user"

    @property
    def has_all(self) -> bool:
        """Whether it may see all devices, and so what is about the whole system."""
        return self.devices == "all"


ANYONE = Account("", "admin", "all")
"""Who asks on loopback without a credential."""


def stands(account: Account, now: datetime) -> bool:
    """Tell whether an account has not expired."""
    return account.expires is None or now < account.expires


def has_scope(account: Account, scope: Scope) -> bool:
    """Tell whether an account may do such things at all."""
    return RANK[account.scope] >= RANK[scope]


def includes(devices: Devices, device_id: str, group_of: GroupOf) -> bool:
    """Tell whether a set holds a device. The group is only looked up where it can matter."""
    if devices == "all":
        return True
    if device_id in devices.ids:
        return True
    return bool(devices.groups) and (group_of(device_id) or None) in devices.groups


def permits(account: Account, scope: Scope, device_id: str | None, group_of: GroupOf) -> bool:
    """Tell whether an account may do something of that scope to a device; None: to the whole system."""
    if not has_scope(account, scope):
        return False
    return account.has_all if device_id is None else includes(account.devices, device_id, group_of)


def check_account(account: Account) -> None:
    """Refuse an account that cannot be. Raises BadQuery."""
    if not NAME.fullmatch(account.name):
        allowed = "must be 1 to 64 letters, digits, _ . @ or -, not _ . @ - first"
        raise BadQuery("name", account.name[:80], allowed)
    if account.name in RESERVED:
        raise BadQuery("name", account.name, "is taken by the settings' own tokens; choose another")
    if account.scope not in GRANTED:
        raise BadQuery("scope", account.scope, f"must be one of {', '.join(GRANTED)}")
    if bool(account.token) == bool(account.password):
        raise BadQuery("account", account.name, "must have either a token or a password")
    if account.token and not TOKEN.fullmatch(account.token):
        raise BadQuery("token", "…", "must be the SHA-256 of a token, 64 hexadecimal digits")
    if account.password and not KEPT.fullmatch(account.password):
        raise BadQuery("password", "…", "must be a digest as `heatpump user` writes it")
    if account.devices == "all":
        return
    if not (account.devices.ids or account.devices.groups):
        raise BadQuery("devices", "", 'must be "all", or name a device or a group')
    for device_id in account.devices.ids:
        if not DEVICE_ID.fullmatch(device_id):
            allowed = "must be 1 to 64 letters, digits, _ . or -, not _ . - first"
            raise BadQuery("devices.ids", device_id[:80], allowed)
    for group in account.devices.groups:
        if not GROUP.fullmatch(group):
            raise BadQuery("devices.groups", group[:80], "must be 1 to 64 letters, digits, _ . or -")
