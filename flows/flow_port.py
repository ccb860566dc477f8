"""The flow's private port (flows/ingest/commands.py), as its client: one connection a question, loopback only."""

import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from flows.errors import FlowDown, FlowRefused, NotFound
from flows.model.command import CommandRequest

ANSWER_S = 6.0


class FlowPort:
    """Finds the flow by what it wrote into the data folder; it may come and go. Every question raises FlowDown."""

    def __init__(self, data: Path | None, answer_s: float = ANSWER_S) -> None:
        """Look in a data folder; None where a store is served by itself. answer_s: how long to wait. [s]"""
        self._data, self._answer_s = data, answer_s

    def pipeline(self) -> bytes:
        """Ask for the graph's counters, as JSON."""
        return self._ask("GET", "/pipeline")

    def health(self) -> dict[str, Any]:
        """Ask for its own report."""
        return _decoded(self._ask("GET", "/health"))

    def submit(self, request: CommandRequest) -> int:
        """Have a command journaled; return its seq."""
        return int(_decoded(self._ask("POST", "/commands", msgspec.json.encode(request)))["seq"])

    def submit_history(self, payload: bytes) -> int:
        """Have a chunk of history journaled, see flows/model/history.py; return its seq."""
        return int(_decoded(self._ask("POST", "/history", payload))["seq"])

    def standing(self, device_id: str, import_id: str) -> bytes:
        """Ask how far an import has come, as JSON."""
        return self._ask("GET", f"/history/{device_id}/{import_id}")

    def node(self, step: str) -> bytes:
        """Ask what a node is and what passed it last, as JSON. Raises NotFound naming the steps there are."""
        return self._ask("GET", f"/nodes/{quote(step, safe='')}")

    def trace(self, device_id: str, after: int | None) -> dict[str, Any]:
        """Ask for the way of a device's newest message, or of the first behind a number of the journal."""
        behind = "" if after is None else f"/{after}"
        return _decoded(self._ask("GET", f"/trace/{quote(device_id, safe='')}{behind}"))

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        if self._data is None:
            raise FlowDown("is not there: a store is served by itself", "leave out --store to have one")
        note = self._data / "run" / "flow.json"
        try:
            port = int(json.loads(note.read_text())["command_port"])
            token = (self._data / "secrets" / "command-token").read_text().strip()
        except (OSError, ValueError, KeyError, TypeError):
            raise FlowDown(f"is not running, or not yet: {note} names no port", "start `heatpump up`") from None
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=self._answer_s)
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {token}", "Connection": "close"})
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            why = str(error) or type(error).__name__
            raise FlowDown(f"does not answer on its port {port} ({why})", "see `heatpump status`") from None
        finally:
            connection.close()
        if answer.status == 404:
            raise NotFound(str(_decoded(text).get("detail", "there is no such thing")))
        if answer.status >= 400:
            down = FlowDown if answer.status >= 500 else FlowRefused
            raise down(f"answered {answer.status}: {text[:300].decode(errors='replace')}")
        return text


def _decoded(answer: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(answer, type=dict[str, Any])
    except msgspec.DecodeError:
        raise FlowDown("gives no answer that makes sense", "see `heatpump status`") from None
