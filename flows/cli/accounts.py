"""heatpump accounts: the deployed broker's accounts other than the devices'."""

import time
from typing import Annotated

import typer

from flows.cli.options import Data

LOOK_S = 1.0


def sync(
    watch: Annotated[bool, typer.Option("--watch", help="Go on, whenever a secret changes.")] = False,
    data: Data = None,
) -> int:
    """Make our own accounts and the shared one from their secrets.

    Devices' accounts stay as they are. Twice is as once. The secrets: HEATPUMP_MQTT_FLOW_PASSWORD,
    HEATPUMP_MQTT_API_PASSWORD, HEATPUMP_MQTT_HEALTH_PASSWORD; of the shared account MQTT_USER: MQTT_PASSWORD.
    One that is not given has no account.

    Examples:
      heatpump accounts sync

      HEATPUMP_SECRETS=/run/secrets heatpump accounts sync --watch
    """
    from flows.accounts.sync import sync as made
    from flows.settings import load_settings

    changes = made(load_settings(data=data))
    for change in changes:
        typer.echo(change)
    if not watch:
        if not changes:
            typer.echo("nothing to change")
        return 0
    _go_on(data)
    return 0


def _go_on(data: Data) -> None:
    """Do it again each second until SIGTERM; a secret that is being replaced may be missing for a moment."""
    import signal
    import threading

    from flows.accounts.sync import sync as made
    from flows.errors import HeatPumpError
    from flows.settings import load_settings

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    told = ""
    while not stop.wait(LOOK_S):
        try:
            changes, problem = made(load_settings(data=data)), ""
        except (HeatPumpError, OSError) as error:
            changes, problem = [], str(error)
        if problem and problem != told:
            typer.echo(f"heatpump: {problem}; trying again", err=True)
        told = problem
        for change in changes:
            typer.echo(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {change}")


def per_device(
    undo: Annotated[bool, typer.Option("--undo", help="Let the shared account be again.")] = False,
    data: Data = None,
) -> int:
    """End the shared account: each device has its own from now on.

    What still uses it is disconnected and refused, see `heatpump device list` beforehand. The broker starts anew,
    and on its TLS port a client id is then the user's name, so that no device can take another's session.

    Examples:
      heatpump accounts per-device

      heatpump accounts per-device --undo
    """
    from flows.accounts.devices import per_device as change
    from flows.settings import load_settings

    settings = load_settings(data=data)
    changed = change(settings, undo)
    if undo:
        again = "the shared account may be: `heatpump accounts sync` makes it from MQTT_PASSWORD"
        typer.echo(again if changed else "the shared account was never ended")
    else:
        typer.echo("the shared account is ended" if changed else "there is no shared account: nothing to change")
    return 0


per_device.__name__ = "per-device"

ACCOUNT_COMMANDS = (sync, per_device)
