"""What `heatpump token` and `heatpump user` share: options, checks, lists."""

import json
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import Data
from flows.errors import ConfigError

if TYPE_CHECKING:
    from flows.access.account import Account, Devices, Scope

Name = Annotated[str, typer.Argument(help="Its name, as the audit shows it.", show_default=False)]
AskedScope = Annotated[
    str, typer.Option("--scope", help="read; command: acknowledge, describe, retry; admin: forget, set groups.")
]
DeviceIds = Annotated[
    list[str] | None, typer.Option("--device", help="A device it may see; may be repeated. Without any: all.")
]
Groups = Annotated[
    list[str] | None, typer.Option("--group", help="A group whose devices it may see; may be repeated.")
]
Expires = Annotated[
    str | None,
    typer.Option("--expires", help="For how long (90d), or its last day (2027-12-31, UTC); else always."),
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]


def asked_scope(text: str) -> "Scope":
    """Read a scope. Raises ConfigError."""
    from flows.access.account import GRANTED

    found = next((scope for scope in GRANTED if scope == text), None)
    if found is None:
        raise ConfigError("--scope", text, f"must be one of {', '.join(GRANTED)}")
    return found


def asked_devices(ids: list[str] | None, groups: list[str] | None) -> "Devices":
    """Read a set of devices: all, where none is named. Raises ConfigError."""
    from flows.access.account import DeviceSet
    from flows.cli.options import checked_device
    from flows.model.device import GROUP

    for device_id in ids or ():
        checked_device("--device", device_id)
    for group in groups or ():
        if not GROUP.fullmatch(group):
            raise ConfigError("--group", group, "must be 1 to 64 letters, digits, _ . or -, not _ . - first")
    return DeviceSet(tuple(ids or ()), tuple(groups or ())) if ids or groups else "all"


def asked_end(text: str | None, now: datetime) -> datetime | None:
    """Read when something ends: after a time, or with a day. Raises ConfigError."""
    from flows.model.times import duration_ms

    if text is None:
        return None
    try:
        if "-" in text:
            end = datetime.combine(date.fromisoformat(text) + timedelta(days=1), time(), UTC)
        else:
            end = now + timedelta(milliseconds=duration_ms(text))
    except (ValueError, OverflowError):
        raise ConfigError("--expires", text, "must be a time such as 90d, or a day such as 2027-12-31") from None
    if end <= now:
        raise ConfigError("--expires", text, "is over already")
    return end


def now() -> datetime:
    """Read the clock, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def add(account: "Account", accounts: list["Account"]) -> None:
    """Add an account whose name is free. Raises ConfigError."""
    from flows.access.account import check_account
    from flows.errors import BadQuery

    try:
        check_account(account)
    except BadQuery as error:
        raise ConfigError(error.name, error.value, error.allowed) from None
    taken = next((each for each in accounts if each.name == account.name), None)
    if taken is not None:
        remedy = "token revoke" if taken.kind == "token" else "user remove"
        raise ConfigError("name", account.name, f"is a {taken.kind} already; `heatpump {remedy}` takes it away")
    accounts.append(account)


def index_of(name: str, kind: str, accounts: list["Account"]) -> int:
    """Find an account by name. Raises ConfigError that names those there are."""
    for i, account in enumerate(accounts):
        if account.name == name and account.kind == kind:
            return i
    there = ", ".join(account.name for account in accounts if account.kind == kind) or "none"
    raise ConfigError("name", name, f"is no {kind}; there are: {there}")


def say_rights(account: "Account") -> str:
    """Say what an account may, in a few words."""
    until = f", until {account.expires:%Y-%m-%d %H:%M} UTC" if account.expires else ""
    return f"scope {account.scope}, {say_devices(account)}{until}"


def say_devices(account: "Account") -> str:
    """Name its devices."""
    if account.devices == "all":
        return "all devices"
    groups = [f"group {group}" for group in account.devices.groups]
    return ", ".join([*account.devices.ids, *groups])


def show(accounts: list["Account"], kind: str, as_json: bool) -> None:
    """List tokens or users; nothing that is secret is known of them."""
    shown = [account for account in accounts if account.kind == kind]
    if as_json:
        import msgspec

        lines = [msgspec.to_builtins(msgspec.structs.replace(each, token="", password="")) for each in shown]
        typer.echo(json.dumps(lines))
        return
    if not shown:
        typer.echo(f"No {kind} yet: `heatpump {kind} add NAME` makes one.")
        return
    moment = now()
    for account in sorted(shown, key=lambda each: each.name):
        over = "expired: " if account.expires is not None and account.expires <= moment else ""
        made = f", made {account.created:%Y-%m-%d}" if account.created else ""
        typer.echo(f"{account.name}: {over}{say_rights(account)}{made}")


def accounts_of(data: Data) -> "list[Account]":
    """Read all tokens and users. Raises ConfigError."""
    from flows.access import file
    from flows.settings import load_settings

    return file.read(load_settings(data=data).access_path)


def end(name: str, kind: str, data: Data) -> None:
    """Take a token or user away. Raises ConfigError where there is none."""
    from flows.access import file
    from flows.settings import load_settings

    with file.changing(load_settings(data=data).access_path) as accounts:
        del accounts[index_of(name, kind, accounts)]
