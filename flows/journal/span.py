"""A span of a journal by arrival, whole or of some devices, read from its folder while it may be in use."""

from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from flows.journal.reader import JournalReader
from flows.journal.recording import device_of
from flows.journal.retention import frame_at
from flows.journal.segments import Damage, list_segments
from flows.model.frame import Frame, FrameKind

CHUNK_FRAMES = 1_000

_decoder = msgspec.json.Decoder(dict[str, object])


class Span:
    """Frames that arrived in [start, end), and before them the newest start of the flow: what they ran with.

    of      : devices whose messages, history and commands, with all ticks and starts; empty: everything.
    last    : the last seq to read, the durable end of a journal in use.
    damage  : what could not be read.
    devices : that sent something in the span, or whose history was imported, once it was read.

    Segments that begin and end on the same side of the span are not read.
    """

    def __init__(self, folder: Path, start: int, end: int, of: Collection[str], last: int) -> None:
        self._folder, self._start, self._end = folder, start, end
        self._of, self._last = frozenset(of), last
        self.damage = Damage()
        self.devices: set[str] = set()

    def __iter__(self) -> Iterator[Frame]:
        firsts = [frame for s in list_segments(self._folder) if (frame := frame_at(self._folder, s.first_seq))]
        inside = [index for index, frame in enumerate(firsts) if frame.arrived < self._end]
        if not inside:
            return
        later = (index for index, frame in enumerate(firsts[1:]) if frame.arrived >= self._start)
        begin = firsts[next(later, len(firsts) - 1)].seq
        stop = min(self._last, firsts[inside[-1] + 1].seq - 1 if inside[-1] + 1 < len(firsts) else self._last)
        # Every start of the flow begins a segment.
        before = next((f for f in reversed(firsts) if f.seq < begin and f.kind is FrameKind.START), None)
        for frame in self._read(begin, stop):
            if self._start <= frame.arrived < self._end:
                if before is not None:
                    yield before
                    before = None
                if frame.kind in (FrameKind.MESSAGE, FrameKind.HISTORY):
                    self.devices.add(device_of(frame))
                if not self._of or concerns(frame, self._of):
                    yield frame
            elif frame.kind is FrameKind.START and frame.arrived < self._start:
                before = frame

    def _read(self, begin: int, stop: int) -> Iterator[Frame]:
        with JournalReader(self._folder, begin - 1) as reader:
            self.damage = reader.damage
            while frames := reader.read(CHUNK_FRAMES):
                for frame in frames:
                    if frame.seq > stop:
                        return
                    yield frame


def concerns(frame: Frame, devices: frozenset[str]) -> bool:
    """Tell whether a frame may matter to one of the devices.

    A message or history by its topic, a command by the device that it names, in whatever way; one that names none
    may concern all. Ticks and starts concern all.
    """
    if frame.kind in (FrameKind.MESSAGE, FrameKind.HISTORY):
        return device_of(frame) in devices
    if frame.kind is FrameKind.COMMAND:
        named = _named(frame.payload)
        return named is None or named in devices
    return True


def _named(command: bytes) -> str | None:
    try:
        body = _decoder.decode(command).get("body")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    if isinstance(device_id := body.get("device_id"), str):
        return device_id
    if isinstance(alert_id := body.get("alert_id"), str):
        return alert_id.partition("/")[0]
    seen = body.get("seen")  # the dead letter that it is about
    if isinstance(seen, dict) and isinstance(topic := seen.get("topic"), str) and topic.count("/") >= 2:
        return topic.split("/")[1]
    return None
