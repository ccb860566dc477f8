"""What healing reads of the embedded store and writes into it (see flows/store/healing.py)."""

from collections.abc import Sequence
from itertools import repeat

import numpy as np

from flows.model.device import DeviceMetadata
from flows.model.rollup import BUCKET_MS, Compose, Refold, Resolution
from flows.model.table import RollupTable, Table, Times
from flows.store import healing
from flows.store.sqlite.catalog import Catalog
from flows.store.sqlite.rowreading import ROLLUP, history_of, raw_table, rollup_table, select_span
from flows.store.sqlite.rows import write_rollup_table
from flows.store.sqlite.schema import END_OF_TIME, ROLLUP_TABLES, key_of


def heal(catalog: Catalog, requests: list[Refold | Compose]) -> None:
    """Compute minutes anew, then every hour that holds one or has just closed, then every such day."""
    healing.heal(Past(catalog), requests)


class Past:
    """The rows of one file; see flows.store.healing.Past."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.raw_before, self.minute_before = catalog.raw_before, catalog.minute_before

    def knows(self, device_id: str) -> bool:
        """Tell whether a device has a key."""
        return self._catalog.known_device(device_id) is not None

    def history(self, device_id: str) -> list[DeviceMetadata]:
        """Read the metadata history of a device, oldest first."""
        return history_of(self._catalog.db, self._catalog.device(device_id))

    def samples(self, request: Refold, start: int, history: list[DeviceMetadata]) -> Table:
        """Read raw rows from `start` to the first at or after the request's end, with what derives from each."""
        db, device, end = self._catalog.db, self._catalog.device(request.device_id), request.end
        rows = select_span(db, "raw", "key, body", device, start, end).fetchall()
        rows += select_span(db, "raw", "key, body", device, end, END_OF_TIME, "ORDER BY key LIMIT 1").fetchall()
        keys, bodies = zip(*rows, strict=True) if rows else ((), ())
        return raw_table(self._catalog.layout("raw"), keys, bodies, history)

    def parts(self, resolution: Resolution, buckets: Sequence[tuple[str, int]]) -> tuple[RollupTable, Times]:
        """Read the rows of which a resolution's buckets (device, start) are composed, a bucket after the other."""
        table, length = ROLLUP_TABLES[healing.FINER[resolution]], BUCKET_MS[resolution]
        rows: list[tuple[int, int, int, int | None, bytes]] = []
        of: list[int] = []
        for bucket, (device_id, start) in enumerate(buckets):
            device = self._catalog.device(device_id)
            found = select_span(self._catalog.db, table, ROLLUP, device, start, start + length).fetchall()
            rows += found
            of += repeat(bucket, len(found))
        return rollup_table(self._catalog.layout(table), rows), np.array(of, dtype=np.int64)

    def write(self, resolution: Resolution, device_ids: Sequence[str], rows: RollupTable) -> None:
        """Write rows computed from what is stored; those not older replace others. device_ids: one a row."""
        keys = {each: key_of(self._catalog.device(each), 0) for each in set(device_ids)}
        rows.start[:] += np.array([keys[each] for each in device_ids], dtype=np.int64)
        write_rollup_table(self._catalog, resolution, rows)
