"""Journals of short segments, written and read whole."""

import os

from flows.journal.reader import JournalReader
from flows.journal.segments import HEADER_BYTES
from flows.journal.writer import Journal
from flows.model.frame import FrameKind

MESSAGE = FrameKind.MESSAGE


opened = []


def open_small(folder, **given):
    """Open a journal of short segments; like a killed process, tests need not close it."""
    opened.append(Journal.open(folder, **{"segment_bytes": 300, "min_free_bytes": 1, **given}))
    return opened[-1]


def write(journal, count, each=1, arrived=1_000):
    """Append numbered messages, `each` a commit; their payload is their seq."""
    for number in range(count):
        seq = journal.append(MESSAGE, arrived + number, "heatpump/a/data", b"%d" % (journal.last_seq + 1), qos=1)
        if (number + 1) % each == 0:
            journal.commit()
    journal.commit()
    return seq


def read_all(source, after=0, batch=7):
    with JournalReader(source, after) as reader:
        frames = []
        while more := reader.read(batch):
            frames += more
    return frames, reader.damage


def seqs(frames):
    assert all(frame.payload == b"%d" % frame.seq for frame in frames if frame.topic)
    return [frame.seq for frame in frames]


def segments(folder):
    return sorted(folder.glob("*.seg"))


def tear(folder, size):
    """Cut bytes from the end of the newest segment that has frames."""
    path = [path for path in segments(folder) if path.stat().st_size > HEADER_BYTES][-1]
    os.truncate(path, path.stat().st_size - size)
    return path
