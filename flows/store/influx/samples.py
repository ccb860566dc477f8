"""The newest readings of each device, as far as episodes are made of them: most need no question then.

A cycle that ends is looked for among the readings of an hour or two: to ask for them takes 20 ms of CPU. Where
memory is scarce they are packed, in a fifth to an eighth of it for 1 µs a reading.
"""

import zlib
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from flows.model.cells import COLUMN, matrix_of
from flows.model.rows import RawRow
from flows.model.table import Numbers, Table
from flows.physics.episodes import NEEDED

MOST_BYTES = 128 << 20
"""Of all devices together."""

PLAIN_BYTES = 64 << 20
"""Up to here none is packed."""

MOST_ROWS, FEWEST_ROWS = 2_000, 100
"""Of a device: five hours at most, and 20 minutes, at a reading every 10 s."""

PACKED_AT_ONCE = 64
"""So many rows of a device are packed together, no more than FEWEST_ROWS."""

_COLUMNS = len(NEEDED) + 1
_PLACES = [COLUMN[name] for name in NEEDED]
_ROW_BYTES = 8 * _COLUMNS


class _Pack(msgspec.Struct, frozen=True, gc=False):
    """PACKED_AT_ONCE rows or so, column by column, compressed. first: time of the first. [ms since 1970, UTC]"""

    first: int
    rows: int
    body: bytes

    def unpacked(self) -> Numbers:
        """Give its rows: time, then what NEEDED names."""
        return np.frombuffer(zlib.decompress(self.body)).reshape(_COLUMNS, self.rows).T


class _Held(msgspec.Struct):
    """Rows of a device, oldest first: packed ones, then plain ones. rows, bytes: of all of them."""

    packs: list[_Pack] = []
    plain: bytearray = msgspec.field(default_factory=bytearray)
    rows: int = 0
    bytes: int = 0

    @property
    def first(self) -> int:
        """Time of the oldest. [ms since 1970, UTC]"""
        return self.packs[0].first if self.packs else int(np.frombuffer(self.plain)[0])

    @property
    def last(self) -> int:
        """Time of the newest. [ms since 1970, UTC]"""
        return int(self.plain_rows()[-1, 0] if self.plain else self.packs[-1].unpacked()[-1, 0])

    def plain_rows(self) -> Numbers:
        """Give the plain ones: a copy, for what grows may not be looked into."""
        return np.frombuffer(bytes(self.plain)).reshape(-1, _COLUMNS)

    def pack(self) -> None:
        """Pack what is plain, but the rest that is too little."""
        size = PACKED_AT_ONCE * _ROW_BYTES
        while len(self.plain) >= size:
            rows = np.frombuffer(bytes(self.plain[:size])).reshape(-1, _COLUMNS)
            del self.plain[:size]
            body = zlib.compress(rows.T.tobytes(), 1)
            self.packs.append(_Pack(int(rows[0, 0]), len(rows), body))
            self.bytes += len(body) - size

    def shorten(self) -> None:
        """Let go of the oldest: a pack, or half of what is plain."""
        if self.packs:
            pack = self.packs.pop(0)
            self.rows -= pack.rows
            self.bytes -= len(pack.body)
        else:
            gone = len(self.plain) // _ROW_BYTES // 2
            del self.plain[: gone * _ROW_BYTES]
            self.rows -= gone
            self.bytes -= gone * _ROW_BYTES


class Samples:
    """What was written since the catalog was read, newer than all before.

    newest : by device, the newest event time stored before. [ms since 1970, UTC]
    """

    def __init__(self, newest: Mapping[str, int]) -> None:
        self._since = {device_id: at + 1 for device_id, at in newest.items()}
        self._held: dict[str, _Held] = {}
        self._bytes = 0

    def add(self, rows: Sequence[RawRow]) -> None:
        """Take rows, each newer than all that its device has, oldest first."""
        needed = matrix_of([row.cells for row in rows])[:, _PLACES]
        sent = np.column_stack([[row.at for row in rows], needed]).tobytes()
        for number, row in enumerate(rows):
            held = self._held.get(row.device_id)
            if held is None:
                held = self._held[row.device_id] = _Held()
            held.plain += sent[number * _ROW_BYTES : (number + 1) * _ROW_BYTES]
            held.rows += 1
            held.bytes += _ROW_BYTES
            self._bytes += _ROW_BYTES
            is_packable = self._bytes > PLAIN_BYTES and len(held.plain) >= PACKED_AT_ONCE * _ROW_BYTES
            if is_packable or held.rows > MOST_ROWS:
                self._tighten(row.device_id, held)

    def drop(self, device_id: str) -> None:
        """Let go of a device's: something among them changed, or is gone."""
        held = self._held.pop(device_id, None)
        if held:
            self._since[device_id] = held.last + 1
            self._bytes -= held.bytes

    def since(self, device_id: str, start: int) -> Table | None:
        """Give all rows from a time on [ms since 1970, UTC]; None where they are not all known."""
        if start < self._since.get(device_id, 0):
            return None
        held = self._held.get(device_id) or _Held()
        later = [pack for pack in held.packs if pack.first > start]
        packs = held.packs[-len(later) - 1 :]  # and the one before: it may reach to the time
        rows = np.concatenate([*(pack.unpacked() for pack in packs), held.plain_rows()])
        rows = rows[np.searchsorted(rows[:, 0], start) :]
        return Table(rows[:, 0].astype(np.int64), NEEDED, rows[:, 1:])

    def before(self, device_id: str, at: int) -> int | None:
        """Give the time of the last row before a time, None where it is not known. [ms since 1970, UTC]"""
        held = self._held.get(device_id)
        if held is None:
            return None
        times = held.plain_rows()[:, 0]
        if held.packs and not (len(times) and times[0] < at):
            earlier = [pack for pack in held.packs if pack.first < at]
            times = earlier[-1].unpacked()[:, 0] if earlier else times[:0]
        place = int(np.searchsorted(times, at))
        return int(times[place - 1]) if place else None

    def _tighten(self, device_id: str, held: _Held) -> None:
        """Pack a device's rows where memory is scarce, and let the oldest go where they are too many."""
        before, first = held.bytes, held.first
        if self._bytes > PLAIN_BYTES:
            held.pack()
        most = max(MOST_BYTES // len(self._held), _ROW_BYTES)
        while held.rows > MOST_ROWS or (held.bytes > most and held.rows > FEWEST_ROWS):
            held.shorten()
        self._bytes += held.bytes - before
        if held.first != first:
            self._since[device_id] = held.first
