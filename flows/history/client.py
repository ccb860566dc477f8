"""The client of POST /history: chunks in order, from where the flow stands, never far ahead of the store."""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import msgspec
import numpy as np

from flows.errors import FlowDown, HeatPumpError
from flows.model.history import Chunk, Standing, payload_of
from flows.model.table import Table

READINGS = 2_000
"""Most readings of a chunk."""

SPAN_MS = 7 * 86_400_000
"""Most time of a chunk: a week has 10 000 minutes. [ms]"""

AHEAD = 4
"""Chunks that may be journaled and not stored yet."""

ANSWER_S = 10.0
PATIENCE_S = 120.0
"""How long the flow may be away, or stand still, before we give up; what it has is safe. [s]"""


class Progress(Standing):
    """What the flow says of an import. stored_seq: up to where its journal is stored."""

    stored_seq: int = 0


def chunked(tables: Iterator[Table], after: int = -1) -> Iterator[Table]:
    """Cut tables into pieces of at most READINGS and SPAN_MS; only what is after a time. [ms since 1970, UTC]"""
    waiting: Table | None = None
    for table in tables:
        first = int(np.searchsorted(table.at, after, "right"))
        table = Table(table.at[first:], table.names, table.values[first:])
        if waiting is not None:
            at, values = np.append(waiting.at, table.at), np.vstack([waiting.values, table.values])
            table = Table(at, table.names, values)
        start = 0
        while (end := _end(table, start)) < len(table.at):
            yield Table(table.at[start:end], table.names, table.values[start:end])
            start = end
        waiting = Table(table.at[start:], table.names, table.values[start:])
    if waiting is not None and len(waiting.at):
        yield waiting


def _end(table: Table, start: int) -> int:
    """Index behind the last reading of the piece that begins at `start`."""
    if start >= len(table.at):
        return start
    return min(start + READINGS, int(np.searchsorted(table.at, table.at[start] + SPAN_MS)))


def chunk_from(import_id: str, device_id: str, number: int, source: str, table: Table | None = None) -> Chunk:
    """Make a chunk of readings; without any it is the last one."""
    if table is None:
        return Chunk(import_id, device_id, number, source, True, (), b"", b"")
    values = np.ascontiguousarray(table.values.T, np.float64).tobytes()
    return Chunk(
        import_id, device_id, number, source, False, table.names, table.at.astype(np.int64).tobytes(), values
    )


class Client:
    """Talks to the flow of a data folder; it may be restarted meanwhile."""

    def __init__(self, data: Path, device_id: str, import_id: str) -> None:
        self._data, self._device_id, self._import_id = data, device_id, import_id
        self._http = httpx.Client(timeout=ANSWER_S, trust_env=False, verify=False)  # loopback: no proxy, no TLS
        self._ahead: deque[int] = deque()

    def close(self) -> None:
        """Release the connection."""
        self._http.close()

    def standing(self) -> Progress:
        """Ask how far the import has come. Raises FlowDown."""
        answer = self._patiently("GET", f"/history/{self._device_id}/{self._import_id}", b"")
        return msgspec.json.decode(answer.content, type=Progress)

    def send(
        self, tables: Iterator[Table], source: str, begin: Progress, sent: Callable[[int, int], None]
    ) -> Progress:
        """Send all of the tables that is new; wait until it is stored. Returns what the import came to.

        sent : called with readings and newest event time [ms since 1970, UTC] of each chunk that is journaled.
        Raises FlowDown.
        """
        number = begin.next
        for table in chunked(tables, begin.at):
            self._post(chunk_from(self._import_id, self._device_id, number, source, table))
            sent(len(table.at), int(table.at[-1]))
            number += 1
            self._wait(AHEAD)
        if number > begin.next or not begin.ended:
            self._post(chunk_from(self._import_id, self._device_id, number, source))
            number += 1
        self._wait(0)
        standing = self.standing()
        if standing.next != number:
            raise FlowDown(
                f"the flow wants chunk {standing.next}, not {number}: the device was forgotten meanwhile, or the "
                "same import runs twice; import again"
            )
        return standing

    def _post(self, chunk: Chunk) -> None:
        answer = self._patiently("POST", "/history", payload_of(chunk))
        self._ahead.append(int(answer.json()["seq"]))

    def _wait(self, ahead: int) -> None:
        """Wait until at most so many chunks are not stored."""
        deadline, stored = time.monotonic() + PATIENCE_S, 0
        while len(self._ahead) > ahead:
            now = self.standing().stored_seq
            while self._ahead and self._ahead[0] <= now:
                self._ahead.popleft()
            if now > stored:
                deadline, stored = time.monotonic() + PATIENCE_S, now
            if time.monotonic() > deadline:
                raise FlowDown(f"the flow has stored nothing for {PATIENCE_S:.0f} s; import again to go on")
            if len(self._ahead) > ahead:
                time.sleep(0.005)

    def _patiently(self, method: str, path: str, body: bytes) -> httpx.Response:
        """Ask; a flow that is away or has no room may come back. Raises FlowDown, HeatPumpError."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self._ask(method, path, body)
            except FlowDown:
                if not self._ahead or time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def _ask(self, method: str, path: str, body: bytes) -> httpx.Response:
        note = self._data / "run" / "flow.json"
        try:
            port = int(json.loads(note.read_text())["command_port"])
            token = (self._data / "secrets" / "command-token").read_text().strip()
        except (OSError, ValueError, KeyError, TypeError):
            raise FlowDown(f"the flow is not running: {note} names no port; start `heatpump up`") from None
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/octet-stream"}
        try:
            answer = self._http.request(method, f"http://127.0.0.1:{port}{path}", content=body, headers=headers)
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
            raise FlowDown(f"the flow does not answer on its port {port} ({why}); see `heatpump status`") from None
        if answer.status_code >= 400:
            refused = FlowDown if answer.status_code >= 500 else HeatPumpError
            raise refused(f"the flow answered {answer.status_code}: {answer.text[:300]}")
        return answer
