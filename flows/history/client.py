"""The client of POST /history: chunks in order, from where the flow stands, never far ahead of the store."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec
import numpy as np

from flows.errors import FlowDown, FlowRefused
from flows.flow_port import FlowPort
from flows.lock import is_held
from flows.model.history import Chunk, Standing, payload_of
from flows.model.table import Table
from flows.model.times import DAY_MS
from flows.settings import Settings

READINGS = 2_000
"""Most readings of a chunk."""

SPAN_MS = 7 * DAY_MS
"""Most time of a chunk: a week has 10 000 minutes. [ms]"""

AHEAD = 4
"""Chunks that may be journaled and not stored yet."""

ANSWER_S = 10.0
PATIENCE_S = 120.0
"""How long the flow may be away, or stand still, before we give up; what it has is safe. [s]"""


T = TypeVar("T")


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
    """Talks to the flow; it may be restarted meanwhile."""

    def __init__(self, settings: Settings, device_id: str, import_id: str, waiting: Callable[[str], None]) -> None:
        """Begin. waiting: called with what is wrong while the flow is waited for."""
        self._flow, self._device_id, self._import_id = FlowPort(settings, ANSWER_S), device_id, import_id
        self._settings, self._waiting = settings, waiting
        self._ahead: deque[int] = deque()

    def standing(self) -> Progress:
        """Ask how far the import has come. Raises FlowDown."""
        answer = self._patiently(lambda: self._flow.standing(self._device_id, self._import_id))
        return msgspec.json.decode(answer, type=Progress)

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
            why = "the device was forgotten meanwhile, or the same import runs twice"
            raise FlowDown(f"wants chunk {standing.next}, not {number}: {why}", "import again")
        return standing

    @property
    def _is_kept(self) -> bool:
        """Tell whether somebody starts the flow again: `up` does, and who runs it elsewhere."""
        return bool(self._settings.flow_url) or is_held(self._settings.data / "up.lock")

    def _post(self, chunk: Chunk) -> None:
        payload = payload_of(chunk)
        self._ahead.append(self._patiently(lambda: self._flow.submit_history(payload)))

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
                raise FlowDown(f"has stored nothing for {PATIENCE_S:.0f} s", "import again to go on")
            if len(self._ahead) > ahead:
                time.sleep(0.005)

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Ask; a flow that is away or has no room may come back: one that had chunks, or is kept running.

        Raises FlowDown.
        """
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return ask()
            except FlowRefused:
                raise
            except FlowDown as error:
                if not (self._ahead or self._is_kept) or time.monotonic() > deadline:
                    raise
                self._waiting(error.why)
                time.sleep(0.5)
