"""Recordings: a span of a journal as one compressed file, which docs/reference/recording.md describes.

Little endian: magic 8 · version u16 · 6 zero bytes · chunks. A chunk: marker 4 · crc u32 · kind u8 ·
3 zero bytes · length u32 · content; the CRC covers all after itself. A head (JSON) comes first, an end (JSON)
last; between them blocks: first seq u64 · last seq u64 · first arrived i64 · last arrived i64 · frames u32, then
whole frames as in a segment, compressed together by zlib. A damaged chunk costs its own frames only.
"""

import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from flows.durable import sync_folder
from flows.errors import BadQuery, JournalError
from flows.journal.frame import Damaged, Incomplete, decode, decode_run, encode, seed_of
from flows.journal.topics import Topics
from flows.model.frame import Frame, FrameKind
from flows.model.history import chunk_of

MAGIC = b"HPMRECD\n"
VERSION = 1
BLOCK_BYTES = 1 << 20
"""A block is closed once its frames are this long together, before compression. [bytes]"""

LEVEL = 6
"""Of zlib: 12.6 to 1 at 120 MB/s on ordinary readings; 9 gives 13.6 at 28 MB/s."""

_PREAMBLE = struct.Struct("<8sH6x")
_CHUNK = struct.Struct("<4sIB3xI")
_BLOCK = struct.Struct("<QQqqI")
_MARKER = b"\xf2HPR"
_CRC_END = 8
_HEAD, _FRAMES, _END = 1, 2, 3

_readings = msgspec.json.Decoder(list[msgspec.Raw])


class Head(msgspec.Struct, frozen=True):
    """What was asked for.

    journal_id : of the journal it is from, 32 hex digits.
    start, end : the span of arrivals [start, end). [ms since 1970, UTC]
    devices    : whose frames it holds; empty: the whole journal's.
    version    : of the program that wrote it.
    """

    journal_id: str
    start: int
    end: int
    devices: tuple[str, ...]
    version: str


class Contents(msgspec.Struct):
    """What was found.

    frames                      : how many, of all kinds.
    messages                    : how many of them devices sent.
    readings                    : in data messages as sent, by device.
    imported                    : readings in chunks of history, by device.
    first_seq, last_seq         : of the frames in the span.
    first_arrived, last_arrived : of the same. [ms since 1970, UTC]
    missing                     : numbers in the span that the journal gave out and could not read any more.
    """

    frames: int = 0
    messages: int = 0
    readings: dict[str, int] = {}
    imported: dict[str, int] = {}
    first_seq: int = 0
    last_seq: int = 0
    first_arrived: int = 0
    last_arrived: int = 0
    missing: int = 0


class Block(msgspec.Struct, frozen=True):
    """Where a block's frames lie in the file, and which they are."""

    at: int
    end: int
    first_seq: int
    last_seq: int
    first_arrived: int
    last_arrived: int
    frames: int


class Hole(msgspec.Struct, frozen=True):
    """Damaged bytes between two whole blocks; None: at the file's beginning or end."""

    before: Block | None
    after: Block | None


def write_recording(
    path: Path, head: Head, frames: Iterable[Frame], finish: Callable[[Contents], None]
) -> Contents:
    """Write frames to a file that appears whole or not at all; return what it holds.

    finish : sees what was found after the last frame, may add to it, or refuse it by an exception.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    contents = Contents()
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(_PREAMBLE.pack(MAGIC, VERSION) + _chunk(_HEAD, msgspec.json.encode(head)))
            for block in _blocks(frames, head, contents):
                file.write(block)
            finish(contents)
            file.write(_chunk(_END, msgspec.json.encode(contents)))
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except OSError as error:
        if error.filename != str(part):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)
    return contents


def _blocks(frames: Iterable[Frame], head: Head, contents: Contents) -> Iterator[bytes]:
    seed = seed_of(bytes.fromhex(head.journal_id))
    held: list[Frame] = []
    parts: list[bytes] = []
    size = 0
    for frame in frames:
        count(frame, head.start, contents)
        held.append(frame)
        parts.append(encode(frame, seed))
        size += len(parts[-1])
        if size >= BLOCK_BYTES:
            yield _block(held, parts)
            held, parts, size = [], [], 0
    if held:
        yield _block(held, parts)


def _block(held: list[Frame], parts: list[bytes]) -> bytes:
    first, last = held[0], held[-1]
    about = _BLOCK.pack(first.seq, last.seq, first.arrived, last.arrived, len(held))
    return _chunk(_FRAMES, about + zlib.compress(b"".join(parts), LEVEL))


def _chunk(kind: int, content: bytes) -> bytes:
    whole = _CHUNK.pack(_MARKER, 0, kind, len(content)) + content
    return whole[:4] + zlib.crc32(whole[_CRC_END:]).to_bytes(4, "little") + whole[_CRC_END:]


def count(frame: Frame, start: int, contents: Contents) -> None:
    """Add a frame to what was found in a span that begins at `start`. [ms since 1970, UTC]"""
    contents.frames += 1
    if frame.arrived < start:  # the start that the span runs under
        return
    contents.first_seq = contents.first_seq or frame.seq
    contents.first_arrived = contents.first_arrived or frame.arrived
    contents.last_seq, contents.last_arrived = frame.seq, frame.arrived
    if frame.kind is FrameKind.MESSAGE:
        contents.messages += 1
        device_id = device_of(frame)
        data = frame.topic.endswith("/data")
        contents.readings[device_id] = contents.readings.get(device_id, 0) + (readings_in(frame) if data else 0)
    elif frame.kind is FrameKind.HISTORY:
        device_id = device_of(frame)
        contents.imported[device_id] = contents.imported.get(device_id, 0) + imported_in(frame)


def device_of(frame: Frame) -> str:
    """Tell the device that a message or history is of, by its topic."""
    return frame.topic.split("/", 2)[1] if "/" in frame.topic else ""


def readings_in(frame: Frame) -> int:
    """Count the readings of a data message; one that cannot be read counts as one."""
    if frame.payload.lstrip()[:1] != b"[":
        return 1
    try:
        return len(_readings.decode(frame.payload))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return 1


def imported_in(frame: Frame) -> int:
    """Count the readings of a chunk of history; one that cannot be read has none."""
    try:
        return len(chunk_of(frame.payload).at) // 8
    except BadQuery:
        return 0


def is_recording(path: Path) -> bool:
    """Tell a recording, of whatever version, from other files."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


class Recording:
    """A recording, looked through once: every block's CRC was compared.

    contents : as its end says; None where the file ends early.
    blocks   : the whole ones.
    holes    : where blocks are missing because bytes are damaged; the rest can be read.
    """

    def __init__(self, path: Path) -> None:
        """Open it. Raises JournalError if it is none, of a newer version, or its head is damaged."""
        self.path = path
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if file.read(len(MAGIC)) != MAGIC or size < _PREAMBLE.size:
                raise JournalError(f"{path} is no recording; `heatpump record` makes one")
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        version = _PREAMBLE.unpack_from(self._data)[1]
        if version != VERSION:
            raise JournalError(f"{path} has format {version}, this version reads {VERSION}; run a newer version")
        self.contents: Contents | None = None
        self.blocks: list[Block] = []
        self.holes: list[Hole] = []
        self.head = self._scan()

    def close(self) -> None:
        """Release the file."""
        self._data.close()

    def __enter__(self) -> "Recording":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def frames(self) -> Iterator[Frame]:
        """Read all frames of its whole blocks, in order. Raises JournalError where one is none of ours."""
        seed, topics = seed_of(bytes.fromhex(self.head.journal_id)), Topics(bytes.decode)
        for block in self.blocks:
            try:
                data, at, due = zlib.decompress(self._data[block.at : block.end]), 0, block.first_seq
                while at < len(data):
                    run, at = decode_run(data, at, seed, due, block.last_seq, topics)
                    if not run:  # numbers are left out here
                        frame, at = decode(data, at, seed)
                        run = [frame]
                    yield from run
                    due = run[-1].seq + 1
            except (zlib.error, Incomplete, Damaged, UnicodeDecodeError) as error:
                raise self._no_recording(f"the block from frame {block.first_seq} on: {error!r}") from None

    def _scan(self) -> Head:
        at, harmed = _PREAMBLE.size, False
        head: Head | None = None
        while self.contents is None and at < len(self._data):
            found = self._chunk_at(at)
            if found is None:
                harmed, at = True, self._next_marker(at + 1)
                continue
            kind, content, end = found
            data = self._data[content:end]
            try:
                if kind == _HEAD:
                    head = _json(data, Head)
                    seed_of(bytes.fromhex(head.journal_id))
                elif kind == _END:
                    self.contents = _json(data, Contents)
                elif kind == _FRAMES:
                    self._add(Block(content + _BLOCK.size, end, *_BLOCK.unpack_from(data)), harmed)
                    harmed = False
            except (msgspec.DecodeError, ValueError, struct.error) as error:
                raise self._no_recording(f"a part of kind {kind}: {error}") from None
            if kind not in (_HEAD, _END, _FRAMES):
                raise JournalError(f"{self.path} holds parts of kind {kind}, which only a newer version can read")
            at = end
        if head is None:
            raise JournalError(
                f"{self.path}: its head is damaged, so nothing of it can be used; take another copy"
            )
        if harmed and self.contents is not None:
            self.holes.append(Hole(self.blocks[-1] if self.blocks else None, None))
        return head

    def _no_recording(self, what: str) -> JournalError:
        return JournalError(f"{self.path} was not written by `heatpump record`, {what}; take another copy")

    def _add(self, block: Block, harmed: bool) -> None:
        if harmed:
            self.holes.append(Hole(self.blocks[-1] if self.blocks else None, block))
        self.blocks.append(block)

    def _chunk_at(self, at: int) -> tuple[int, int, int] | None:
        """Say a whole chunk's kind, and where its content begins and ends; None where there is none."""
        content = at + _CHUNK.size
        if content > len(self._data):
            return None
        marker, crc, kind, length = _CHUNK.unpack_from(self._data, at)
        end = content + length
        if marker != _MARKER or end > len(self._data):
            return None
        with memoryview(self._data) as view:
            return (kind, content, end) if zlib.crc32(view[at + _CRC_END : end]) == crc else None

    def _next_marker(self, at: int) -> int:
        found = self._data.find(_MARKER, at)
        return found if found >= 0 else len(self._data)


def _json(data: bytes, kind: Any) -> Any:
    return msgspec.json.decode(data, type=kind)
