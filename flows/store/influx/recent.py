"""Rows of buckets that are open, packed: of them their hour and day are composed without a question.

To ask for an hour of a thousand devices takes seven seconds of a processor here, and more on the server.
"""

import zlib
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from flows.model.rollup import BUCKET_MS, Resolution
from flows.model.table import RollupTable, Times, rows_at, stacked

MOST_BYTES = 128 << 20
"""Packed rows of 10 000 devices' running hours and days."""

PLAIN_BYTES = 48 << 20
"""Rows of 1 000 devices' running hours: up to here none is packed."""

PACKED_AT_ONCE = 10
"""So many rows of a device are packed together: to a fifth of their size, in 6 µs a row."""

MOST_BUCKETS = 24
"""Of a device and resolution: more are of history, whose hours come along."""

ROW_BYTES = 300
"""About what a row costs that is not packed yet, besides its numbers."""

COARSER: dict[Resolution, Resolution] = {"1m": "1h", "1h": "1d"}

Bucket = tuple[Resolution, str, int]
"""Resolution of the rows, device, start of the bucket that they are composed to. [ms since 1970, UTC]"""


class _Row(msgspec.Struct, frozen=True, gc=False):
    """start, order, count, heat: see RollupTable, as values, as bytes."""

    head: tuple[int, int, int, int]
    names: tuple[str, ...]
    values: bytes


class _Packed(msgspec.Struct, frozen=True, gc=False):
    """Rows with the same columns: head and values column by column, compressed."""

    names: tuple[str, ...]
    count: int
    body: bytes


class _Rows(msgspec.Struct):
    packed: list[_Packed] = []
    open: list[_Row] = []
    bytes: int = 0


class Recent:
    """What was written since the catalog was read, of buckets that were not composed since.

    since : by resolution and device, the newest row stored before: what lies in its bucket is not all known.
    """

    def __init__(self, since: Mapping[str, Mapping[str, int]], most_bytes: int = MOST_BYTES) -> None:
        self._since = {resolution: dict(since[resolution]) for resolution in COARSER}
        self._rows: dict[Bucket, _Rows] = {}
        self._buckets: dict[tuple[Resolution, str], set[int]] = {}
        self._bytes, self._most_bytes = 0, most_bytes

    def add(self, resolution: Resolution, device_ids: Sequence[str], rows: RollupTable) -> None:
        """Take rows that were written, each in place of an older one of its start. device_ids: one a row."""
        if resolution not in COARSER:
            return
        since, length = self._since[resolution], BUCKET_MS[COARSER[resolution]]
        heads = zip(*(part.tolist() for part in (rows.start, rows.order, rows.count, rows.heat)), strict=True)
        for device_id, head, values in zip(device_ids, heads, rows.values, strict=True):
            bucket = head[0] - head[0] % length
            if bucket <= since.get(device_id, -1):
                continue  # not all of the bucket is known
            key = resolution, device_id, bucket
            held = self._rows.get(key) or self._opened(key)
            if held is not None:
                before = held.bytes
                _hold(held, _Row(head, rows.names, values.tobytes()), self._bytes > PLAIN_BYTES)
                self._bytes += held.bytes - before
        while self._bytes > self._most_bytes:
            self._drop(next(iter(self._rows)))

    def take(self, resolution: Resolution, device_id: str, bucket: int, newer: int) -> RollupTable | None:
        """Take all rows of a bucket out, oldest first; None where they are not all known.

        newer : the order that rows must be newer than: those of devices since forgotten are not there any more.
        """
        known = bucket > self._since[resolution].get(device_id, -1)
        held = self._drop((resolution, device_id, bucket))
        return _table(held, newer) if known and held is not None else None

    def _opened(self, key: Bucket) -> _Rows | None:
        """Give room to a bucket, unless its device has newer ones enough."""
        resolution, device_id, bucket = key
        buckets = self._buckets.setdefault((resolution, device_id), set())
        if len(buckets) >= MOST_BUCKETS:
            oldest = min(bucket, *buckets)
            self._drop((resolution, device_id, oldest))
            if oldest == bucket:
                return None
        buckets.add(bucket)
        self._rows[key] = _Rows()
        return self._rows[key]

    def _drop(self, key: Bucket) -> _Rows | None:
        resolution, device_id, bucket = key
        since = self._since[resolution]
        since[device_id] = max(bucket, since.get(device_id, -1))
        held = self._rows.pop(key, None)
        if held is not None:
            self._bytes -= held.bytes
            self._buckets[resolution, device_id].remove(bucket)
        return held


def _hold(held: _Rows, row: _Row, tight: bool) -> None:
    """Take a row. tight: memory is scarce."""
    if held.open and held.open[0].names != row.names:
        _pack(held)
    held.open.append(row)
    held.bytes += ROW_BYTES + len(row.values)
    if tight and len(held.open) >= PACKED_AT_ONCE:
        _pack(held)


def _pack(held: _Rows) -> None:
    rows, names = held.open, held.open[0].names
    head = np.array([row.head for row in rows], dtype=np.int64)
    values = np.frombuffer(b"".join(row.values for row in rows)).reshape(len(rows), len(names))
    body = zlib.compress(head.T.tobytes() + values.T.tobytes(), 1)
    held.packed.append(_Packed(names, len(rows), body))
    held.bytes += len(body) - sum(ROW_BYTES + len(row.values) for row in rows)
    held.open = []


def _unpacked(packed: _Packed) -> RollupTable:
    data, cells = zlib.decompress(packed.body), packed.count * 4
    start, order, count, heat = np.frombuffer(data, np.int64, cells).reshape(4, packed.count)
    values = np.frombuffer(data, np.float64, offset=cells * 8).reshape(len(packed.names), packed.count).T
    return RollupTable(start, order, count, heat, packed.names, values)


def _table(held: _Rows, newer: int) -> RollupTable:
    """Give the last row of each start."""
    if held.open:
        _pack(held)
    rows = stacked([_unpacked(packed) for packed in held.packed])
    last: dict[int, int] = {start: place for place, start in enumerate(rows.start.tolist())}
    places: Times = np.array([last[start] for start in sorted(last)], dtype=np.int64)
    return rows_at(rows, places[rows.order[places] > newer])
