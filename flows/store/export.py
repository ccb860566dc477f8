"""A store taken apart, batch by batch, so that another one of either kind can be filled with it.

What the pipeline can say is exported as it says it: StoreItems, each with its order. What it never says, for it
follows from what came and went since, has a form of its own here, which `StoreWriter.restore` takes.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol, cast, get_args

import msgspec

from flows.model.episode import EpisodeKind
from flows.model.rollup import Resolution
from flows.model.rows import StoreItem
from flows.model.table import RollupTable
from flows.store import StoreAddress
from flows.store.protocol import Fence, StoredDeadLetter, StoreWriter

Section = Literal[
    "forgotten",
    "device",
    "latest",
    "raw",
    "1m",
    "1h",
    "1d",
    "episode",
    "episode_gone",
    "alert",
    "dead_letter_count",
    "dead_letter",
    "command",
    "retained",
]
SECTIONS: tuple[Section, ...] = get_args(Section)
"""In the order in which they are copied.

What was forgotten goes first: it says which orders are too old. Counts of letters go before the letters: where the
source is written meanwhile, no letter is counted then that is not kept. What was let go is last: rows that went
while others were copied go from the copy, too.
"""

BY_DEVICE: frozenset[Section] = frozenset(SECTIONS[1 : SECTIONS.index("dead_letter_count")])
"""Sections that are read a device at a time."""


MARK = "migration-"
"""How the fence of a store that is being filled begins, in place of a journal's id: no flow starts on it."""


class RollupRows(msgspec.Struct, frozen=True):
    """Rollup rows of one device and resolution as they are, each with its own order."""

    device_id: str
    resolution: Resolution
    table: RollupTable


class EpisodeGone(msgspec.Struct, frozen=True):
    """An episode that is no more, of which the order stays. start: [ms since 1970, UTC]"""

    device_id: str
    order: int
    kind: EpisodeKind
    start: int


class LetterCount(msgspec.Struct, frozen=True):
    """How many letters a device had for a reason in an hour.

    order : of the newest. hour: its start. [ms since 1970, UTC]
    """

    device_id: str
    reason: str
    hour: int
    order: int
    count: int


Restored = RollupRows | EpisodeGone | LetterCount | StoredDeadLetter
Exported = Sequence[StoreItem] | Sequence[Restored]
"""A batch; all of it is of one section."""


class StoreExport(Protocol):
    """Everything of a store, in batches that fit into memory; it may be written meanwhile."""

    def fence(self) -> Fence | None:
        """Return the last durable fence, None of a new store."""

    def devices(self) -> list[str]:
        """Every device that has rows of its own, sorted."""

    def read(self, section: Section, device_id: str = "") -> Iterator[Exported]:
        """Read a section: of one device where it is in BY_DEVICE, else whole.

        Raises RetryableStoreError, StoreError.
        """

    def close(self) -> None:
        """Release files; safe to call twice."""


def open_export(address: StoreAddress) -> StoreExport:
    """Open a store that is there. Raises RetryableStoreError, StoreError."""
    from flows.model.influx_address import InfluxAddress

    if isinstance(address, InfluxAddress):
        from flows.store.influx.export import InfluxExport

        return InfluxExport(address)
    from flows.store.sqlite.export import SqliteExport

    return SqliteExport(Path(address))


def units(devices: list[str]) -> Iterator[tuple[Section, str]]:
    """Name all that a store of these devices is read by, in order."""
    for section in SECTIONS:
        for device_id in devices if section in BY_DEVICE else ("",):
            yield section, device_id


def put(writer: StoreWriter, batch: Exported) -> None:
    """Write a batch into a store; the same batch may be written again. Raises as StoreWriter.apply does."""
    if batch and isinstance(batch[0], Restored):
        writer.restore(cast(list[Restored], [*batch]))
    elif batch:
        writer.apply(cast(list[StoreItem], [*batch]))
