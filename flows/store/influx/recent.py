"""Rows of buckets that are open, packed: of them their hour and day are composed without a question.

To ask for an hour of a thousand devices takes seven seconds of a processor here, and more on the server.
"""

import zlib
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from flows.model.cells import alike, interned
from flows.model.rollup import BUCKET_MS, Resolution
from flows.model.table import RollupTable, Times, rows_at, stacked

MOST_BYTES = 128 << 20
"""Packed rows of 10 000 devices' running hours and days."""

PLAIN_BYTES = 64 << 20
"""Rows of 1 000 devices' running hours and days: up to here none is packed."""

PACKED_AT_ONCE = 10
"""So many rows of a device are packed together."""

PART_BYTES = 200
"""About what rows with the same columns cost besides themselves."""

MOST_BUCKETS = 24
"""Of a device and resolution: more are of history, whose hours come along."""

COARSER: dict[Resolution, Resolution] = {"1m": "1h", "1h": "1d"}

_HEAD = 4
"""Numbers of a row besides its values."""

Bucket = tuple[Resolution, str, int]
"""Resolution of the rows, device, start of the bucket that they are composed to. [ms since 1970, UTC]"""


class _Part(msgspec.Struct, gc=False):
    """Rows with the same columns, as `_plain` lays them out; or `packed` so many, column by column, compressed."""

    names: tuple[str, ...]
    body: bytes | bytearray
    packed: int = 0


class _Rows(msgspec.Struct):
    """Rows of a bucket, as they came."""

    parts: list[_Part] = []
    bytes: int = 0


class Recent:
    """What was written since the catalog was read, of buckets that were not composed since.

    since : by resolution and device, the newest row stored before: what lies in its bucket is not all known.
    """

    def __init__(
        self,
        since: Mapping[str, Mapping[str, int]],
        most_bytes: int = MOST_BYTES,
        plain_bytes: int = PLAIN_BYTES,
    ) -> None:
        self._since = {resolution: dict(since[resolution]) for resolution in COARSER}
        self._rows: dict[Bucket, _Rows] = {}
        self._buckets: dict[tuple[Resolution, str], set[int]] = {}
        self._bytes, self._most_bytes, self._plain_bytes = 0, most_bytes, plain_bytes

    def add(self, resolution: Resolution, device_ids: Sequence[str], rows: RollupTable) -> None:
        """Take rows that were written, each in place of an older one of its start. device_ids: one a row."""
        if resolution not in COARSER:
            return
        since, length = self._since[resolution], BUCKET_MS[COARSER[resolution]]
        plain = _plain(rows)
        for (names, row), device_id, start in zip(plain, device_ids, rows.start.tolist(), strict=True):
            bucket = start - start % length
            if bucket <= since.get(device_id, -1):
                continue  # not all of the bucket is known
            key = resolution, device_id, bucket
            held = self._rows.get(key) or self._opened(key)
            if held is not None:
                before = held.bytes
                _hold(held, names, row, self._bytes > self._plain_bytes)
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


def _plain(rows: RollupTable) -> list[tuple[tuple[str, ...], bytes]]:
    """Lay rows out: of each its columns, interned, and start, order, count, heat as int64, then their values."""
    heads = np.column_stack([rows.start, rows.order, rows.count, rows.heat]).astype(np.int64).view(np.float64)
    plain: list[tuple[tuple[str, ...], bytes]] = [((), b"")] * len(heads)
    for places, columns in alike(rows.values):
        names = interned(tuple([rows.names[column] for column in columns]))
        data = np.hstack([heads[places], rows.values[np.ix_(places, columns)]]).tobytes()
        size = 8 * (_HEAD + len(names))
        for number, place in enumerate(places.tolist()):
            plain[place] = names, data[number * size : (number + 1) * size]
    return plain


def _hold(held: _Rows, names: tuple[str, ...], row: bytes, tight: bool) -> None:
    """Take a row. tight: memory is scarce."""
    if not held.parts or held.parts[-1].packed or held.parts[-1].names is not names:
        held.parts.append(_Part(names, bytearray()))
        held.bytes += PART_BYTES
    part = held.parts[-1]
    part.body += row
    held.bytes += len(row)
    if tight and len(part.body) >= PACKED_AT_ONCE * len(row):
        held.bytes -= len(part.body)
        _pack(part)
        held.bytes += len(part.body)


def _pack(part: _Part) -> None:
    rows = np.frombuffer(part.body).reshape(-1, _HEAD + len(part.names))
    part.body, part.packed = zlib.compress(rows.T.tobytes(), 1), len(rows)


def _table_of(part: _Part) -> RollupTable:
    if part.packed:
        rows = np.frombuffer(zlib.decompress(part.body)).reshape(-1, part.packed).T
    else:
        rows = np.frombuffer(part.body).reshape(-1, _HEAD + len(part.names))
    start, order, count, heat = rows[:, :_HEAD].T.copy().view(np.int64)
    return RollupTable(start, order, count, heat, part.names, rows[:, _HEAD:])


def _table(held: _Rows, newer: int) -> RollupTable:
    """Give the last row of each start."""
    rows = stacked([_table_of(part) for part in held.parts])
    last: dict[int, int] = {start: place for place, start in enumerate(rows.start.tolist())}
    places: Times = np.array([last[start] for start in sorted(last)], dtype=np.int64)
    return rows_at(rows, places[rows.order[places] > newer])
