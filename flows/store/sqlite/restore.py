"""Rows of another store put down as they are; see flows/store/export.py."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from flows.store.export import EpisodeGone, LetterCount, Restored, RollupRows
from flows.store.protocol import StoredDeadLetter
from flows.store.retracing import GONE
from flows.store.sqlite.catalog import Catalog
from flows.store.sqlite.rows import write_rollup_table
from flows.store.sqlite.schema import key_of


def restore(catalog: Catalog, rows: list[Restored]) -> None:
    """Put rows down; what is there already of the same identity is replaced, where it is not newer."""
    kinds: dict[type, list[Any]] = {}
    for row in rows:
        kinds.setdefault(type(row), []).append(row)
    for kind, mine in kinds.items():
        _STEPS[kind](catalog, mine)


def _rollups(catalog: Catalog, parts: list[RollupRows]) -> None:
    for part in parts:
        keys = part.table.start + np.int64(key_of(catalog.device(part.device_id), 0))
        write_rollup_table(catalog, part.resolution, msgspec.structs.replace(part.table, start=keys))


def _episodes(catalog: Catalog, rows: list[EpisodeGone]) -> None:
    catalog.db.executemany(
        "INSERT INTO episode VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET ord = excluded.ord,"
        " end = excluded.end, body = excluded.body WHERE excluded.ord >= ord",
        [(catalog.device(row.device_id), row.kind, row.start, row.start, row.order, GONE) for row in rows],
    )


def _counts(catalog: Catalog, rows: list[LetterCount]) -> None:
    catalog.db.executemany(
        "INSERT OR REPLACE INTO dead_letter_count (device_id, reason, hour, ord, count) VALUES (?, ?, ?, ?, ?)",
        [(row.device_id, row.reason, row.hour, row.order, row.count) for row in rows],
    )


def _letters(catalog: Catalog, letters: list[StoredDeadLetter]) -> None:
    fields = [field for field in StoredDeadLetter.__struct_fields__ if field != "id"]
    catalog.db.executemany(
        f"INSERT OR REPLACE INTO dead_letter (ord, {', '.join(fields)}) VALUES (?{', ?' * len(fields)})",
        [msgspec.structs.astuple(letter) for letter in letters],
    )


_STEPS: dict[type, Callable[[Catalog, list[Any]], None]] = {
    RollupRows: _rollups,
    EpisodeGone: _episodes,
    LetterCount: _counts,
    StoredDeadLetter: _letters,
}
