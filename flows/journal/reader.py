"""The reading end of the journal: frames in order, never past what is durable, on over damage."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from flows.errors import JournalError
from flows.journal.frame import Damaged, Incomplete, decode, decode_run, find, seed_of
from flows.journal.segments import HEADER_BYTES, Damage, Segment, journal_id_of, list_segments, scan, walk
from flows.journal.topics import Topics
from flows.journal.writer import Journal
from flows.model.frame import Frame

CHUNK = 1 << 20
NO_END = 1 << 63


class JournalInfo(msgspec.Struct, frozen=True):
    """What a journal holds, seen from outside.

    first_seq, last_seq         : numbers; last_seq is first_seq - 1 of an empty one.
    first_arrived, last_arrived : of its first and last frame, None of an empty one. [ms since 1970, UTC]
    """

    journal_id: str
    first_seq: int
    last_seq: int
    first_arrived: int | None
    last_arrived: int | None


def describe(folder: Path) -> JournalInfo:
    """Describe the journal in a folder; reads its ends only. Raises JournalError if there is none."""
    segments = list_segments(folder)
    journal_id = journal_id_of(segments, folder)
    if journal_id is None:
        raise JournalError(f"there is no journal in {folder}")
    ends = [scan(segments[-1], journal_id)]
    for segment in reversed(segments[:-1]):
        if ends[-1].last is not None:
            break
        ends.append(scan(segment, journal_id))
    last = ends[-1].last
    with JournalReader(folder, 0) as reader:
        first = next(iter(reader.read(1)), None)
    return JournalInfo(
        journal_id.hex(),
        segments[0].first_seq,
        max(last.seq if last else 0, segments[-1].first_seq - 1),
        first.arrived if first else None,
        last.arrived if last else None,
    )


def newest_first(folder: Path) -> Iterator[Frame]:
    """Read a journal backwards, whole frames only."""
    segments = list_segments(folder)
    journal_id = journal_id_of(segments, folder)
    if journal_id is None:
        return
    for segment in reversed(segments):
        yield from reversed([frame for frame, _ in walk(segment, journal_id)])


class JournalReader:
    """Reads frames after a seq.

    Of a `Journal` in use it reads up to the durable end, whoever writes meanwhile; of a folder all whole frames.
    damage : what it had to skip; of a `Journal`, shared with its other readers.
    """

    def __init__(self, journal: Journal | Path, after_seq: int) -> None:
        self._journal = journal if isinstance(journal, Journal) else None
        self._folder = journal.folder if isinstance(journal, Journal) else journal
        self.damage = self._journal.damage if self._journal else Damage()
        self._after, self._due, self._seen = after_seq, after_seq + 1, 0
        self._first: int | None = None
        self._file: int | None = None
        self._data, self._at, self._seed = b"", 0, 0
        self._topics = Topics(bytes.decode)

    def __enter__(self) -> "JournalReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file; safe to call twice."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def read(self, max_frames: int) -> list[Frame]:
        """Read the next frames; none means that this is the end for now.

        Raises JournalError if the folder holds two journals, or a format of a newer version.
        """
        end = self._journal.synced_seq if self._journal else NO_END
        frames: list[Frame] = []
        while len(frames) < max_frames and self._due <= end:
            last = min(end, self._due + max_frames - len(frames) - 1)
            run, self._at = decode_run(self._data, self._at, self._seed, self._due, last, self._topics)
            if run:
                frames += run
                self._seen, self._due = run[-1].seq, run[-1].seq + 1
                continue
            found = self._peek()
            if found is None or found[0].seq > end:
                break
            frame, self._at = found
            self._seen = frame.seq
            if frame.seq >= self._due:
                self.damage.frames += frame.seq - self._due
                self._due = frame.seq + 1
                frames.append(frame)
        return frames

    def _peek(self) -> tuple[Frame, int] | None:
        """Decode the next frame without taking it; None at the end for now."""
        while True:
            try:
                if self._file is not None:
                    return decode(self._data, self._at, self._seed)
            except Incomplete:
                if self._fill(CHUNK) or (self._at < len(self._data) and self._skip_damage()):
                    continue
            except Damaged:
                if self._skip_damage():
                    continue
            if not self._open_next():
                return None

    def _fill(self, size: int) -> bool:
        """Drop what is read, add more of the file; False at its end."""
        assert self._file is not None
        more = os.read(self._file, size)
        self._data, self._at = self._data[self._at :] + more, 0
        return bool(more)

    def _skip_damage(self) -> bool:
        """Go to the next whole frame of this segment; False if there is none."""
        while self._fill(CHUNK * 16):
            pass
        found = find(self._data, self._at + 1, self._seen, self._seed)
        if found is None:
            return False
        self._count_damage(found - self._at)
        self._at = found
        return True

    def _count_damage(self, size: int) -> None:
        self.damage.regions += 1
        self.damage.size += size

    def _open_next(self) -> bool:
        """Go to the segment that holds the next frame; False if there is none yet."""
        segment = self._choose(list_segments(self._folder))
        if segment is None:
            return False
        try:
            file = os.open(segment.path, os.O_RDONLY)
        except FileNotFoundError:  # trimmed since it was listed
            return self._open_next()
        if self._file is not None and self._at < len(self._data):
            self._count_damage(len(self._data) - self._at)
        self.close()
        self._file, self._data, self._at = file, b"", 0
        if segment.header:
            self._seed = seed_of(segment.header.journal_id)
            os.lseek(file, HEADER_BYTES, os.SEEK_SET)
            if self._first is not None:
                self.damage.frames += max(0, segment.header.last_seq + 1 - self._due)
            self._due = max(self._due, segment.first_seq)
        self._first = segment.first_seq
        return True

    def _choose(self, segments: list[Segment]) -> Segment | None:
        if self._first is not None:
            return next((segment for segment in segments if segment.first_seq > self._first), None)
        if not segments:
            return None
        journal_id = journal_id_of(segments, self._folder)
        self._seed = seed_of(journal_id) if journal_id else 0
        before = [segment for segment in segments if segment.first_seq <= self._after + 1]
        return before[-1] if before else segments[0]
