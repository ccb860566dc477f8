"""What stands behind nginx in its tests: two servers that answer what they were asked, and note it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SESSION = "heatpump_session=good"


class Echo(ThreadingHTTPServer):
    """Answers the request as JSON; /api/session as the API does; `?own` with headers that pages or API may
    send, `never` not before the end."""

    daemon_threads = True

    def __init__(self, name: str, port: int) -> None:
        super().__init__(("0.0.0.0", port), _Handler)
        self.name, self.asked = name, list[dict[str, Any]]()
        self.closing = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Echo

    def handle_one_request(self) -> None:
        """Take any method."""
        self.do_GET = self.do_POST = self.do_PUT = self._answer
        super().handle_one_request()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = {
            "name": self.server.name,
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "at": self.connection.getsockname()[0],
            "long": "x" * 2_000 if "long" in self.path else "",
        }
        self.server.asked.append(asked)
        if "never" in self.path:
            self.server.closing.wait()
        known = SESSION in self.headers.get("Cookie", "")
        self.send_response(401 if self.path == "/api/session" and not known else 200)
        body = json.dumps(asked).encode()
        own = {
            "Content-Security-Policy": "default-src 'none'",
            "Cache-Control": "max-age=9",
            "X-Frame-Options": "DENY",
        }
        for name, value in (own if "own" in self.path else {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def echoing(name: str, port: int) -> Iterator[Echo]:
    """Run one."""
    server = Echo(name, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
