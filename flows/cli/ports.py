"""The ports we listen on: which they are, and whether they are free."""

import errno
import socket
from typing import NamedTuple

from flows.errors import ConfigError
from flows.settings import Settings

LOOPBACK, ANYWHERE = "127.0.0.1", "0.0.0.0"


class Wanted(NamedTuple):
    """A port, and how to choose another."""

    option: str
    variable: str
    host: str
    number: int


def wanted_ports(settings: Settings) -> list[Wanted]:
    """List the ports that `up` takes with these settings."""
    wanted = [
        Wanted("--api-port", "HEATPUMP_API_PORT", settings.api_host, settings.api_port),
        Wanted("--panel-port", "HEATPUMP_PANEL_PORT", LOOPBACK, settings.panel_port),
    ]
    if settings.mqtt_broker:
        return wanted
    host = ANYWHERE if settings.lan else LOOPBACK
    return [
        Wanted("--mqtt-port", "HEATPUMP_MQTT_PORT", host, settings.mqtt_port),
        Wanted("--mqtt-ws-port", "HEATPUMP_MQTT_WS_PORT", host, settings.mqtt_ws_port),
        *wanted,
    ]


def check_ports(settings: Settings) -> None:
    """Refuse a port that is taken, or given twice. Raises ConfigError naming the option that changes it."""
    used: dict[int, str] = {}
    for option, variable, host, number in wanted_ports(settings):
        if option == "--api-port" and not _is_ours(host):
            allowed = "is no address of this machine; 127.0.0.1 is for itself alone, 0.0.0.0 for the network"
            raise ConfigError("HEATPUMP_API_HOST", host, allowed)
        problem = f"is the port of {used[number]} too" if number in used else bind_problem(host, number)
        if problem:
            raise ConfigError(option, number, f"{problem}; choose another with {option} or {variable}")
        used[number] = option


def _is_ours(host: str) -> bool:
    with socket.socket(_family(host)) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def bind_problem(host: str, number: int) -> str:
    """Say why we cannot listen there, "" if we can."""
    with socket.socket(_family(host)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
        except PermissionError:
            return "is not allowed: ports below 1024 are for root"
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"is in use{_user_of(number)}"
            return f"cannot be used on {host} ({error.strerror})"
    return ""


def _user_of(number: int) -> str:
    """Name the process that listens on a port, where we may know it."""
    import psutil

    try:
        for link in psutil.net_connections("tcp"):
            if link.pid and link.status == psutil.CONN_LISTEN and link.laddr.port == number:
                return f" by {psutil.Process(link.pid).name()} (pid {link.pid})"
    except psutil.Error:
        pass
    return ""
