"""heatpump token: what programs show the API: made, listed, revoked."""

import typer

from flows.cli.granting import AsJson, AskedScope, DeviceIds, Expires, Groups, Name
from flows.cli.options import Data


def add(
    name: Name,
    scope: AskedScope = "read",
    device: DeviceIds = None,
    group: Groups = None,
    expires: Expires = None,
    data: Data = None,
) -> int:
    """Make a token and print it, once: only its digest is kept.

    The token alone goes to standard output. A running API takes it within two seconds.

    Examples:
      heatpump token add grafana --scope read

      heatpump token add customer7 --device site7 --expires 365d

      heatpump token add office --scope command --group north --group south
    """
    from flows.access import file, tokens
    from flows.access.account import Account
    from flows.cli import granting
    from flows.settings import load_settings

    token, moment = tokens.generated(), granting.now()
    account = Account(
        name,
        granting.asked_scope(scope),
        granting.asked_devices(device, group),
        moment,
        granting.asked_end(expires, moment),
        token=tokens.digest_of(token),
    )
    with file.changing(load_settings(data=data).access_path) as accounts:
        granting.add(account, accounts)
    typer.echo(f"Token {name}: {granting.say_rights(account)}. It is shown this once:", err=True)
    typer.echo(token)
    return 0


def list_(as_json: AsJson = False, data: Data = None) -> int:
    """List tokens: scope, devices, until when. The tokens themselves are not known.

    Examples:
      heatpump token list

      heatpump token list --json
    """
    from flows.cli import granting

    granting.show(granting.accounts_of(data), "token", as_json)
    return 0


def revoke(name: Name, data: Data = None) -> int:
    """Take a token away. A running API refuses it within two seconds, and closes the WebSockets it opened.

    Examples:
      heatpump token revoke customer7
    """
    from flows.cli import granting

    granting.end(name, "token", data)
    typer.echo(f"Token {name} is revoked.")
    return 0


list_.__name__ = "list"

TOKEN_COMMANDS = (add, list_, revoke)
