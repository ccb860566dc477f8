"""What an attacker has: the routes, and requests that no client would send."""

import socket

from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from api.guard import OPEN_PATHS
from tests.api.conftest import Api

SECRET = "secret-of-site3"
ALERT = "site3/voltage_high/50002"
LETTER = 60_002
HIDDEN = (
    ("GET", "/docs"),
    ("GET", "/metrics"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("POST", "/logout"),
    ("GET", "/openapi.json"),
)
SOCKETS = ("/ws", "/api/ws")


def operations(api: Api) -> list[tuple[str, str, dict]]:
    """Every route that is described, and those that are not."""
    paths = api.get("/openapi.json").json()["paths"]
    described = [(method.upper(), path, one) for path, ways in paths.items() for method, one in ways.items()]
    return described + [(method, path, {}) for method, path in HIDDEN]


def at_site3(path: str) -> str:
    """Fill a path with what is site3's."""
    values = {"device_id": "site3", "alert_id": ALERT, "letter_id": str(LETTER), "step": "validate"}
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", value)
    assert "{" not in path, path
    return path


def is_open(path: str) -> bool:
    return path in OPEN_PATHS


def body_of(method: str) -> dict:
    return {} if method in ("GET", "DELETE") else {"json": {}}


def opens(api: Api, path: str, **options) -> bool:
    try:
        with connect(f"ws://127.0.0.1:{api.port}{path}", **options) as ws:
            ws.send("?")
            return '"pong"' in ws.recv(10)
    except InvalidStatus as refusal:
        assert refusal.response.status_code in (401, 403, 421)
        return False


def raw(api: Api, *lines: str, body: bytes = b"") -> bytes:
    """Send what no client would; all that comes back."""
    head = "\r\n".join([*lines, f"Host: 127.0.0.1:{api.port}", "Connection: close", "", ""])
    with socket.create_connection(("127.0.0.1", api.port), timeout=20) as connection:
        answer = b""
        try:
            connection.sendall(head.encode("latin-1") + body)
            while part := connection.recv(65_536):
                answer += part
        except ConnectionError:
            pass  # refused while it was still being sent
    return answer
