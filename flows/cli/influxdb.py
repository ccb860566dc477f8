"""heatpump influxdb: make a server ready for us; INFLUXDB_TOKEN is its operator's for these commands."""

from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import Data

if TYPE_CHECKING:
    from flows.store.influx.server import InfluxServer


def prepare(data: Data = None) -> int:
    """Set up a new InfluxDB, and make the buckets that are missing.

    INFLUXDB_TOKEN is the operator's: that of a server which is set up already, or which the new one shall have.
    INFLUXDB_USER (else admin) and INFLUXDB_PASSWORD are for its own pages. Twice is as once.

    Examples:
      INFLUXDB_URL=http://127.0.0.1:8086 heatpump influxdb prepare
    """
    from flows.settings import load_settings
    from flows.store.influx import buckets, founding

    settings = load_settings(data=data)
    server = _server(data)
    try:
        new = founding.set_up(
            server, settings.influxdb_user or "admin", settings.influxdb_password.get_secret_value()
        )
        buckets.prepare(server)
    finally:
        server.close()
    typer.echo(f"{server.address}: {'set up' if new else 'was set up before'}; the buckets are there")
    return 0


def token(
    revoke: Annotated[
        bool, typer.Option("--revoke", help="Make none: revoke those made by this command, but the newest.")
    ] = False,
    operator: Annotated[
        bool, typer.Option("--operator", help="With the rights of INFLUXDB_TOKEN instead.")
    ] = False,
    data: Data = None,
) -> int:
    """Print a new token that may read and write our buckets alone: for flow and API.

    Examples:
      heatpump influxdb token >data/secrets/influxdb-token

      heatpump influxdb token --revoke
    """
    from flows.store.influx import founding

    server = _server(data)
    try:
        if revoke:
            count = founding.revoke_all_but_newest(server)
            typer.echo(f"{count} older token{'' if count == 1 else 's'} revoked")
        elif operator:
            typer.echo(founding.like_operators(server))
        else:
            typer.echo(founding.new_token(server))
    finally:
        server.close()
    return 0


def revoke(data: Data = None) -> int:
    """Revoke the token that is the first line of what is piped in.

    Examples:
      heatpump influxdb revoke <old-token
    """
    import sys

    from flows.store.influx import founding

    server = _server(data)
    try:
        founding.revoke(server, sys.stdin.readline().strip())
    finally:
        server.close()
    typer.echo("revoked")
    return 0


def password(data: Data = None) -> int:
    """Give INFLUXDB_USER (else admin), who logs in to InfluxDB's own pages, the password INFLUXDB_PASSWORD.

    Examples:
      HEATPUMP_SECRETS=/run/operator heatpump influxdb password
    """
    from flows.settings import load_settings
    from flows.store.influx import founding

    settings = load_settings(data=data)
    server = _server(data)
    try:
        founding.set_password(
            server, settings.influxdb_user or "admin", settings.influxdb_password.get_secret_value()
        )
    finally:
        server.close()
    typer.echo("changed")
    return 0


def _server(data: Data) -> "InfluxServer":
    from flows.errors import ConfigError
    from flows.model.influx_address import InfluxAddress
    from flows.settings import load_settings
    from flows.store.influx.server import InfluxServer

    address = load_settings(data=data).store
    if not isinstance(address, InfluxAddress):
        raise ConfigError("INFLUXDB_URL", "", "is not set: say where the server is, such as http://127.0.0.1:8086")
    return InfluxServer(address)


INFLUXDB_COMMANDS = (prepare, token, revoke, password)
