"""heatpump demo: a recorded and three simulated heat pumps, with history, then living on."""

from typing import TYPE_CHECKING

import typer

from flows.cli.options import Data, MqttPort

if TYPE_CHECKING:
    from flows.settings import Settings


def demo(
    data: Data = None,
    mqtt_port: MqttPort = None,
) -> int:
    """Load the demo into what `up` runs, and let it live until Ctrl-C.

    A real heat pump's recorded days, and three simulated houses with 13 months of history each. Started again, it
    loads what has come since, and nothing twice. Refuses a folder with devices of its own.

    Examples:
      heatpump demo

      heatpump demo --data demo-data --mqtt-port 1884
    """
    from flows.child import die_with_parent

    die_with_parent()

    from flows.demo.installation import DemoFailed
    from flows.demo.run import run
    from flows.errors import FlowDown, StoreError
    from flows.settings import load_settings

    settings = load_settings(data=data, mqtt_port=mqtt_port)
    try:
        return run(_with_password(settings), typer.echo)
    except (DemoFailed, FlowDown, StoreError) as error:
        typer.echo(f"heatpump: {error}", err=True)
        return 1  # it may go better the next time, unlike with a mistake of the user


def _with_password(settings: "Settings") -> "Settings":
    """Take the password that `up` made for the network, where there is one and no other is given."""
    from pydantic import SecretStr

    secret = settings.data / "secrets" / "mqtt-password"
    if settings.mqtt_password.get_secret_value() or settings.mqtt_broker or not secret.exists():
        return settings
    return settings.model_copy(update={"mqtt_password": SecretStr(secret.read_text().strip())})


def demo_problem(settings: "Settings") -> str:
    """Say whether the demo still loads."""
    from flows.demo.folder import loaded_mark

    return "" if loaded_mark(settings.data).exists() else "loads"
