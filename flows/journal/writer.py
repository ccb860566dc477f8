"""The writing end of the journal: append to a buffer, commit it durably, never give a seq twice.

One thread appends and commits; others may read its attributes and the folder at any time. Every opening begins a
new segment: after a failed fdatasync Linux calls the lost pages clean, so nothing is ever appended behind them.
"""

import logging
import os
import shutil
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from flows.durable import sync_folder
from flows.errors import JournalError, JournalFull
from flows.journal.frame import HEAD_BYTES, encode_fields, seed_of
from flows.journal.segments import (
    HEADER_BYTES,
    Damage,
    Header,
    journal_id_of,
    list_segments,
    path_of,
    scan,
)
from flows.model.frame import FrameKind
from flows.model.message import Message

log = logging.getLogger("heatpump.journal")

MB = 1_000_000
CLAMPED_MS = 60_000
ROOM_EVERY_S = 1.0
ROOM_EVERY_BYTES = MB
SYNC_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""By which commits are counted. [s]"""


class Journal:
    """A journal open for writing; see `open`.

    journal_id  : 32 hex digits; another journal has another.
    last_seq    : the last number given out.
    synced_seq  : the last number that is durable; readers stop there.
    clock_steps : how often the server's clock went back by more than a minute.
    active_first: the first number of the segment being written.
    torn        : bytes cut from the end at opening.
    damage      : what readers of this journal met.
    sync_ms     : how long the newest commits took. [ms]
    sync_counts : how many took at most each of SYNC_BOUNDS_S and more than the one before, and how many longer.
    sync_s      : how long all together took. [s]
    synced_at   : (last number, when it was durable [ms since 1970, UTC]) of the newest commits.
    written     : since it was opened; imported: of that, history. [bytes]
    """

    def __init__(
        self,
        folder: Path,
        segment_bytes: int,
        max_bytes: int,
        min_free_bytes: int,
        sync: Callable[[int], None],
        above: int,
    ) -> None:
        self.folder = folder
        self._segment_bytes, self._max_bytes, self._min_free_bytes = segment_bytes, max_bytes, min_free_bytes
        self._sync = sync
        self._lock = threading.Lock()
        self._buffer: list[bytes] = []
        self._failed = False
        self._room_checked, self._unchecked, self._problem = float("-inf"), 0, ""
        self._buffered = self.clock_steps = self.torn = 0
        self.damage = Damage()
        self.sync_ms: deque[float] = deque(maxlen=1_000)
        self.sync_counts, self.sync_s = [0] * (len(SYNC_BOUNDS_S) + 1), 0.0
        self.synced_at: deque[tuple[int, float]] = deque(maxlen=1_000)
        self.written = self.imported = 0
        self._open_folder(above)

    @classmethod
    def open(
        cls,
        folder: Path,
        segment_bytes: int = 64 * MB,
        max_bytes: int = 10_000 * MB,
        min_free_bytes: int = 1_000 * MB,
        sync: Callable[[int], None] = os.fdatasync,
        above: int = 0,
    ) -> "Journal":
        """Open or create the journal in a folder; cuts a torn tail and makes durable what is there.

        segment_bytes  : a segment that has grown past it is followed by a new one.
        max_bytes      : size of the whole journal at which it counts as full.
        min_free_bytes : free disk space below which it counts as full.
        sync           : makes a file's data durable.
        above          : no number up to it is given out: frames that are not here may have had them.
        Raises JournalError if the folder holds no usable journal.
        """
        try:
            return cls(folder, segment_bytes, max_bytes, min_free_bytes, sync, above)
        except OSError as error:
            raise JournalError(f"the journal in {folder} cannot be opened: {error}") from error

    def _open_folder(self, above: int) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        segments = list_segments(self.folder)
        self._id = journal_id_of(segments, self.folder) or os.urandom(16)
        self.journal_id, self._seed = self._id.hex(), seed_of(self._id)
        used = free = self._last_arrived = 0
        empty = []
        while segments:
            newest = segments[-1]
            found = scan(newest, self._id)
            torn = newest.size - found.end
            # What was torn off may have used numbers; none is given out again.
            free = max(free, (found.last.seq if found.last else newest.first_seq - 1) + -(-torn // HEAD_BYTES))
            self.torn += torn
            if found.last is not None:
                used, self._last_arrived = max(used, found.last.seq), found.last.arrived
                with open(newest.path, "r+b") as file:
                    file.truncate(found.end)
                    os.fsync(file.fileno())
                break
            used = max(used, newest.header.last_seq if newest.header else 0)
            empty.append(segments.pop().path)
        if self.torn:
            log.warning("cut %s torn bytes from the end of the journal in %s", self.torn, self.folder)
        self._closed = [(segment.path, segment.first_seq, os.path.getsize(segment.path)) for segment in segments]
        self.last_seq = self.synced_seq = max(used, free, above)
        self._begin_segment(used)
        for path in empty:
            if path != self._path:
                path.unlink()

    def _begin_segment(self, used: int) -> None:
        """Begin the segment of the next number not yet durable.

        used : the last number in a frame.
        """
        first = self.synced_seq + 1
        path = path_of(self.folder, first)
        new = path.with_suffix(".new")
        new.write_bytes(Header(self._id, first, used).encode())
        file = os.open(new, os.O_WRONLY | os.O_APPEND)
        os.fsync(file)
        os.replace(new, path)
        sync_folder(self.folder)
        self._path, self.active_first, self._file, self._size = path, first, file, HEADER_BYTES

    @property
    def first_seq(self) -> int:
        """The first number that it holds, or will hold."""
        with self._lock:
            return self._closed[0][1] if self._closed else self.active_first

    @property
    def size(self) -> int:
        """All segments together. [bytes]"""
        with self._lock:
            return sum(size for _, _, size in self._closed) + self._size

    def append(
        self,
        kind: FrameKind,
        arrived: int,
        topic: str = "",
        payload: bytes = b"",
        qos: int = 0,
        retain: bool = False,
        dup: bool = False,
        packet_id: int = 0,
        original_bytes: int = 0,
    ) -> int:
        """Give the next number to an entry and buffer it until `commit`; see Frame for the rest.

        arrived : now, by the server's clock; small steps back are levelled out. [ms since 1970, UTC]
        Raises JournalError if it is too long.
        """
        seq, arrived = self.last_seq + 1, self._level(arrived)
        data = encode_fields(
            self._seed, seq, kind, arrived, topic, payload, qos, retain, dup, packet_id, original_bytes
        )
        self._buffer.append(data)
        self._buffered += len(data)
        if kind is FrameKind.HISTORY:
            self.imported += len(data)
        self._last_arrived, self.last_seq = arrived, seq
        return seq

    def append_messages(self, messages: Iterable[Message]) -> None:
        """Append messages in order; the same as `append` of each, at less CPU."""
        kind, seed, append = FrameKind.MESSAGE, self._seed, self._buffer.append
        for one in messages:
            arrived = one.arrived
            if arrived != self._last_arrived:
                self._last_arrived = arrived = self._level(arrived)
            data = encode_fields(
                seed,
                self.last_seq + 1,
                kind,
                arrived,
                one.topic,
                one.payload,
                one.qos,
                one.retain,
                one.dup,
                one.packet_id,
                one.original_bytes,
            )
            append(data)
            self._buffered += len(data)
            self.last_seq += 1

    def _level(self, arrived: int) -> int:
        """Level out a small step back of the server's clock, count a large one. [ms since 1970, UTC]"""
        back = self._last_arrived - arrived
        if back <= 0:
            return arrived
        if back <= CLAMPED_MS:
            return self._last_arrived
        self.clock_steps += 1
        log.warning("the server's clock went back by %s s", back // 1000)
        return arrived

    def commit(self) -> None:
        """Make everything appended durable, then let readers see it.

        Raises JournalError if the disk refuses: the process must end without acknowledging; nothing more can be
        appended, and what may not be durable is cut off.
        """
        if self._failed:
            raise JournalError("the journal failed before; only a restart opens it again")
        if not self._buffer:
            return
        began = time.perf_counter()
        durable = self._size
        try:
            if self._size >= self._segment_bytes:
                self._roll()
                durable = self._size
            data = memoryview(b"".join(self._buffer))
            while data:
                data = data[os.write(self._file, data) :]
            self._sync(self._file)
        except OSError as error:
            self._failed = True
            self._cut_back(durable)
            raise JournalError(f"the journal in {self.folder} cannot be written: {error}") from error
        self._buffer.clear()
        with self._lock:
            self._size += self._buffered
        self._unchecked += self._buffered
        self.written += self._buffered
        self._buffered = 0
        self.synced_seq = self.last_seq
        took = time.perf_counter() - began
        self.sync_ms.append(took * 1000)
        self.sync_counts[bisect_left(SYNC_BOUNDS_S, took)] += 1
        self.sync_s += took
        self.synced_at.append((self.synced_seq, time.time_ns() / 1e6))

    def _roll(self) -> None:
        os.close(self._file)
        closed = (self._path, self.active_first, self._size)
        self._begin_segment(self.synced_seq)
        with self._lock:
            self._closed.append(closed)

    def _cut_back(self, durable: int) -> None:
        try:
            os.ftruncate(self._file, durable)
        except OSError as error:
            log.warning("what was not synced could not be cut off: %s", error)

    def check_room(self) -> None:
        """Raise JournalFull at the size limit or with too little free disk space; looks once a second or MB."""
        now = time.monotonic()
        if now - self._room_checked >= ROOM_EVERY_S or self._unchecked >= ROOM_EVERY_BYTES:
            self._room_checked, self._unchecked, self._problem = now, 0, self._find_problem()
        if self._problem:
            raise JournalFull(self._problem)

    def _find_problem(self) -> str:
        size, free = self.size, self.free_bytes
        if size >= self._max_bytes:
            return (
                f"the journal has reached its limit of {self._max_bytes // MB} MB; nothing is acknowledged until "
                "older segments may go: raise HEATPUMP_JOURNAL_MAX_MB or shorten HEATPUMP_JOURNAL_RETENTION"
            )
        if free < self._min_free_bytes:
            return (
                f"only {free // MB} MB are free in {self.folder}, {self._min_free_bytes // MB} MB are to stay; "
                "nothing is acknowledged until there is more: free some space or lower HEATPUMP_MIN_FREE_MB"
            )
        return ""

    @property
    def free_bytes(self) -> int:
        """Free space on the journal's disk. [bytes]"""
        return shutil.disk_usage(self.folder).free

    def drop_closed(self, count: int) -> None:
        """Remove the oldest segments; never the one being written."""
        with self._lock:
            gone, self._closed = self._closed[:count], self._closed[count:]
        for path, _, _ in gone:
            path.unlink(missing_ok=True)
        sync_folder(self.folder)

    def closed_segments(self) -> list[tuple[Path, int]]:
        """List the segments that are no longer written, oldest first: path and first number."""
        with self._lock:
            return [(path, first) for path, first, _ in self._closed]

    def close(self) -> None:
        """Release the file. What is appended and not committed is forgotten; safe to call twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
