"""How a batch is put in order and written kind by kind, the same for every store."""

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import Any, TypeVar

from flows.model.alert import Transition
from flows.model.command import CommandOutcome
from flows.model.dead_letter import DeadLetter, LetterChange
from flows.model.episode import EpisodeRow, Retrace
from flows.model.rollup import ClosedMinutes, Compose, Refold, RollupBlock
from flows.model.rows import DeviceRow, Forget, LatestRow, RawRow, Retain, StoreItem

C = TypeVar("C")

Steps = Mapping[type, Callable[[C, list[Any]], int | None]]
"""What a store does with the items of each of KINDS; of raw rows it returns how many said nothing new."""

KINDS: tuple[type, ...] = (
    Forget,
    DeviceRow,
    RawRow,
    LatestRow,
    ClosedMinutes,
    RollupBlock,
    Refold,
    EpisodeRow,
    Retrace,
    Transition,
    DeadLetter,
    LetterChange,
    CommandOutcome,
    Retain,
)
"""In this order the kinds of a batch are written; Compose goes with Refold."""

_LEFT_ALONE = (Forget, LetterChange, CommandOutcome)
"""What a Forget leaves alone."""


def write(items: list[StoreItem], steps: Steps[C], catalog: C, forgotten: Mapping[str, int]) -> int:
    """Write a batch; returns how many raw rows said nothing new.

    forgotten : by device, the order of its last Forget, those of this batch too once they are written.
    """
    unchanged = 0
    for part in _in_sequence(items):
        kinds = _by_kind(part)
        for kind in KINDS:
            mine = kinds.get(kind)
            if mine and forgotten and kind not in _LEFT_ALONE:
                mine = [item for item in mine if item.order > forgotten.get(item.device_id, -1)]
            if mine:
                unchanged += steps[kind](catalog, mine) or 0
    return unchanged


def _by_kind(items: list[StoreItem]) -> dict[type, list[Any]]:
    kinds: dict[type, list[Any]] = {}
    for kind, run in groupby(items, type):  # a batch comes port by port: long runs of one kind
        kinds.setdefault(Refold if kind is Compose else kind, []).extend(run)
    return kinds


def _in_sequence(items: list[StoreItem]) -> Iterator[list[StoreItem]]:
    """Split a batch where its result would depend on what else is in it.

    Items are written kind by kind. That is right for whatever order they came in, but for what follows a Retain:
    it must not see newer rows, nor be missed by them. So a batch is cut behind it.
    """
    if Retain not in set(map(type, items)):
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
