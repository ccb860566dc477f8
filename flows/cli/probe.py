"""Whether a process of ours on this machine is alive, or ready: for health checks that run every few seconds.

Nothing that takes time is imported here: with the libraries of settings and command line, asking would cost ten
times the processor time of answering.

Alive: it answers. A store or broker that is away kills nobody: what arrives is kept, and a restart would not help.
Ready: it does its work just now.
"""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

from flows.lock import is_held

ANSWER_S = 5.0
MOST_BYTES = 65_536
DEFAULTS = {
    "HEATPUMP_DATA": "data",
    "HEATPUMP_API_HOST": "127.0.0.1",
    "HEATPUMP_API_PORT": "8000",
    "HEATPUMP_PANEL_HOST": "127.0.0.1",
    "HEATPUMP_PANEL_PORT": "5006",
}
"""As in flows/settings.py."""


def problem_of(process: str, ready: bool) -> str:
    """Say what is wrong with the flow, the api or the panel, "" if nothing."""
    try:
        return PROCESSES[process](ready)
    except (OSError, ValueError) as error:
        return f"does not answer: {error}"


def report(process: str, ready: bool) -> int:
    """Print one line; return the exit code."""
    problem, state = problem_of(process, ready), "ready" if ready else "alive"
    print(f"{process} {problem or f'is {state}'}")  # noqa: T201
    return int(bool(problem))


def _flow(ready: bool) -> str:
    data = Path(_value("HEATPUMP_DATA"))
    try:
        note = json.loads((data / "run" / "flow.json").read_text())
        host, port = str(note["command_host"]), int(note["command_port"])
    except FileNotFoundError:
        if not is_held(data / "lock"):
            return "does not run"
        return "is not ready: it starts, or waits for its store" if ready else ""
    except (TypeError, KeyError):
        return "has left a note that makes no sense"
    status, _ = _get(host, port, "/readyz" if ready else "/healthz")
    return _judged(status, ready)


def _api(ready: bool) -> str:
    host, port = _reachable(_value("HEATPUMP_API_HOST")), int(_value("HEATPUMP_API_PORT"))
    status, _ = _get(host, port, "/api/health" if ready else "/")
    return _judged(status, ready)


def _panel(ready: bool) -> str:
    status, body = _get(_reachable(_value("HEATPUMP_PANEL_HOST")), int(_value("HEATPUMP_PANEL_PORT")), "/health")
    if ready and status == 200 and json.loads(body).get("live") is not True:
        return "is not ready: it does not hear the API"
    return _judged(status, ready)


PROCESSES: dict[str, Callable[[bool], str]] = {"flow": _flow, "api": _api, "panel": _panel}


def _judged(status: int, ready: bool) -> str:
    if status == 200:
        return ""
    return "is not ready" if ready and status == 503 else f"answers {status}"


def _value(name: str) -> str:
    """Read a setting as flows/settings.py does: the environment, a file of secrets, its default."""
    given, folder = os.environ.get(name, ""), os.environ.get("HEATPUMP_SECRETS", "")
    if not given and folder:
        try:
            given = (Path(folder) / name).read_text().strip()
        except FileNotFoundError:
            pass
    return given or DEFAULTS[name]


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _get(host: str, port: int, path: str) -> tuple[int, bytes]:
    """Ask over HTTP: the status and the body. Raises OSError, ValueError."""
    shown = f"[{host}]" if ":" in host else host
    with socket.create_connection((host, port), ANSWER_S) as link:
        link.sendall(f"GET {path} HTTP/1.0\r\nHost: {shown}:{port}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while len(answer) < MOST_BYTES and (data := link.recv(MOST_BYTES)):
            answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/"):
        raise ValueError("no answer that makes sense")
    return int(words[1]), body
