"""The bytes of one frame, and how to find the next whole one after damage.

Little endian: marker 4 · crc u32 · length u32 · version u8 · kind u8 · flags u8 · 0 u8 · seq u64 · arrived i64 ·
packet id u16 · topic length u16 · original bytes u32 · topic · payload. `length` counts topic and payload. The
CRC covers all after itself and begins with the journal's id, so a frame of another journal, or one that a device
hides in its payload, is never taken for ours.
"""

import struct
from zlib import crc32

import msgspec

from flows.errors import JournalError
from flows.journal.topics import Topics
from flows.model.frame import Frame, FrameKind

MARKER = b"\xf1HPF"
VERSION = 1
MAX_BODY = 1 << 20
"""Most bytes of topic and payload; more means that the length is damaged."""

_HEAD = struct.Struct("<4sIIBBBxQqHHI")
_REST = struct.Struct("<IBBBxQqHHI")
_CRC_END = 8
HEAD_BYTES = _HEAD.size

_RETAIN, _DUP = 4, 8
_QOS = 3
_KINDS = {int(kind): kind for kind in FrameKind}


class Incomplete(Exception):
    """The bytes end before the frame does."""


class Damaged(Exception):
    """Here is no frame of ours."""


def seed_of(journal_id: bytes) -> int:
    """Derive what the CRCs of a journal begin with."""
    return crc32(journal_id)


def encode(frame: Frame, seed: int) -> bytes:
    """Encode one frame. Raises JournalError if topic and payload are too long together."""
    return encode_fields(seed, *msgspec.structs.astuple(frame))


def encode_fields(
    seed: int,
    seq: int,
    kind: int,
    arrived: int,
    topic: str,
    payload: bytes,
    qos: int,
    retain: bool,
    dup: bool,
    packet_id: int,
    original_bytes: int,
) -> bytes:
    """Encode one frame that nobody has made a Frame of; see `encode`."""
    name = topic.encode()
    length = len(name) + len(payload)
    if length > MAX_BODY or len(name) > 0xFFFF:
        raise JournalError(f"a frame of {length} bytes is too long; at most {MAX_BODY} are allowed")
    flags = qos & _QOS | (_RETAIN if retain else 0) | (_DUP if dup else 0)
    rest = _REST.pack(length, VERSION, kind, flags, seq, arrived, packet_id, len(name), original_bytes) + name
    crc = crc32(payload, crc32(rest, seed))
    return b"".join((MARKER, crc.to_bytes(4, "little"), rest, payload))


def decode(data: bytes, at: int, seed: int) -> tuple[Frame, int]:
    """Decode the frame that begins at `at`; returns it and where the next begins.

    Raises Incomplete, Damaged, and JournalError if a newer version wrote it.
    """
    start = at + HEAD_BYTES
    if start > len(data):
        raise Incomplete
    marker, crc, length, version, kind, flags, seq, arrived, packet_id, topic_length, original = _HEAD.unpack_from(
        data, at
    )
    if marker != MARKER or length > MAX_BODY or topic_length > length:
        raise Damaged
    end = start + length
    if end > len(data):
        raise Incomplete
    if crc32(memoryview(data)[at + _CRC_END : end], seed) != crc:
        raise Damaged
    if version != VERSION or kind not in _KINDS:
        raise JournalError(
            f"frame {seq} has format {version}, kind {kind}, which this version cannot read; "
            "run the version that wrote it, or a newer one"
        )
    body = start + topic_length
    frame = Frame(
        seq,
        _KINDS[kind],
        arrived,
        data[start:body].decode(),
        data[body:end],
        flags & _QOS,
        bool(flags & _RETAIN),
        bool(flags & _DUP),
        packet_id,
        original,
    )
    return frame, end


def decode_run(
    data: bytes, at: int, seed: int, first_seq: int, last_seq: int, topics: Topics
) -> tuple[list[Frame], int]:
    """Decode the frames from one number to another, as far as they follow one another whole and without a gap.

    Returns them and where they end. What comes there, if not the end of the data, `decode` tells.
    """
    frames: list[Frame] = []
    view, unpack, last_start = memoryview(data), _HEAD.unpack_from, len(data) - HEAD_BYTES
    for due in range(first_seq, last_seq + 1):
        if at > last_start:
            break
        marker, crc, length, version, kind, flags, seq, arrived, packet_id, topic_length, original = unpack(
            data, at
        )
        start = at + HEAD_BYTES
        body, end = start + topic_length, start + length
        if marker != MARKER or seq != due or length > MAX_BODY or body > end or end > len(data):
            break
        if crc32(view[at + _CRC_END : end], seed) != crc or version != VERSION or kind not in _KINDS:
            break
        frames.append(
            Frame(
                seq,
                _KINDS[kind],
                arrived,
                topics[data[start:body]],
                data[body:end],
                flags & _QOS,
                flags & _RETAIN > 0,
                flags & _DUP > 0,
                packet_id,
                original,
            )
        )
        at = end
    return frames, at


def find(data: bytes, at: int, after_seq: int, seed: int) -> int | None:
    """Find where, from `at` on, the next whole frame with a larger seq begins."""
    while (at := data.find(MARKER, at)) >= 0:
        try:
            frame, _ = decode(data, at, seed)
        except (Incomplete, Damaged):
            pass
        else:
            if frame.seq > after_seq:
                return at
        at += 1
    return None
