"""A loopback server that answers what a real InfluxDB once answered, and to nothing else."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from flows.model.influx_address import InfluxAddress

EXCHANGES = Path(__file__).parent.parent / "data" / "influxdb" / "exchanges.jsonl"


def exchange(name: str) -> dict[str, Any]:
    """Give one recorded exchange by its name."""
    for line in EXCHANGES.read_text().splitlines():
        found: dict[str, Any] = json.loads(line)
        if found["name"] == name:
            return found
    raise KeyError(name)


def address(port: int, request: dict[str, Any]) -> InfluxAddress:
    """Where a recorded request goes here, with its token and organisation."""
    token = request["headers"]["Authorization"].removeprefix("Token ")
    return InfluxAddress(f"http://127.0.0.1:{port}", token, org=dict(_query(request["path"]))["org"])


@contextmanager
def recorded(name: str) -> Iterator[tuple[InfluxAddress, dict[str, Any]]]:
    """Serve one exchange; gives where, and its request. Anything else that was asked fails the test."""
    known, others = exchange(name), []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            asked = _asked(self)
            if asked != _expected(known["request"]):
                others.append(asked)
                self.send_error(501, "never recorded")
                return
            response = known["response"]
            if response["status"] is None:  # the connection ended instead
                self.close_connection = True
                return
            body = (response["body"] or "").encode()
            self.send_response_only(response["status"])
            for header, value in response["headers"].items():
                if header.lower() not in ("content-length", "transfer-encoding", "content-encoding", "date"):
                    self.send_header(header, value)
            if response["status"] != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with _serving(Handler) as port:
        yield address(port, known["request"]), known["request"]
    assert not others, f"asked for what was never recorded: {others}"


def _asked(handler: BaseHTTPRequestHandler) -> dict[str, Any]:
    """What a request is about, however it is packed: method, path, parameters, token, lines or Flux."""
    raw = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
    body = (gzip.decompress(raw) if handler.headers.get("Content-Encoding") == "gzip" else raw).decode()
    path = urlsplit(handler.path).path
    if path == "/api/v2/query":
        body = json.loads(body)["query"]
    return _request(handler.command, handler.path, handler.headers.get("Authorization", ""), body)


def _expected(request: dict[str, Any]) -> dict[str, Any]:
    body = request.get("body_described") or request["body"] or ""
    return _request(request["method"], request["path"], request["headers"].get("Authorization", ""), body)


def _request(method: str, path: str, token: str, body: str) -> dict[str, Any]:
    return {
        "method": method,
        "path": urlsplit(path).path,
        "query": sorted(_query(path)),
        "token": token,
        "body": body,
    }


def _query(path: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(path).query)


@contextmanager
def proxy(status: int, body: str, **headers: str) -> Iterator[InfluxAddress]:
    """Serve what a proxy in front of InfluxDB says, whatever is asked."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response_only(status)
            for header, value in headers.items():
                self.send_header(header.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = _answer

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with _serving(Handler) as port:
        yield InfluxAddress(f"http://127.0.0.1:{port}", "TOKEN")


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
