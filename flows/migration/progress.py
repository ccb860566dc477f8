"""How far a migration has come: a file beside a store file, and a mark in the store that is being filled."""

import os
from pathlib import Path
from uuid import uuid4

import msgspec

from flows.migration.tally import Tally
from flows.store.export import MARK, Section
from flows.store.protocol import Fence


class Progress(msgspec.Struct):
    """What is done of a migration.

    source, target : what was named.
    fence    : of the source when it began: where the flow goes on, on the target. None where no flow fed it.
    done     : the last section and device that was copied whole.
    tally    : of what was copied.
    left_out : rows, by section, that the target's retention no longer covers.
    """

    source: str
    target: str
    fence: Fence | None
    id: str = msgspec.field(default_factory=lambda: uuid4().hex)
    done: tuple[Section, str] | None = None
    tally: Tally = msgspec.field(default_factory=Tally)
    left_out: dict[Section, int] = {}

    @property
    def mark(self) -> Fence:
        """The fence of a store that is not whole yet; its seq tells `heatpump rebuild` what orders there are."""
        seq, base = (self.fence.seq, self.fence.base) if self.fence else (0, 0)
        return Fence(f"{MARK}{self.id}", seq, base)


def read(path: Path) -> Progress | None:
    """Read how far it has come; None where none was begun."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Progress)
    except FileNotFoundError:
        return None


def write(path: Path, progress: Progress) -> None:
    """Put it in the place of what was there, durably."""
    unfinished = path.with_name(f"{path.name}-unfinished")
    with unfinished.open("wb") as file:
        file.write(msgspec.json.encode(progress))
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
