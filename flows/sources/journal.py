"""The journal as Bytewax source: frames in order, in batches, from where the last epoch left off."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from flows.build import Batch
from flows.model.command import command_of
from flows.model.frame import Frame, FrameKind, Tick, start_of, tick_of
from flows.model.history import history_of
from flows.nodes.ports import PIPE_KEY
from flows.telemetry.meter import Progress

IDLE = timedelta(milliseconds=5)
BATCH_BYTES = 4_000_000
"""Payload enough for a batch: 6 500 readings of 600 bytes, alone or in arrays. A piece more may come."""
PIECE_FRAMES = 100
HISTORIES = 4
"""Most chunks of history in a batch: each may hold a week of minutes."""

_OF_KIND: dict[FrameKind, Callable[[Frame], Any]] = {
    FrameKind.TICK: tick_of,
    FrameKind.START: start_of,
    FrameKind.COMMAND: command_of,
    FrameKind.HISTORY: history_of,
}

Saved = tuple[str, int]


class FrameReader(Protocol):
    """Where frames come from: a JournalReader, or recorded ones."""

    def read(self, max_frames: int) -> list[Frame]:
        """Read the next frames; none means that this is the end for now."""

    def close(self) -> None:
        """Release what it reads from."""


class JournalSource(FixedPartitionedSource[tuple[str, Batch], Saved]):
    """Tells Bytewax that there is one journal. open_after: opens it behind a seq, once Bytewax runs."""

    def __init__(self, open_after: Callable[[int], "JournalPartition"]) -> None:
        self._open_after = open_after

    def list_parts(self) -> list[str]:
        """There is one journal."""
        return ["journal"]

    def build_part(self, step_id: str, for_part: str, resume_state: Saved | None) -> "JournalPartition":
        """Begin after the last frame of the last committed epoch."""
        return self._open_after(resume_state[1] if resume_state else 0)


class JournalPartition(StatefulSourcePartition[tuple[str, Batch], Saved]):
    """Reads one journal: each time what there is, so that batches are small at the end and large far behind it.

    open_reader  : makes a reader that begins after a seq.
    base         : added to every seq, see Fence.
    batch_frames : most frames in a batch.
    follow       : tells whether more may come after an end for now; until progress.stop.
    """

    def __init__(
        self,
        open_reader: Callable[[int], FrameReader],
        journal_id: str,
        base: int,
        batch_frames: int,
        progress: Progress,
        follow: Callable[[], bool],
        after: int,
    ) -> None:
        self._reader = open_reader(after)
        self._journal_id, self._base, self._batch_frames = journal_id, base, batch_frames
        self._progress, self._follow = progress, follow
        self._seq = self._snapped = after
        self._idle = False
        self._waiting: list[Frame] = []
        progress.read = progress.stored = progress.committed = progress.fenced = after

    def next_batch(self) -> list[tuple[str, Batch]]:
        """Give the next frames as one batch."""
        # The first call after a snapshot means that Bytewax has committed that epoch.
        self._progress.committed = self._snapped
        if self._progress.stop:
            raise StopIteration
        frames = self._read()
        self._idle = not frames
        if not frames:
            if not self._follow():
                raise StopIteration
            return []
        self._seq = self._progress.read = frames[-1].seq
        self._progress.arrived = frames[-1].arrived
        return [(PIPE_KEY, Batch(self._seq, self._items(frames)))]

    def next_awake(self) -> datetime | None:
        """At the end, look again a little later."""
        return datetime.now(UTC) + IDLE if self._idle else None

    def snapshot(self) -> Saved:
        """Remember the last frame given."""
        self._snapped = self._seq
        return self._journal_id, self._seq

    def close(self) -> None:
        """Release the journal's files."""
        self._reader.close()

    def _read(self) -> list[Frame]:
        """Read in pieces: how large frames are is known only then."""
        frames, self._waiting = self._waiting, []
        size = sum([len(frame.payload) for frame in frames])
        while size < BATCH_BYTES and (left := self._batch_frames - len(frames)) > 0:
            piece = self._reader.read(min(PIECE_FRAMES, left))
            if not piece:
                break
            frames += piece
            size += sum([len(frame.payload) for frame in piece])
        histories = [place for place, frame in enumerate(frames) if frame.kind is FrameKind.HISTORY]
        if len(histories) > HISTORIES:
            frames, self._waiting = frames[: histories[HISTORIES]], frames[histories[HISTORIES] :]
        return frames

    def _items(self, frames: list[Frame]) -> list[Any]:
        if self._base:
            frames = [msgspec.structs.replace(frame, seq=frame.seq + self._base) for frame in frames]
        message = FrameKind.MESSAGE
        return [frame if frame.kind is message else self._of_kind(frame) for frame in frames]

    def _of_kind(self, frame: Frame) -> Any:
        item = _OF_KIND[frame.kind](frame)
        if type(item) is Tick:
            self._progress.tick = item.n
        return item
