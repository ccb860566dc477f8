"""Recordings of `heatpump record` to be played one after the other: as messages, or as their journal."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from flows.errors import ConfigError
from flows.journal.recording import Block, Contents, Recording, count
from flows.model.frame import Frame, FrameKind
from flows.model.times import iso
from flows.sources.replay import Message
from flows.sources.shift import shifted


class PlayedJournal:
    """Recordings that follow each other.

    name           : for people.
    device_id      : "": the messages say themselves who is online.
    journal_id     : of a store made of them; the same from the same beginning, whatever follows.
    start          : what arrived before is there for its effect alone, not for its time. [ms since 1970, UTC]
    first, last    : arrivals of the first and last frame in the span. [ms since 1970, UTC]
    messages_count : how many messages they hold, some of which are not sent.
    unit           : what is sent, in words.
    what           : how much goes into a store, in words.
    notes          : what is missing, in sentences.
    left_out       : messages that were not sent, by reason.
    damaged        : something of them is missing that they once held.
    """

    device_id, unit = "", "messages"

    def __init__(self, paths: list[Path]) -> None:
        """Look through all of them. Raises ConfigError, JournalError where they cannot be played together."""
        self.notes: list[str] = []
        self.left_out: Counter[str] = Counter()
        self.damaged = False
        with ExitStack() as stack:
            self._recordings = [stack.enter_context(Recording(path)) for path in paths]
            for recording in self._recordings:
                self._judge(recording)
            for before, after in zip(self._recordings, self._recordings[1:], strict=False):
                self._follows(before, after)
            self._opened = stack.pop_all()
        head, blocks = self._recordings[0].head, self._recordings[0].blocks
        self.name = ", ".join(head.devices) or "all devices"
        self.start = head.start
        self.first_seq, self.last_seq = blocks[0].first_seq, self._recordings[-1].blocks[-1].last_seq
        self.first = self._first_arrived()
        self.last = self._recordings[-1].blocks[-1].last_arrived
        begins = f"{head.journal_id} {self.first_seq} {' '.join(head.devices)}"
        self.journal_id = hashlib.sha256(begins.encode()).digest()[:16].hex()
        self._count()

    def close(self) -> None:
        """Release the files."""
        self._opened.close()

    def messages(self, shift_ms: int) -> Iterator[Message]:
        """Give the messages that devices sent. shift_ms: added to the Unix times in them. [ms]

        Retained copies were not sent then; of what was too long only the beginning is known.
        """
        for frame in self.frames():
            if frame.kind is not FrameKind.MESSAGE:
                continue
            if frame.retain:
                self.left_out["retained copies"] += 1
            elif frame.original_bytes:
                self.left_out["cut off for their length"] += 1
            else:
                moves = shift_ms and frame.topic.endswith(("/data", "/alerts"))
                payload = shifted(frame.payload, shift_ms) if moves else frame.payload
                yield Message(frame.arrived, frame.topic, payload, frame.qos)

    def frames(self) -> Iterator[Frame]:
        """Give all frames in order, each once where recordings overlap."""
        last = 0
        for recording in self._recordings:
            for frame in recording.frames():
                if frame.seq > last:
                    last = frame.seq
                    yield frame

    def _first_arrived(self) -> int:
        return next((frame.arrived for frame in self.frames() if frame.arrived >= self.start), self.start)

    def _count(self) -> None:
        found = self._recordings[0].contents
        if found is None or self.damaged or len(self._recordings) > 1:
            found = Contents()
            for frame in self.frames():
                count(frame, self.start, found)
        self.messages_count = found.messages
        readings = sum(found.readings.values()) + sum(found.imported.values())
        self.what = f"{found.frames} frames with {readings} readings"

    def _judge(self, recording: Recording) -> None:
        path, contents = recording.path, recording.contents
        if not recording.blocks:
            raise ConfigError("recording", str(path), "holds no frame that can be read: take another copy")
        if contents is None:
            self.damaged = True
            until = _place(recording.blocks[-1])
            self.notes.append(f"{path} is cut off: what follows frame {until}, is missing")
        for hole in recording.holes:
            self.damaged = True
            after = f"after frame {_place(hole.before)}" if hole.before else "at its beginning"
            until = f", until frame {hole.after.first_seq}, {iso(hole.after.first_arrived)}" if hole.after else ""
            self.notes.append(f"{path} is damaged: frames are missing {after}{until}")
        if contents is not None and contents.missing:
            self.notes.append(f"{path}: {contents.missing} frames could not be read in the journal it was made of")

    def _follows(self, before: Recording, after: Recording) -> None:
        """Refuse what is not the same journal later on; note what is missing between."""
        one, other = before.head, after.head
        if one.journal_id != other.journal_id:
            allowed = f"is of another journal than {before.path}: replay them one by one"
            raise ConfigError("recording", str(after.path), allowed)
        if set(one.devices) != set(other.devices):
            allowed = f"holds other devices than {before.path}: replay them one by one"
            raise ConfigError("recording", str(after.path), allowed)
        if _begins(after) < _begins(before):
            raise ConfigError(
                "recording", str(after.path), f"begins before {before.path}: name the older one first"
            )
        if other.start > one.end:
            gap = f"from {iso(one.end)} to {iso(other.start)}"
            self.notes.append(f"nothing was recorded {gap}, between {before.path} and {after.path}")


def _begins(recording: Recording) -> int:
    """Say the seq of the first frame in the span; before it there may be the start that the span ran under."""
    if recording.contents is not None:
        return recording.contents.first_seq
    return next(frame.seq for frame in recording.frames() if frame.arrived >= recording.head.start)


def _place(block: Block) -> str:
    return f"{block.last_seq}, which arrived {iso(block.last_arrived)}"
