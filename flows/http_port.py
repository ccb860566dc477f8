"""A small HTTP server of the flow's own: bounded connections and time, a token, nothing of it in the log."""

import errno
import hmac
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, ClassVar, NamedTuple, TypeVar

from flows.errors import ConfigError

log = logging.getLogger("heatpump.http")

CHUNK = 64 * 1024
IDLE_S = 30.0
"""A connection that has sent no whole request for so long is closed, however busily it sends."""
MOST_CONNECTIONS = 32
"""At once, each with a thread of its own; another is closed unanswered."""
LOOK_EVERY_S = 0.1
"""How often the port looks whether it is to stop, and for what takes too long. [s]"""
MOST_UNREAD = 16 * 1024 * 1024
"""Of a request refused before it was read. [bytes]"""


class Answer(NamedTuple):
    """What is sent back."""

    status: int
    body: bytes
    content_type: str = "application/json"


class Refused(Exception):
    """Why a request is not taken: the HTTP status and a sentence."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


class Server(ThreadingHTTPServer):
    """since: by connection, when it was opened or last answered. token: what is asked for."""

    daemon_threads = True
    request_queue_size = MOST_CONNECTIONS
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: type["Handler"], token: str) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.since: dict[Any, float] = {}
        self.token = token
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Bind, without asking the network for our name: nobody needs it, and it may take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.port

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection its thread, if there are not too many."""
        if len(self.since) >= MOST_CONNECTIONS:
            self.shutdown_request(request)
            return
        self.since[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        self.since.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """End what takes too long: its thread then reads the end."""
        for request, since in list(self.since.items()):
            if time.monotonic() - since > IDLE_S:
                with suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log it, unless only the client went away."""
        if not isinstance(sys.exception(), ConnectionError):
            log.exception("a request failed")

    def serve(self, name: str) -> None:
        """Serve in threads of its own, whose first has that name."""
        threading.Thread(target=self.serve_forever, args=[LOOK_EVERY_S], name=name, daemon=True).start()

    def end(self) -> None:
        """Stop listening."""
        self.shutdown()
        self.server_close()


S = TypeVar("S", bound=Server)


def opened(setting: str, address: tuple[str, int], make: Callable[[tuple[str, int]], S]) -> S:
    """Listen. setting: HEATPUMP_… without _HOST and _PORT. Raises ConfigError naming which cannot be used."""
    host, port = address
    try:
        return make(address)
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            allowed = f"is no address of this machine ({error.strerror}); 127.0.0.1 is, 0.0.0.0 stands for all"
            raise ConfigError(f"{setting}_HOST", host, allowed) from None
        allowed = f"cannot be used on {host} ({error.strerror}); choose another"
        raise ConfigError(f"{setting}_PORT", port, allowed) from None


class Handler(BaseHTTPRequestHandler):
    """One connection. Beneath: what each method and path comes to."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "heatpump", ""
    timeout: ClassVar[float] = IDLE_S
    token_name: ClassVar[str]
    """As people know the token, in the sentence of a refusal."""

    def answer(self, act: Callable[[], Answer], is_open: bool = False) -> None:
        """Send what `act` gives, or why it refuses. is_open: no token is asked for."""
        try:
            if not is_open:
                self._authorise()
            answer = act()
        except Refused as why:
            # What is left of the request is not read: the connection cannot go on.
            self.close_connection = True
            answer = self.refusal(why)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        if answer.status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)
        self.server.since[self.connection] = time.monotonic()
        if self.close_connection:
            self._hear_out()

    def refusal(self, why: Refused) -> Answer:
        """Put a refusal into words."""
        return Answer(why.status, f"{why.detail}\n".encode(), "text/plain; charset=utf-8")

    def _hear_out(self) -> None:
        """Read on, to a bound, what is still being sent: closed under it, the client would not get our answer."""
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            left = MOST_UNREAD
            while left > 0 and (data := self.connection.recv(CHUNK)):
                left -= len(data)

    def _authorise(self) -> None:
        given = self.headers.get("Authorization", "").encode("latin-1", "replace")
        if not hmac.compare_digest(given, f"Bearer {self.server.token}".encode()):
            raise Refused(401, f"send the token of {self.token_name} as `Authorization: Bearer …`")

    def log_message(self, format: str, *args: Any) -> None:
        """Log the request's line and what came of it; headers are in no log."""
        log.debug(format, *args)
