"""lines: rows as InfluxDB's line protocol, fast. Pure.

Every number comes back bit for bit, −0.0 too: it is written with the fewest digits that only it has.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import compress

import msgspec
import numpy as np

from flows.errors import RowRefused
from flows.model.cells import values_of_all
from flows.model.quantities import HEAT_SOURCES, Value
from flows.model.rows import RawRow
from flows.model.table import RollupTable
from flows.store.influx.names import READING, ROLLUP, tag_of

_encode_lines = msgspec.json.Encoder().encode_lines
_JSON_TO_FIELDS, _LEFT_OUT = bytes.maketrans(b":", b"="), b'"{}'
_HEAT = [b',heat_source="%b"' % source.encode() for source in HEAT_SOURCES]


@lru_cache(maxsize=50_000)
def series_of(measurement: str, device_id: str) -> bytes:
    """Write measurement and tag of a device's points."""
    return f"{measurement},device_id={tag_of(device_id)}".encode()


def fields_of(rows: Sequence[dict[str, Value]]) -> list[bytes]:
    """Write the values of rows as fields, each with a comma behind it: `voltage=230.5,fan_running=true,`.

    rows : by names that need no escaping, as those of quantities and rollup columns.
    Raises RowRefused: a value is no finite number.
    """
    text = _encode_lines(rows)
    # Names never end in ":null"; a value that JSON does not have is written so.
    if b":null" in text:
        raise RowRefused(f"{_culprit(rows)} is not finite")
    fields = text.replace(b"}\n", b",\n").replace(b"{,", b"").translate(_JSON_TO_FIELDS, _LEFT_OUT).split(b"\n")
    fields.pop()
    return fields


def raw_lines(rows: Sequence[RawRow], every_clock: bool = False) -> list[bytes]:
    """Write raw rows. every_clock: name the device's own clock too, in place of another that may be stored.

    Raises RowRefused.
    """
    fields = fields_of(values_of_all([row.cells for row in rows]))
    lines = [
        b"%b %blate_ms=%d,order=%d %d"
        % (series_of(READING, row.device_id), theirs, row.arrived - row.at, row.order, row.at)
        for row, theirs in zip(rows, fields, strict=True)
    ]
    for number, row in enumerate(rows):
        if every_clock or row.clock != "device":
            before, _, at = lines[number].rpartition(b" ")
            lines[number] = b'%b,clock="%b" %b' % (before, row.clock.encode(), at)
    return lines


def rollup_lines(device_ids: Iterable[str], rows: RollupTable) -> list[bytes]:
    """Write rollup rows; a column that a row does not have is not written. device_ids: one a row.

    Raises RowRefused.
    """
    there = ~np.isnan(rows.values)
    values = [
        dict(zip(compress(rows.names, theirs), compress(row, theirs), strict=True))
        for row, theirs in zip(rows.values.tolist(), there.tolist(), strict=True)
    ]
    own = (rows.count.tolist(), rows.order.tolist(), rows.heat.tolist(), rows.start.tolist())
    return [
        b"%b %bcount=%d,order=%d%b %d"
        % (series_of(ROLLUP, device_id), fields, count, order, _HEAT[heat] if heat >= 0 else b"", start)
        for device_id, fields, count, order, heat, start in zip(device_ids, fields_of(values), *own, strict=True)
    ]


def _culprit(rows: Sequence[dict[str, Value]]) -> str:
    return next(f"{name} = {value}" for row in rows for name, value in row.items() if not np.isfinite(value))
