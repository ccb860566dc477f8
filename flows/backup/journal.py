"""The journal copied while it is written, rolled over and trimmed.

Segments are only ever appended to, and go whole, oldest first. So a copy up to some byte is what a kill would have
left at that moment; of the newest, whole frames are copied.
"""

import os
from pathlib import Path

import msgspec

from flows.backup.files import CHUNK, Packed, check, make_folder, pack
from flows.backup.manifest import JOURNAL, Manifest
from flows.errors import BackupError
from flows.journal.frame import Damaged, Incomplete, decode, seed_of
from flows.journal.segments import HEADER_BYTES, Segment, journal_id_of, list_segments, scan

TRIES = 5


class CopiedJournal(msgspec.Struct):
    """What was copied. files: by name of the segment, oldest first; last_seq: the last frame in them."""

    journal_id: str
    files: dict[str, Packed]
    last_seq: int

    @property
    def first_seq(self) -> int:
        """The first frame that it may hold."""
        return int(next(iter(self.files)).removesuffix(".seg"))


def copy_journal(source: Path, folder: Path, before: tuple[Path, Manifest] | None) -> CopiedJournal:
    """Copy a journal into a backup's folder.

    before : another backup, from which segments that are the same are linked instead of packed again.
    Raises BackupError, JournalError, OSError.
    """
    make_folder(folder / JOURNAL)
    for _ in range(TRIES):
        copied = _copy(source, folder, before)
        if copied is not None and copied.files:
            return copied
        for path in (folder / JOURNAL).iterdir():
            path.unlink()
    raise BackupError(f"the journal in {source} changed again and again while it was copied: try again")


def _copy(source: Path, folder: Path, before: tuple[Path, Manifest] | None) -> CopiedJournal | None:
    """Copy once; None where a flow that started has put another segment in the place of the newest."""
    segments = _list(source)
    journal_id = journal_id_of(segments, source)
    if journal_id is None:
        raise BackupError(f"there is no journal in {source}: nothing was ever received")
    known = _known(before, journal_id.hex())
    newest = segments[-1]
    copied = CopiedJournal(journal_id.hex(), {}, newest.first_seq - 1)
    for segment in segments:
        size = segment.size
        try:
            if segment is newest:
                size, last_seq = _whole(segment, journal_id)
                copied.last_seq = max(copied.last_seq, last_seq)
            name = f"{JOURNAL}/{segment.path.name}"
            packed = _linked(segment, size, folder, before, known) or pack(segment.path, folder, name, size)
        except FileNotFoundError:
            if segment is newest:
                return None
            for each in copied.files.values():  # trimmed since it was listed, and so is all before it
                (folder / each.path).unlink()
            copied.files.clear()
            continue
        copied.files[segment.path.name] = packed
    return copied


def _whole(segment: Segment, journal_id: bytes) -> tuple[int, int]:
    """Say where the last whole frame ends [bytes], and its number; 0 without any.

    Piece by piece: a segment may be larger than what a backup is given of memory. Where something is damaged, or
    being written, the whole is looked at.
    """
    seed, begin, data, at, last_seq = seed_of(journal_id), HEADER_BYTES, b"", 0, 0
    with segment.path.open("rb") as file:
        file.seek(HEADER_BYTES)
        while segment.header is not None:
            try:
                frame, at = decode(data, at, seed)
                last_seq = frame.seq
            except Incomplete:
                more = file.read(CHUNK)
                if not more and at == len(data):
                    return begin + at, last_seq
                if not more:
                    break
                begin, data, at = begin + at, data[at:] + more, 0
            except Damaged:
                break
    found = scan(segment, journal_id)
    return max(HEADER_BYTES, found.end), found.last.seq if found.last else 0


def _list(source: Path) -> list[Segment]:
    for _ in range(TRIES):
        try:
            return list_segments(source)
        except FileNotFoundError:  # trimmed between being listed and being opened
            continue
    return list_segments(source)


def _known(before: tuple[Path, Manifest] | None, journal_id: str) -> dict[str, Packed]:
    if before is None or before[1].journal_id != journal_id:
        return {}
    return {file.path: file for file in before[1].files}


def _linked(
    segment: Segment, size: int, folder: Path, before: tuple[Path, Manifest] | None, known: dict[str, Packed]
) -> Packed | None:
    """Link a segment that another backup has the same of; None where it has not, or what it has is damaged."""
    path = f"{JOURNAL}/{segment.path.name}.zst"
    packed = known.get(path)
    if before is None or packed is None or packed.unpacked != size:
        return None
    if not segment.path.exists():
        raise FileNotFoundError(segment.path)
    try:
        check(before[0], packed)
        os.link(before[0] / path, folder / path)
    except (BackupError, OSError):
        return None
    return packed
