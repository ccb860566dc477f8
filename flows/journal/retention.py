"""What may go from the journal: whole old segments that nobody needs any more."""

from pathlib import Path

from flows.journal.reader import JournalReader
from flows.journal.writer import Journal
from flows.model.frame import Frame


def trim(journal: Journal, before: int, keep_after_seq: int) -> int:
    """Remove whole segments, oldest first; returns how many.

    before         : only if all their frames arrived before it. [ms since 1970, UTC]
    keep_after_seq : never a segment that holds a later frame. The one being written always stays.
    """
    closed = journal.closed_segments()
    starts = [first for _, first in closed[1:]] + [journal.active_first]
    count = 0
    for next_first in starts:
        following = frame_at(journal.folder, next_first)
        # A segment ends before the next one's first frame arrives.
        if next_first - 1 > keep_after_seq or following is None or following.arrived >= before:
            break
        count += 1
    if count:
        journal.drop_closed(count)
    return count


def frame_at(folder: Path, seq: int) -> Frame | None:
    """Find the first frame at or after a seq; its arrival tells people the hour of that place."""
    with JournalReader(folder, seq - 1) as reader:
        return next(iter(reader.read(1)), None)
