"""The private command port: loopback unless another address is set, always a token.

POST /commands, POST /history, GET /pipeline, GET /health, GET /history/DEVICE/IMPORT, GET /nodes/STEP,
GET /trace/DEVICE and /trace/DEVICE/SEQ (behind that number). Without a token: GET /healthz and /readyz, which say
whether the flow answers, and whether it is subscribed and storing, and nothing else.
"""

import errno
import hmac
import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import unquote

import msgspec

from flows.errors import BadQuery, ConfigError, JournalFull, NotFound
from flows.model.command import CommandRequest
from flows.model.history import MOST_BYTES as MOST_HISTORY_BYTES
from flows.model.history import chunk_of, history_topic
from flows.secrets import read_or_create
from flows.settings import Settings

log = logging.getLogger("heatpump.commands")

MOST_BYTES = 64 * 1024
MOST_UNREAD = 8 * MOST_HISTORY_BYTES
"""Of a request refused before it was read."""

CHUNK = 64 * 1024
MOST_CHARS = 200
MOST_BRACKETS = 300
"""Opening brackets in a command: nesting too deep to read again would stop the pipeline, not us."""
ANSWER_S = 5.0
IDLE_S = 30.0
"""A connection that has sent no whole request for so long is closed, however busily it sends."""
MOST_CONNECTIONS = 32
"""At once, each with a thread of its own; another is closed unanswered."""
PROBES = frozenset(("/healthz", "/readyz"))
"""Asked without a token."""

LOOK_EVERY_S = 0.1
"""How often the port looks whether it is to stop, and for what takes too long. [s]"""

Submit = Callable[[CommandRequest], "Future[int]"]
SubmitHistory = Callable[[str, bytes], "Future[int]"]
Report = Callable[[], dict[str, Any]]
Standings = Callable[[str, str], dict[str, Any]]
"""Says how far an import has come, of a device and its import's id."""
Nodes = Callable[[str], dict[str, Any]]
"""Says what a node is and what passed it last. Raises NotFound."""
Traces = Callable[[str, int | None], dict[str, Any]]
"""Says the way of a device's newest message, or of the first behind a number of the journal."""


class CommandPort:
    """Serves in threads of its own; where it listens is written to run/flow.json in the data folder."""

    def __init__(
        self,
        settings: Settings,
        submit: Submit,
        pipeline: Report,
        health: Report,
        submit_history: SubmitHistory,
        standing: Standings,
        node: Nodes,
        trace: Traces,
    ) -> None:
        self._address = settings.command_host, settings.command_port
        self._token = settings.command_token.get_secret_value()
        self._note = settings.data / "run" / "flow.json"
        self._token_file = settings.data / "secrets" / "command-token"
        self._submit, self._reports = submit, {"/pipeline": pipeline, "/health": health}
        self._submit_history, self._standing = submit_history, standing
        self._node, self._trace = node, trace
        self._server: _Server | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Listen. Raises ConfigError if there is no such address, or the port is taken."""
        token = self._token or read_or_create(self._token_file)
        self._server = _listening(self._address)
        self._server.token, self._server.submit, self._server.reports = token, self._submit, self._reports
        self._server.submit_history, self._server.standing = self._submit_history, self._standing
        self._server.node, self._server.trace = self._node, self._trace
        serving = threading.Thread(
            target=self._server.serve_forever, args=[LOOK_EVERY_S], name="command-port", daemon=True
        )
        serving.start()
        self._note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self._note.with_suffix(".new")
        host = reachable(self._address[0])
        new.write_text(json.dumps({"command_host": host, "command_port": self.port, "pid": os.getpid()}) + "\n")
        os.replace(new, self._note)

    def stop(self) -> None:
        """Stop listening; safe to call twice."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            self._note.unlink(missing_ok=True)


def is_ready(health: dict[str, Any]) -> bool:
    """Tell from the flow's own report whether readings come and are stored."""
    return bool(health.get("connected")) and not health.get("store_waiting")


def reachable(host: str) -> str:
    """Give an address at which this machine reaches what listens on one, or on all."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)


def _listening(address: tuple[str, int]) -> "_Server":
    try:
        return _ServerOf6(address, _Handler) if ":" in address[0] else _Server(address, _Handler)
    except OSError as error:
        host, port = address
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            allowed = f"is no address of this machine ({error.strerror}); 127.0.0.1 is, 0.0.0.0 stands for all"
            raise ConfigError("HEATPUMP_COMMAND_HOST", host, allowed) from None
        allowed = f"cannot be used on {host} ({error.strerror}); choose another, or 0 for any free one"
        raise ConfigError("HEATPUMP_COMMAND_PORT", port, allowed) from None


class _Server(ThreadingHTTPServer):
    """since: by connection, when it was opened or last answered."""

    daemon_threads = True
    request_queue_size = MOST_CONNECTIONS
    block_on_close = False
    token: str
    submit: Submit
    submit_history: SubmitHistory
    standing: Standings
    node: Nodes
    trace: Traces
    reports: dict[str, Report]

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.since: dict[Any, float] = {}

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


class _ServerOf6(_Server):
    address_family = socket.AF_INET6


class Refused(Exception):
    """Why a request is not taken: the HTTP status and a sentence."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "heatpump", ""
    timeout: ClassVar[float] = IDLE_S

    def do_GET(self) -> None:
        self._answer(self._probe if self.path in PROBES else self._report)

    def do_POST(self) -> None:
        self._answer(self._history if self.path == "/history" else self._command)

    def _answer(self, act: Callable[[], tuple[int, dict[str, Any]]]) -> None:
        try:
            if act != self._probe:
                self._authorise()
            status, body = act()
        except Refused as why:
            # What is left of the request is not read: the connection cannot go on.
            self.close_connection = True
            status, body = why.status, {"detail": why.detail}
        data = msgspec.json.encode(body)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)
        self.server.since[self.connection] = time.monotonic()
        if self.close_connection:
            self._hear_out()

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
            told = "HEATPUMP_COMMAND_TOKEN, or that of secrets/command-token"
            raise Refused(401, f"send the token of {told}, as `Authorization: Bearer …`")

    def _probe(self) -> tuple[int, dict[str, Any]]:
        if self.path == "/readyz" and not is_ready(self.server.reports["/health"]()):
            return 503, {"status": "not ready"}
        return 200, {"status": "ok"}

    def _report(self) -> tuple[int, dict[str, Any]]:
        report = self.server.reports.get(self.path)
        if report is None:
            return 200, self._looked_up([unquote(part) for part in self.path.split("/")[1:]])
        return 200, report()

    def _looked_up(self, parts: list[str]) -> dict[str, Any]:
        server = self.server
        try:
            match parts:
                case ["history", device_id, import_id]:
                    return server.standing(device_id, import_id)
                case ["nodes", step]:
                    return server.node(step)
                case ["trace", device_id]:
                    return server.trace(device_id, None)
                case ["trace", device_id, seq] if seq.isascii() and seq.isdigit() and len(seq) < 20:
                    return server.trace(device_id, int(seq))
        except NotFound as error:
            raise Refused(404, str(error)) from None
        there = "GET /pipeline, /health, /history/…, /nodes/… and /trace/…, POST /commands and /history"
        raise Refused(404, f"there is no {self.path[:80]!r}; {there}")

    def _command(self) -> tuple[int, dict[str, Any]]:
        if self.path != "/commands":
            raise Refused(404, f"nothing can be posted to {self.path[:80]!r}, only to /commands and /history")
        return self._journaled(self.server.submit(read_command(self._read_body(MOST_BYTES))))

    def _history(self) -> tuple[int, dict[str, Any]]:
        body = self._read_body(MOST_HISTORY_BYTES)
        try:
            chunk = chunk_of(body)
        except BadQuery as error:
            raise Refused(422, str(error)) from None
        return self._journaled(self.server.submit_history(history_topic(chunk.device_id), body))

    def _journaled(self, future: "Future[int]") -> tuple[int, dict[str, Any]]:
        try:
            return 202, {"seq": future.result(ANSWER_S)}
        except JournalFull as full:
            raise Refused(507, str(full)) from None
        except TimeoutError:
            raise Refused(503, f"not journaled within {ANSWER_S:.0f} s; send it again with the same id") from None

    def _read_body(self, most: int) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            raise Refused(411, "Content-Length is missing or no number")
        if len(length) > 9 or int(length) > most:
            raise Refused(413, f"{length[:20]} bytes; at most {most} are taken")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise Refused(400, f"only {len(body)} of {length} bytes came")
        return body

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)


def read_command(body: bytes) -> CommandRequest:
    """Read and check the body of a command. Raises Refused."""
    if body.count(b"[") + body.count(b"{") > MOST_BRACKETS:
        raise Refused(422, f"a command has at most {MOST_BRACKETS} opening brackets")
    try:
        request = msgspec.json.decode(body, type=CommandRequest)
    except msgspec.ValidationError as error:
        raise Refused(422, f"{error}; a command has the texts id, by, name and the object body") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Refused(400, f"the body is not JSON: {error}") from None
    for name in ("id", "by", "name"):
        if not 0 < len(getattr(request, name)) <= MOST_CHARS:
            raise Refused(422, f"{name} must have 1 to {MOST_CHARS} characters")
    return request
