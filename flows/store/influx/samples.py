"""The newest readings of each device, packed, as far as episodes are made of them: most need no question then.

A cycle that ends is looked for among the readings of an hour or two: to ask for them takes 20 ms of CPU.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from flows.model.cells import COLUMN, matrix_of
from flows.model.rows import RawRow
from flows.model.table import Table
from flows.physics.episodes import NEEDED

MOST_BYTES = 128 << 20
"""Of all devices together."""

MOST_ROWS, FEWEST_ROWS = 2_000, 100
"""Of a device: five hours at most, and 20 minutes, at a reading every 10 s."""

_COLUMNS = len(NEEDED) + 1
_PLACES = [COLUMN[name] for name in NEEDED]
_ROW_BYTES = 8 * _COLUMNS


class Samples:
    """What was written since the catalog was read, newer than all before.

    newest : by device, the newest event time stored before. [ms since 1970, UTC]
    """

    def __init__(self, newest: Mapping[str, int]) -> None:
        self._since = {device_id: at + 1 for device_id, at in newest.items()}
        self._rows: dict[str, bytearray] = {}

    def add(self, rows: Sequence[RawRow]) -> None:
        """Take rows, each newer than all that its device has, oldest first."""
        most = min(max(MOST_BYTES // _ROW_BYTES // (len(self._rows) + 1), FEWEST_ROWS), MOST_ROWS) * _ROW_BYTES
        needed = matrix_of([row.cells for row in rows])[:, _PLACES]
        sent = np.column_stack([[row.at for row in rows], needed]).tobytes()
        for number, row in enumerate(rows):
            held = self._rows.get(row.device_id)
            if held is None:
                held = self._rows[row.device_id] = bytearray()
            held += sent[number * _ROW_BYTES : (number + 1) * _ROW_BYTES]
            if len(held) > most:
                self._shorten(row.device_id, held, most // 2)

    def drop(self, device_id: str) -> None:
        """Let go of a device's: something among them changed, or is gone."""
        held = self._rows.pop(device_id, None)
        if held:
            self._since[device_id] = int(np.frombuffer(held)[-_COLUMNS]) + 1

    def since(self, device_id: str, start: int) -> Table | None:
        """Give all rows from a time on [ms since 1970, UTC]; None where they are not all known."""
        if start < self._since.get(device_id, 0):
            return None
        rows = np.frombuffer(self._rows.get(device_id, b"")).reshape(-1, _COLUMNS)
        rows = rows[np.searchsorted(rows[:, 0], start) :].copy()  # what grows may not be looked into
        return Table(rows[:, 0].astype(np.int64), NEEDED, rows[:, 1:])

    def before(self, device_id: str, at: int) -> int | None:
        """Give the time of the last row before a time, None where it is not known. [ms since 1970, UTC]"""
        times = np.frombuffer(self._rows.get(device_id, b""))[::_COLUMNS]
        place = int(np.searchsorted(times, at))
        return int(times[place - 1]) if place else None

    def _shorten(self, device_id: str, held: bytearray, most: int) -> None:
        most -= most % _ROW_BYTES
        del held[: len(held) - most]
        self._since[device_id] = int(np.frombuffer(held)[0])
