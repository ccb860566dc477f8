"""Raw rows: one reading a row, merged field by field with a newer one of the same device and time."""

from collections.abc import Sequence
from itertools import compress

import numpy as np

from flows.model.cells import COLUMN, SENT, cells_of, matrix_of
from flows.model.quantities import Value
from flows.model.rows import RawRow
from flows.store.sqlite.catalog import Catalog
from flows.store.sqlite.packing import pack, unpack
from flows.store.sqlite.rows import PACKED_AT_ONCE, insert, keyable
from flows.store.sqlite.schema import CLOCKS, TIME_BITS

_CLOCK_CODES = {clock: code for code, clock in enumerate(CLOCKS)}


def write_raw(catalog: Catalog, rows: list[RawRow]) -> int:
    """Insert readings, without what derives from each alone; returns how many said nothing new.

    One of a known device and time is merged field by field if it is newer.
    """
    before = catalog.raw_before
    if before:
        rows = [row for row in rows if row.at >= before.get(row.device_id, 0)]
    device = catalog.device
    if rows:
        times = [row.at for row in rows]
        for at in (min(times), max(times)):
            keyable(at)
    keyed = [
        (
            (device(row.device_id) << TIME_BITS) + row.at,  # key_of, a thousand times
            row.order,
            row.arrived - row.at,
            _CLOCK_CODES[row.clock],
            body,
        )
        for row, body in zip(rows, _packed(catalog, [row.cells for row in rows]), strict=True)
    ]
    inserted = insert(catalog, "raw", [*keyed], "NOTHING")
    catalog.db.execute("UPDATE tally SET readings = readings + ?", (inserted,))
    if inserted == len(rows):
        return 0
    merged = sum(_merge(catalog, key, row) for (key, *_), row in zip(keyed, rows, strict=True))
    return len(rows) - inserted - merged


def _packed(catalog: Catalog, rows: Sequence[bytes]) -> list[bytes]:
    """Pack rows of cells, after adding the columns that they are the first to need."""
    bodies: list[bytes] = []
    for first in range(0, len(rows), PACKED_AT_ONCE):
        sent = matrix_of(rows[first : first + PACKED_AT_ONCE])[:, : len(SENT)]
        layout = catalog.layout("raw", compress(SENT, np.asarray(~np.isnan(sent).all(axis=0))))
        known = [(place, COLUMN[name]) for place, name in enumerate(layout.names) if name in COLUMN]
        values = np.full((len(sent), len(layout.names)), np.nan)
        values[:, [place for place, _ in known]] = sent[:, [column for _, column in known]]
        bodies += pack(layout, values)
    return bodies


def _merge(catalog: Catalog, key: int, row: RawRow) -> bool:
    """Merge a newer row that says something new; an identical one changes nothing, not even the order.

    Sums over phases never replace what was sent.
    """
    order, body = catalog.db.execute("SELECT ord, body FROM raw WHERE key = ?", (key,)).fetchone()
    if row.order <= order:
        return False
    layout = catalog.layout("raw")
    known = {
        name: value
        for name, value in zip(layout.names, unpack(layout, [body])[0].tolist(), strict=True)
        if value == value
    }
    merged: dict[str, Value] = {**known, **row.values}
    merged.update((name, known[name]) for name in row.summed if name in known)
    (body_now,) = _packed(catalog, [cells_of(merged)])
    if body_now == body:
        return False
    catalog.db.execute(
        "UPDATE raw SET ord = ?, late = ?, clock = ?, body = ? WHERE key = ?",
        (row.order, row.arrived - row.at, _CLOCK_CODES[row.clock], body_now, key),
    )
    return True
