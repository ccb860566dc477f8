"""The private command port: loopback unless another address is set, always a token.

POST /commands, POST /history, GET /pipeline, GET /health, GET /history/DEVICE/IMPORT, GET /nodes/STEP,
GET /trace/DEVICE and /trace/DEVICE/SEQ (behind that number). Without a token: GET /healthz and /readyz, which say
whether the flow answers, and whether it is subscribed and storing, and nothing else.
"""

import json
import os
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any
from urllib.parse import unquote

import msgspec

from flows.errors import BadQuery, JournalFull, NotFound
from flows.http_port import Answer, Handler, Refused, Server, opened
from flows.model.command import CommandRequest
from flows.model.history import MOST_BYTES as MOST_HISTORY_BYTES
from flows.model.history import chunk_of, history_topic
from flows.secrets import read_or_create
from flows.settings import Settings

MOST_BYTES = 64 * 1024
MOST_CHARS = 200
MOST_BRACKETS = 300
"""Opening brackets in a command: nesting too deep to read again would stop the pipeline, not us."""
ANSWER_S = 5.0
PROBES = frozenset(("/healthz", "/readyz"))
"""Asked without a token."""

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
        return self._server.port

    def start(self) -> None:
        """Listen. Raises ConfigError if there is no such address, or the port is taken."""
        token = self._token or read_or_create(self._token_file)
        self._server = opened("HEATPUMP_COMMAND", self._address, lambda address: _Server(address, _Handler, token))
        self._server.submit, self._server.reports = self._submit, self._reports
        self._server.submit_history, self._server.standing = self._submit_history, self._standing
        self._server.node, self._server.trace = self._node, self._trace
        self._server.serve("command-port")
        self._note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self._note.with_suffix(".new")
        host = reachable(self._address[0])
        new.write_text(json.dumps({"command_host": host, "command_port": self.port, "pid": os.getpid()}) + "\n")
        os.replace(new, self._note)

    def stop(self) -> None:
        """Stop listening; safe to call twice."""
        server, self._server = self._server, None
        if server is not None:
            server.end()
            self._note.unlink(missing_ok=True)


def is_ready(health: dict[str, Any]) -> bool:
    """Tell from the flow's own report whether readings come and are stored."""
    return bool(health.get("connected")) and not health.get("store_waiting")


def reachable(host: str) -> str:
    """Give an address at which this machine reaches what listens on one, or on all."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)


class _Server(Server):
    """What its answers come from."""

    submit: Submit
    submit_history: SubmitHistory
    standing: Standings
    node: Nodes
    trace: Traces
    reports: dict[str, Report]


class _Handler(Handler):
    server: _Server
    token_name = "HEATPUMP_COMMAND_TOKEN, or else of secrets/command-token,"

    def do_GET(self) -> None:
        """Tell."""
        is_probe = self.path in PROBES
        self.answer(lambda: _json(*(self._probe() if is_probe else self._report())), is_open=is_probe)

    def do_POST(self) -> None:
        """Have something journaled."""
        act = self._history if self.path == "/history" else self._command
        self.answer(lambda: _json(*act()))

    def refusal(self, why: Refused) -> Answer:
        """Put a refusal into JSON."""
        return _json(why.status, {"detail": why.detail})

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


def _json(status: int, body: dict[str, Any]) -> Answer:
    return Answer(status, msgspec.json.encode(body))


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
