"""lines: rows as InfluxDB's line protocol, fast. Pure.

Every number comes back bit for bit, −0.0 too: it is written with the fewest digits that only it has.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain

import msgspec
import numpy as np

from flows.errors import RowRefused
from flows.model.cells import NAMES, alike, matrix_of
from flows.model.quantities import FLAG_NAMES, HEAT_SOURCES, Value
from flows.model.rows import RawRow
from flows.model.table import Numbers, RollupTable
from flows.store.influx.names import READING, ROLLUP, tag_of

_encode = msgspec.json.Encoder().encode
_HEAT = [b',heat_source="%b"' % source.encode() for source in HEAT_SOURCES]


@lru_cache(maxsize=50_000)
def series_of(measurement: str, device_id: str) -> bytes:
    """Write measurement and tag of a device's points."""
    return f"{measurement},device_id={tag_of(device_id)}".encode()


def fields_of(rows: Sequence[dict[str, Value]]) -> list[bytes]:
    """Write the values of rows as `fields_in` does. Raises RowRefused: a value is no finite number."""
    names = tuple(dict.fromkeys(chain.from_iterable(rows)))
    for name, value in chain.from_iterable(row.items() for row in rows):
        if not np.isfinite(value):
            raise RowRefused(f"{name} = {value} is not finite")
    values = [[row.get(name, np.nan) for name in names] for row in rows]
    return fields_in(names, np.array(values, dtype=np.float64).reshape(len(rows), len(names)))


def fields_in(names: Sequence[str], values: Numbers) -> list[bytes]:
    """Write the values of rows as fields, each with a comma behind it: `voltage=230.5,fan_running=true,`.

    names  : of the columns; they need no escaping, as those of quantities and rollup columns.
    values : a row each; NaN is a missing value.
    Raises RowRefused: a value is infinite.
    """
    fields = [b""] * len(values)
    for rows, columns in alike(values):
        flags = [column for column in columns.tolist() if names[column] in FLAG_NAMES]
        numbers = [column for column in columns.tolist() if names[column] not in FLAG_NAMES]
        said = values[np.ix_(rows, numbers)]
        if not np.isfinite(said).all():
            place, column = np.argwhere(~np.isfinite(said))[0]
            raise RowRefused(f"{names[numbers[column]]} = {said[place, column]} is not finite")
        ends = _flags([names[column] for column in flags], values[np.ix_(rows, flags)])
        if not numbers:
            texts: Iterable[bytes] = ends
        else:
            # All numbers are written in one go, as JSON, and taken apart again.
            row_of = b"".join([b"%b=%%b," % names[column].encode() for column in numbers]) + b"%b"
            cells = _encode(said.tolist())[2:-2].split(b"],[")
            texts = [row_of % (*row.split(b","), end) for row, end in zip(cells, ends, strict=True)]
        for row, text in zip(rows.tolist(), texts, strict=True):
            fields[row] = text
    return fields


def _flags(names: Sequence[str], values: Numbers) -> list[bytes]:
    """Write the flags of rows; only a few combinations occur."""
    if not names:
        return [b""] * len(values)
    codes = ((values == 1.0) @ (1 << np.arange(len(names)))).tolist()
    texts = {
        code: b"".join(
            [
                b"%b=%b," % (name.encode(), b"true" if code >> place & 1 else b"false")
                for place, name in enumerate(names)
            ]
        )
        for code in set(codes)
    }
    return [texts[code] for code in codes]


def raw_lines(rows: Sequence[RawRow], every_clock: bool = False) -> list[bytes]:
    """Write raw rows. every_clock: name the device's own clock too, in place of another that may be stored.

    Raises RowRefused.
    """
    fields = fields_in(NAMES, matrix_of([row.cells for row in rows]))
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
    fields = fields_in(rows.names, rows.values)
    own = (rows.count.tolist(), rows.order.tolist(), rows.heat.tolist(), rows.start.tolist())
    return [
        b"%b %bcount=%d,order=%d%b %d"
        % (series_of(ROLLUP, device_id), theirs, count, order, _HEAT[heat] if heat >= 0 else b"", start)
        for device_id, theirs, count, order, heat, start in zip(device_ids, fields, *own, strict=True)
    ]
