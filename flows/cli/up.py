"""heatpump up: broker, flow, API and pages, started, watched and stopped together."""

import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import ApiPort, Data, MqttPort, PanelPort, make_private

if TYPE_CHECKING:
    from flows.settings import Settings
    from flows.supervisor import Process


def up(
    data: Data = None,
    mqtt_port: MqttPort = None,
    mqtt_ws_port: Annotated[
        int | None, typer.Option(help="Port of MQTT over WebSocket; else HEATPUMP_MQTT_WS_PORT, else 9001.")
    ] = None,
    api_port: ApiPort = None,
    panel_port: PanelPort = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Load a recorded and three simulated heat pumps, and let them live.")
    ] = False,
    lan: Annotated[
        bool | None,
        typer.Option("--lan", help="Open MQTT to the local network, with a password; else HEATPUMP_LAN."),
    ] = None,
) -> int:
    """Start broker, pipeline, API and pages and watch them.

    Ctrl-C or SIGTERM stops all. With MQTT_BROKER set, that broker is used instead of our own. What dies is started
    again. Warnings are shown, everything is in the data folder's logs.

    Examples:
      heatpump up

      heatpump up --demo

      heatpump up --data /var/lib/heatpump --mqtt-port 1884 --lan
    """
    from contextlib import suppress

    from flows.cli.ports import check_ports
    from flows.demo.folder import check_folder, loaded_mark, note_of
    from flows.errors import RetryableStoreError
    from flows.lock import locked
    from flows.settings import load_settings
    from flows.supervisor import Supervisor

    settings = load_settings(
        data=data,
        mqtt_port=mqtt_port,
        mqtt_ws_port=mqtt_ws_port,
        api_port=api_port,
        panel_port=panel_port,
        lan=lan,
    )
    settings = settings.model_copy(update={"data": settings.data.absolute(), "flow_url": ""})
    _check_lan(settings)
    _ = settings.store  # one that cannot be is refused here, not by each process
    make_private(settings.data)
    with locked(settings.data / "up.lock"):
        check_ports(settings)
        if demo:
            with suppress(RetryableStoreError):  # away, or not made yet: the demo's own process looks again
                check_folder(settings)
        loaded_mark(settings.data).unlink(missing_ok=True)
        settings = _with_password(settings)
        _say(f"starting on {settings.data}")
        processes = _processes(settings, demo or note_of(settings.data).exists())
        return Supervisor(processes, settings.data, _say, lambda: _welcome(settings)).run()


def _check_lan(settings: "Settings") -> None:
    from flows.errors import ConfigError

    if settings.lan and settings.mqtt_broker:
        raise ConfigError(
            "--lan", settings.mqtt_broker, "opens our own broker, but MQTT_BROKER names another: drop one"
        )


def _with_password(settings: "Settings") -> "Settings":
    """Generate the password that the network asks for, where none is set."""
    from pydantic import SecretStr

    from flows.secrets import read_or_create

    if not settings.lan or settings.mqtt_password.get_secret_value():
        return settings
    password = read_or_create(settings.data / "secrets" / "mqtt-password")
    return settings.model_copy(update={"mqtt_password": SecretStr(password)})


def _processes(settings: "Settings", demo: bool) -> "list[Process]":
    """Say what to run, in the order of starting. Without the demo, its process waits until a page asks for it."""
    from flows.cli.checks import api_problem, own_broker_problem, subscription_problem
    from flows.cli.demo import demo_problem
    from flows.cli.panel import SIMULATOR_LINE, panel_problem
    from flows.supervisor import Process

    env = {
        "HEATPUMP_DATA": str(settings.data),
        "HEATPUMP_FLOW_URL": "",  # it runs here
        "MQTT_BROKER": settings.mqtt_broker,
        "MQTT_PORT": str(settings.mqtt_port),
        "MQTT_USER": settings.mqtt_user,
        "MQTT_PASSWORD": settings.mqtt_password.get_secret_value(),
        "HEATPUMP_API_PORT": str(settings.api_port),
        "HEATPUMP_PANEL_PORT": str(settings.panel_port),
        "PYTHONUNBUFFERED": "1",
    }
    heatpump = [sys.executable, "-m", "flows.cli.app"]
    grace_s = 5.0 if settings.influxdb_url else 2.5  # a request that is on its way is waited for
    shown = {SIMULATOR_LINE: simulator_line(settings)}

    processes = [
        Process("flow", [*heatpump, "flow"], env, lambda: subscription_problem(settings), grace_s=grace_s),
        Process(
            "api",
            [*heatpump, "api"],
            env,
            lambda: api_problem(settings),
            settings.api_port,
            grace_s=1.5,
            leaf=True,
        ),
        Process(
            "panel",
            [*heatpump, "panel"],
            {**env, **shown},
            lambda: panel_problem(settings),
            settings.panel_port,
            grace_s=1.5,
            leaf=True,
        ),
        Process(
            "demo",
            [*heatpump, "demo"],
            env,
            lambda: demo_problem(settings),
            grace_s=1.5,
            leaf=True,
            aside=True,
            parked=not demo,
        ),
    ]
    if not settings.mqtt_broker:
        argv = [sys.executable, "-m", "flows.broker", str(_write_broker_config(settings))]
        broker = Process(
            "broker", argv, env, lambda: own_broker_problem(settings), settings.mqtt_port, grace_s=0.5
        )
        processes.insert(0, broker)
    return processes


def _write_broker_config(settings: "Settings") -> Path:
    from flows.broker import rumqttd_config
    from flows.cli.checks import broker_config
    from flows.cli.ports import ANYWHERE, LOOPBACK

    path = broker_config(settings)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = rumqttd_config(
        ANYWHERE if settings.lan else LOOPBACK,
        settings.mqtt_port,
        settings.mqtt_ws_port,
        settings.mqtt_user,
        settings.mqtt_password.get_secret_value(),
    )
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    return path


def _welcome(settings: "Settings") -> None:
    """Say how to use it: what a device needs, and at the end where to look and what to try."""
    from flows.cli.ports import ANYWHERE, LOOPBACK
    from flows.loopback import is_loopback

    if settings.lan:
        _say("for a device's config.h:")
        for name, value in (
            ("MQTT_BROKER", f'"{lan_address()}"'),
            ("MQTT_PORT", settings.mqtt_port),
            ("MQTT_USER", f'"{settings.mqtt_user}"'),
            ("MQTT_PASS", f'"{settings.mqtt_password.get_secret_value()}"'),
            ("DEVICE_ID", '"site1"'),
        ):
            _say(f"#define {name} {value}")
    host = LOOPBACK if settings.api_host == ANYWHERE else settings.api_host
    if not is_loopback(settings.api_host):
        given = settings.api_token.get_secret_value()
        token = "of HEATPUMP_API_TOKEN" if given else f"in {_shown(settings.data / 'secrets' / 'api-token')}"
        _say(f"the API asks for a token (Authorization: Bearer …): the one {token}")
    _say(f"http://{LOOPBACK}:{settings.panel_port}/")
    _say(f"API: http://{host}:{settings.api_port} (every route: http://{host}:{settings.api_port}/docs)")
    _say(f"curl http://{host}:{settings.api_port}/api/health")
    _say(simulator_line(settings))


def simulator_line(settings: "Settings") -> str:
    """Write the command that plays a device against this installation; no secret is in it."""
    script = Path(__file__).parent.parent.parent / "scripts" / "simulate_device.py"
    options = f"--device-id site1 --interval 10{settings.simulator_options}"
    words = [_shown(Path(sys.executable)), _shown(script), options]
    secret = settings.data / "secrets" / "mqtt-password"
    if settings.mqtt_password.get_secret_value():
        words.append(f"--user {settings.mqtt_user}")
        if settings.lan and secret.exists():
            words.insert(0, f'MQTT_PASSWORD="$(cat {_shown(secret)})"')
    return " ".join(words)


def _shown(path: Path) -> str:
    """Shorten a path for people who stand in the working directory."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def lan_address() -> str:
    """This machine's address on the network that leads out; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "<address of this machine>"


def _say(line: str) -> None:
    try:
        print(line, flush=True)  # noqa: T201
    except OSError:  # nobody reads any more; that stops nothing
        pass
