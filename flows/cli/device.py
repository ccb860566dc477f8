"""heatpump device: a device's own account at the deployed broker."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import Data
from flows.cli.words import printable

if TYPE_CHECKING:
    from flows.accounts.connections import Seen
    from flows.accounts.handout import Handout
    from flows.settings import Settings

Device = Annotated[list[str], typer.Argument(help="Ids of devices.", metavar="DEVICE…", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]


def add(
    device: Device,
    renew: Annotated[bool, typer.Option("--renew", help="Give another password; the old one ends.")] = False,
    host: Annotated[
        str | None, typer.Option(help="HOST or HOST:PORT the device connects to; else HEATPUMP_MQTT_ADDRESS.")
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(help="CA certificate of MQTT over TLS; else HEATPUMP_MQTT_CA.")
    ] = None,
    as_json: AsJson = False,
    data: Data = None,
) -> int:
    """Make an account for each device, and print what goes into it.

    The password is shown this once: the lines of its config.h, and in a terminal a QR code of the same. The broker
    knows it within two seconds.

    Examples:
      heatpump device add site1 --host 192.168.1.20

      heatpump device add site1 --renew

      heatpump device add site2 site3 --json
    """
    from flows.accounts.devices import add as make
    from flows.accounts.handout import Handout
    from flows.settings import load_settings

    settings = load_settings(data=data)
    where, port, certificate = _way(settings, host, ca)
    made = []
    try:
        for device_id in device:  # each is shown even if the next is refused: its password is told only here
            made.append(Handout(device_id, make(settings, device_id, renew), where, port, certificate))
            if not as_json:
                _show(made[-1])
    finally:
        if as_json:
            typer.echo(json.dumps([{**one._asdict(), "address": one.address} for one in made]))
    return 0


def _way(settings: "Settings", host: str | None, ca: Path | None) -> tuple[str, int, str]:
    """Host, port and CA (PEM, "" without TLS) by which devices reach the broker. Raises ConfigError."""
    from flows.accounts.handout import TLS_PORT, UNKNOWN_HOST, fingerprint, split_address
    from flows.errors import ConfigError

    given = host or settings.mqtt_address or UNKNOWN_HOST
    try:
        where, port = split_address(given)
    except ValueError as error:
        raise ConfigError("--host" if host else "HEATPUMP_MQTT_ADDRESS", given, str(error)) from None
    path, certificate = ca or (Path(settings.mqtt_ca) if settings.mqtt_ca else None), ""
    if path is not None:
        try:
            certificate = path.read_text()
            fingerprint(certificate)
        except (OSError, ValueError) as error:
            name = "--ca" if ca else "HEATPUMP_MQTT_CA"
            raise ConfigError(name, str(path), f"must be a certificate in PEM ({error})") from None
    return where, port or (TLS_PORT if certificate else 1883), certificate


def _show(handout: "Handout") -> None:
    """Print it; the QR code only where a person may see it."""
    typer.echo(handout.config_h)
    if handout.ca:
        typer.echo(f"// MQTT over TLS; the CA that it must trust:\n{handout.ca.strip()}")
    if sys.stdout.isatty():
        import segno

        segno.make(handout.address, micro=False, error="m").terminal(compact=True)


def revoke(device: Device, data: Data = None) -> int:
    """Take the accounts of devices away: what is connected is disconnected, within two seconds.

    What they sent stays, and so does their history; `heatpump device add` gives a new account.

    Examples:
      heatpump device revoke site1
    """
    from flows.accounts.devices import revoke as end
    from flows.settings import load_settings

    settings = load_settings(data=data)
    for device_id in device:
        end(settings, device_id)
        typer.echo(f"{device_id} has no account any more")
    return 0


def list_(as_json: AsJson = False, data: Data = None) -> int:
    """List accounts of devices, since when, last connected, and who uses the shared account.

    When a device connected is in the broker's log (HEATPUMP_MQTT_LOG), which goes back some weeks at most.

    Examples:
      heatpump device list

      heatpump device list --json
    """
    from flows.accounts.book import read
    from flows.accounts.connections import last_by_user
    from flows.model.device import in_order
    from flows.model.times import iso
    from flows.settings import load_settings

    settings = load_settings(data=data)
    book, seen = read(settings.accounts_folder), _connections(settings)
    last = last_by_user(seen)
    lines = [
        {
            "device_id": name,
            "since": iso(account.since),
            "renewed": iso(account.renewed) if account.renewed else None,
            "connected": iso(last[name].at) if name in last else None,
            "address": last[name].address if name in last else None,
        }
        for name, account in sorted(book.devices.items(), key=lambda item: in_order(item[0]))
    ]
    shared = [
        {"client_id": one.client_id or None, "address": one.address, "connected": iso(one.at)}
        for one in seen
        if book.shared_account and one.user == book.shared
    ]
    if as_json:
        named = book.shared if book.shared_account else None
        typer.echo(json.dumps({"devices": lines, "shared": named, "shared_clients": shared}))
        return 0
    for line in lines:
        connected = f"last connected {line['connected']} from {line['address']}" if line["connected"] else "–"
        typer.echo(printable(f"{line['device_id']:<20} since {line['since']}  {connected}"))
    if not lines:
        typer.echo("No device has an account of its own; `heatpump device add site1` makes one.")
    if book.shared_account:
        typer.echo(printable(f"{book.shared} is shared: any device that has its password may send as any other."))
        for client in shared:
            name = client["client_id"] or "a client without an id"
            typer.echo(printable(f"  {name} from {client['address']}, last {client['connected']}"))
    return 0


def _connections(settings: "Settings") -> "list[Seen]":
    from flows.accounts.connections import connections

    if not settings.mqtt_log:
        return []
    try:
        return connections(Path(settings.mqtt_log))
    except OSError as error:
        typer.echo(f"heatpump: HEATPUMP_MQTT_LOG: {settings.mqtt_log}: {error.strerror}", err=True)
        return []


list_.__name__ = "list"

DEVICE_COMMANDS = (add, revoke, list_)
