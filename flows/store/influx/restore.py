"""Rows of another store put down as they are; see flows/store/export.py."""

from collections.abc import Callable
from typing import Any

from flows.store.export import EpisodeGone, LetterCount, Restored, RollupRows
from flows.store.influx.catalog import Catalog
from flows.store.influx.devices import write_due
from flows.store.influx.letter_points import STATES, count_line, letter_line
from flows.store.influx.letters import forget
from flows.store.influx.rollups import write_rollup_table
from flows.store.protocol import StoredDeadLetter


def restore(catalog: Catalog, rows: list[Restored]) -> None:
    """Put rows down; what is there already of the same identity is replaced, where it is not newer."""
    kinds: dict[type, list[Any]] = {}
    for row in rows:
        kinds.setdefault(type(row), []).append(row)
    for kind, mine in kinds.items():
        _STEPS[kind](catalog, mine)
    write_due(catalog)


def _rollups(catalog: Catalog, parts: list[RollupRows]) -> None:
    for part in parts:
        write_rollup_table(catalog, part.resolution, [part.device_id] * len(part.table.start), part.table)


def _episodes(catalog: Catalog, rows: list[EpisodeGone]) -> None:
    for row in rows:
        there = catalog.shelf.orders(row.device_id, row.kind, row.start, row.start + 1)
        if row.order >= there.get(row.start, -1):
            catalog.shelf.bury(row.device_id, row.kind, {row.start: row.order})


def _counts(catalog: Catalog, rows: list[LetterCount]) -> None:
    forget(catalog)
    lines = [count_line(row.device_id, row.reason, row.hour, row.count, row.order) for row in rows]
    catalog.outgoing.add(catalog.server.address.meta, lines, "ns")


def _letters(catalog: Catalog, letters: list[StoredDeadLetter]) -> None:
    """A letter that is there already may be in another state."""
    lines = [letter_line(letter, state) for letter in letters for state in STATES]
    catalog.outgoing.add(catalog.server.address.meta, lines, "ns")


_STEPS: dict[type, Callable[[Catalog, list[Any]], None]] = {
    RollupRows: _rollups,
    EpisodeGone: _episodes,
    LetterCount: _counts,
    StoredDeadLetter: _letters,
}
