"""How a batch is put in order before it is written, the same for every store."""

from collections.abc import Iterator

from flows.model.command import CommandOutcome
from flows.model.dead_letter import LetterChange
from flows.model.rows import Forget, Retain, StoreItem

KEPT = (Forget, LetterChange, CommandOutcome)
"""What a Forget leaves alone."""


def in_sequence(items: list[StoreItem]) -> Iterator[list[StoreItem]]:
    """Split a batch where its result would depend on what else is in it.

    Items are written kind by kind. That is right for whatever order they came in, but for what follows a Retain:
    it must not see newer rows, nor be missed by them. So a batch is cut behind it.
    """
    if not any(isinstance(item, Retain) for item in items):
        yield items
        return
    part: list[StoreItem] = []
    closed = False
    for item in sorted(items, key=_order):
        barrier = isinstance(item, Retain)
        if closed and not barrier:
            yield part
            part, closed = [], False
        part.append(item)
        closed = closed or barrier
    yield part


def _order(item: StoreItem) -> int:
    return 0 if isinstance(item, CommandOutcome) else item.order
