"""heatpump user: who may log in to pages and API: made, listed, given another password, removed."""

import sys
from typing import Annotated

import typer

from flows.cli.granting import AsJson, AskedScope, DeviceIds, Expires, Groups, Name
from flows.cli.options import Data

FromStdin = Annotated[
    bool,
    typer.Option("--password-stdin", help="Read the password's line from standard input, at a terminal ask."),
]


def add(
    name: Name,
    scope: AskedScope = "read",
    device: DeviceIds = None,
    group: Groups = None,
    expires: Expires = None,
    password_stdin: FromStdin = False,
    data: Data = None,
) -> int:
    """Make a user who may log in. Without --password-stdin a password is made and printed, once.

    A password is never an option: it would stand in the process list. Only its digest is kept.

    Examples:
      heatpump user add anna --scope admin

      heatpump user add customer7 --device site7

      heatpump user add office --scope command --group north --password-stdin < password.txt
    """
    from flows.access import file, passwords
    from flows.access.account import Account
    from flows.cli import granting
    from flows.settings import load_settings

    moment, path = granting.now(), load_settings(data=data).access_path
    rights = granting.asked_scope(scope), granting.asked_devices(device, group)
    end = granting.asked_end(expires, moment)
    password = _password(password_stdin)
    account = Account(name, *rights, moment, end, password=passwords.digest_of(password))
    with file.changing(path) as accounts:
        granting.add(account, accounts)
    typer.echo(f"User {name}: {granting.say_rights(account)}.", err=True)
    _show(password, password_stdin)
    return 0


def list_(as_json: AsJson = False, data: Data = None) -> int:
    """List users: scope, devices, until when.

    Examples:
      heatpump user list

      heatpump user list --json
    """
    from flows.cli import granting

    granting.show(granting.accounts_of(data), "user", as_json)
    return 0


def password(name: Name, password_stdin: FromStdin = False, data: Data = None) -> int:
    """Give a user another password; all sessions of the old one end within two seconds.

    Examples:
      heatpump user password anna
    """
    from msgspec import structs

    from flows.access import file, passwords
    from flows.cli import granting
    from flows.settings import load_settings

    path = load_settings(data=data).access_path
    granting.index_of(name, "user", file.read(path))
    new = _password(password_stdin)
    digest = passwords.digest_of(new)
    with file.changing(path) as accounts:
        i = granting.index_of(name, "user", accounts)
        accounts[i] = structs.replace(accounts[i], password=digest)
    typer.echo(f"User {name} has another password; what was logged in with the old one is logged out.", err=True)
    _show(new, password_stdin)
    return 0


def remove(name: Name, data: Data = None) -> int:
    """Take a user away; sessions and WebSockets end within two seconds.

    Examples:
      heatpump user remove customer7
    """
    from flows.cli import granting

    granting.end(name, "user", data)
    typer.echo(f"User {name} is removed.")
    return 0


def _password(from_stdin: bool) -> str:
    """Read a password, or make one. Raises ConfigError, which does not show it."""
    from flows.access import passwords
    from flows.errors import BadQuery, ConfigError

    if not from_stdin:
        return passwords.generated()
    if sys.stdin.isatty():
        read = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        read = sys.stdin.readline().rstrip("\r\n")
    try:
        passwords.check_password(read)
    except BadQuery as error:
        raise ConfigError("password", "…", error.allowed) from None
    return str(read)


def _show(password: str, was_given: bool) -> None:
    if not was_given:
        typer.echo("The password is shown this once:", err=True)
        typer.echo(password)


list_.__name__ = "list"

USER_COMMANDS = (add, list_, password, remove)
