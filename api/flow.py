"""The flow's private port, as its client: commands, and the pipeline's counters."""

import json
from pathlib import Path

import httpx
import msgspec

from flows.errors import FlowDown
from flows.model.command import CommandRequest

ANSWER_S = 6.0


class Flow:
    """Finds the flow by what it wrote into the data folder; it may come and go."""

    def __init__(self, data: Path | None) -> None:
        """Look in a data folder; None where a store is served by itself."""
        self._data = data
        self._client = httpx.Client(timeout=ANSWER_S, trust_env=False, verify=False)  # loopback: no proxy, no TLS

    def pipeline(self) -> bytes:
        """Ask for the graph's counters, as JSON. Raises FlowDown."""
        return self._ask("GET", "/pipeline", b"").content

    def submit(self, request: CommandRequest) -> int:
        """Have a command journaled; return its seq. Raises FlowDown."""
        answer = self._ask("POST", "/commands", msgspec.json.encode(request))
        return int(answer.json()["seq"])

    def close(self) -> None:
        """Release connections."""
        self._client.close()

    def _ask(self, method: str, path: str, body: bytes) -> httpx.Response:
        if self._data is None:
            raise FlowDown("a store is served by itself here, without a flow; leave out --store to have one")
        note = self._data / "run" / "flow.json"
        try:
            port = int(json.loads(note.read_text())["command_port"])
            token = (self._data / "secrets" / "command-token").read_text().strip()
        except (OSError, ValueError, KeyError, TypeError):
            raise FlowDown(f"the flow is not running: {note} names no port; start `heatpump flow`") from None
        try:
            answer = self._client.request(
                method,
                f"http://127.0.0.1:{port}{path}",
                content=body,
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            )
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
            raise FlowDown(f"the flow does not answer on its port {port} ({why}); see `heatpump status`") from None
        if answer.status_code >= 400:
            raise FlowDown(f"the flow answered {answer.status_code}: {answer.text[:300]}")
        return answer
