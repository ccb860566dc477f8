"""What `up`, `status` and `doctor` ask of each process; an answer is what is wrong, in words, or nothing."""

import http.client
import json
import os
import socket
import struct
import tomllib
from pathlib import Path
from typing import Any

from flows.errors import FlowDown
from flows.flow_port import FlowPort
from flows.settings import Settings

TIMEOUT_S = 1.0
HEALTH_TIMEOUT_S = 4.0
"""The API itself waits 2 s for a store on a server before it says that none answers."""
LARGE_BACKLOG = 10_000
"""A backlog that does not pass within a second. [frames]"""


def broker_problem(host: str, port: int, user: str, password: str, ca: str = "") -> str:
    """Log in over MQTT 3.1.1 and leave again; ca: over TLS. Raises ConfigError where that is no CA."""
    try:
        with _link(host, port, ca) as link:
            link.sendall(_connect_packet(f"heatpump-check-{os.getpid()}", user, password))
            answer = link.recv(4)
            link.sendall(b"\xe0\x00")
    except OSError as error:
        return f"does not answer at {host}:{port}: {_why(error, host, port, ca)}"
    if answer[:2] == b"\x15\x03":  # an alert of TLS
        return f"speaks TLS at {host}:{port}: HEATPUMP_MQTT_CA is missing, or MQTT_PORT must be one without TLS"
    if len(answer) == 4 and answer[0] == 0x20:
        return (
            "" if answer[3] == 0 else f"refuses the login at {host}:{port}: MQTT_USER and MQTT_PASSWORD must fit"
        )
    return f"ended the login at {host}:{port}: no MQTT broker, or MQTT_USER and MQTT_PASSWORD do not fit"


def _link(host: str, port: int, ca: str) -> socket.socket:
    link = socket.create_connection((host, port), TIMEOUT_S)
    if not ca:
        return link
    from flows.mqtt import tls_of

    with link:  # wrapped, it is another's
        return tls_of(ca).wrap_socket(link, server_hostname=host)


def _why(error: OSError, host: str, port: int, ca: str) -> str:
    if not ca:
        by_tls = isinstance(error, ConnectionResetError)
        return f"{error.strerror or error}" + (
            ": if it is a port of TLS, HEATPUMP_MQTT_CA is missing" if by_tls else ""
        )
    from flows.mqtt import Login, in_words

    return in_words(error, Login(host, port, "", "", ca))


def subscription_problem(settings: Settings) -> str:
    """Ask the flow on its private port whether it is subscribed: all that a start waits for."""
    try:
        return _unsubscribed(flow_health(settings))
    except FlowDown as error:
        return error.why


def flow_problem(settings: Settings) -> str:
    """Ask the flow for everything that is wrong with it."""
    try:
        health = flow_health(settings)
    except FlowDown as error:
        return error.why
    problems = [_unsubscribed(health)]
    if health.get("store_waiting"):
        problems.append(f"waits for the store: {health['store_waiting']}")
    if health.get("damaged_regions") or health.get("missing_frames"):
        places, frames = health["damaged_regions"], health["missing_frames"]
        problems.append(f"met damage in the journal: {places} places, {frames} frames missing")
    if health.get("backlog", 0) > LARGE_BACKLOG:
        problems.append(f"is behind: {health['backlog']} frames wait in the journal")
    return "; ".join(filter(None, problems))


def _unsubscribed(health: dict[str, Any]) -> str:
    if health.get("full"):
        return f"accepts nothing: {health['problem']}"
    return "" if health.get("connected") else f"is not subscribed: {health.get('problem') or 'not yet'}"


def flow_health(settings: Settings) -> dict[str, Any]:
    """Read the flow's own report. Raises FlowDown while it does not answer."""
    return FlowPort(settings, TIMEOUT_S).health()


def api_problem(settings: Settings) -> str:
    """Ask the API for its health."""
    host, port = api_address(settings)
    try:
        health = _get(host, port, "/api/health", api_token_of(settings))
    except OSError as error:
        return f"does not answer at {host}:{port}: {error.strerror or error}"
    if health.get("status") == "healthy":
        return ""
    first = next(iter(health.get("problems") or []), "").partition("; see `")[0]
    return f"is {health.get('status')}" + (f": {first}" if first else "")


def api_address(settings: Settings) -> tuple[str, int]:
    """Say where the API is reached from this machine."""
    host = "127.0.0.1" if settings.api_host in ("0.0.0.0", "::") else settings.api_host
    return host, settings.api_port


def api_token_of(settings: Settings) -> str:
    """Give the token that the API may ask for, "" where there is none."""
    return settings.api_token.get_secret_value() or _first_line(settings.data / "secrets" / "api-token")


def own_broker_login(settings: Settings) -> tuple[str, str]:
    """Read the login that the broker of `up` asks for: user and password, both empty where it asks for none."""
    try:
        tables = tomllib.loads(broker_config(settings).read_text())
        ((user, password),) = tables["v4"]["1"]["connections"].get("auth", {"": ""}).items()
    except FileNotFoundError:
        return "", ""
    return user, password


def own_broker_problem(settings: Settings) -> str:
    """Log in to the broker that `up` started, with the login it asks for."""
    return broker_problem("127.0.0.1", settings.mqtt_port, *own_broker_login(settings))


def broker_config(settings: Settings) -> Path:
    """Where `up` writes its broker's configuration."""
    return settings.data / "run" / "broker.toml"


def _first_line(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def _get(host: str, port: int, path: str, token: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection(host, port, timeout=HEALTH_TIMEOUT_S)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        body = json.loads(answer.read())
    except (http.client.HTTPException, ValueError) as error:
        raise OSError(f"no answer that makes sense ({error})") from None
    finally:
        connection.close()
    if not isinstance(body, dict):
        raise OSError("no answer that makes sense")
    return body


def _connect_packet(client_id: str, user: str, password: str) -> bytes:
    flags, payload = 0x02, _text(client_id)
    if password:
        flags |= 0xC0
        payload += _text(user) + _text(password)
    body = _text("MQTT") + bytes([4, flags, 0, 10]) + payload
    return b"\x10" + _length(len(body)) + body


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">H", len(data)) + data


def _length(number: int) -> bytes:
    encoded = bytearray()
    while True:
        number, low = divmod(number, 128)
        encoded.append(low | (0x80 if number else 0))
        if not number:
            return bytes(encoded)
