"""Segment files: `<first seq, 20 digits>.seg`, each a header and then frames."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import msgspec

from flows.errors import JournalError
from flows.journal.frame import Damaged, Incomplete, decode, find, seed_of
from flows.model.frame import Frame

MAGIC = b"HPMJRNL\n"
VERSION = 1
_HEADER = struct.Struct("<8sHxx16sQQ")
_CRC = struct.Struct("<I")
HEADER_BYTES = _HEADER.size + _CRC.size


class Header(msgspec.Struct, frozen=True):
    """What a segment says of itself.

    first_seq : the first number it may hold.
    last_seq  : the last one used before it; numbers between the two were never given out here.
    """

    journal_id: bytes
    first_seq: int
    last_seq: int

    def encode(self) -> bytes:
        """Encode, CRC at the end."""
        body = _HEADER.pack(MAGIC, VERSION, self.journal_id, self.first_seq, self.last_seq)
        return body + _CRC.pack(crc32(body))


class Segment(msgspec.Struct, frozen=True):
    """A segment file; header is None where it is damaged."""

    path: Path
    first_seq: int
    header: Header | None
    size: int


class Scan(msgspec.Struct):
    """What a whole segment holds.

    first, last : its first and last frame.
    end         : where the last frame ends; what lies behind is a torn tail. [bytes]
    """

    first: Frame | None
    last: Frame | None
    end: int


class Damage(msgspec.Struct):
    """What could not be read.

    regions : stretches of bytes that are no frames, with frames behind them.
    size    : how long they are together. [bytes]
    frames  : numbers that were given out and are in no frame.
    """

    regions: int = 0
    size: int = 0
    frames: int = 0


def path_of(folder: Path, first_seq: int) -> Path:
    """Name a segment."""
    return folder / f"{first_seq:020d}.seg"


def read_header(data: bytes, path: Path) -> Header | None:
    """Read a header; None if it is damaged. Raises JournalError if a newer version wrote it."""
    if len(data) < HEADER_BYTES or data[: len(MAGIC)] != MAGIC:
        return None
    if crc32(data[: _HEADER.size]) != _CRC.unpack_from(data, _HEADER.size)[0]:
        return None
    _, version, journal_id, first_seq, last_seq = _HEADER.unpack_from(data)
    if version != VERSION:
        raise JournalError(f"{path} has format {version}, this version reads {VERSION}; run a newer version")
    return Header(journal_id, first_seq, last_seq)


def list_segments(folder: Path) -> list[Segment]:
    """List the segments, oldest first. Raises JournalError if they belong to different journals."""
    segments = []
    for path in sorted(folder.glob("*.seg")):
        if path.stem.isdigit() and len(path.stem) == 20:
            with open(path, "rb") as file:
                header = read_header(file.read(HEADER_BYTES), path)
                size = os.fstat(file.fileno()).st_size
            segments.append(Segment(path, int(path.stem), header, size))
    journal_id_of(segments, folder)
    return segments


def journal_id_of(segments: list[Segment], folder: Path) -> bytes | None:
    """Tell the journal's id; None of an empty one. Raises JournalError if there are two, or none is readable."""
    ids = {segment.header.journal_id for segment in segments if segment.header}
    if len(ids) > 1:
        raise JournalError(
            f"{folder} holds segments of {len(ids)} different journals; move the foreign *.seg files away"
        )
    if not ids and any(segment.size > HEADER_BYTES for segment in segments):
        raise JournalError(f"no segment in {folder} has a readable header; restore the folder from a copy")
    return ids.pop() if ids else None


def walk(segment: Segment, journal_id: bytes) -> Iterator[tuple[Frame, int]]:
    """Read a whole segment, on over damage: each frame, and where it ends."""
    data, seed = segment.path.read_bytes(), seed_of(journal_id)
    at, seq = HEADER_BYTES if segment.header else 0, 0
    while at < len(data):
        try:
            frame, at = decode(data, at, seed)
        except (Incomplete, Damaged):
            found = find(data, at + 1, seq, seed)
            if found is None:
                return
            at = found
        else:
            seq = frame.seq
            yield frame, at


def scan(segment: Segment, journal_id: bytes) -> Scan:
    """Read a whole segment and say what it holds."""
    result = Scan(None, None, HEADER_BYTES if segment.header else 0)
    for frame, end in walk(segment, journal_id):
        result.first = result.first or frame
        result.last, result.end = frame, end
    return result
