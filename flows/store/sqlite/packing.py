"""packing: rows of numbers as short byte strings, exactly, many at once. Pure; knows no table and no SQL.

A row is packed as: number of code bytes; two bits a column, in the order of the layout; then the cells.

    code   column with scales          column without
    0      missing                     missing
    1      v · coarse + 4096, uint16   0.0
    2      v · fine, int32             1.0
    3      float64                     float64

Scales are powers of ten (or any number, where values are multiples of its inverse). A cell is scaled only where
that gives back the same double, bit for bit. Columns that are added later, at the end, cost older rows nothing.
"""

from collections.abc import Sequence
from functools import lru_cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from flows.model.table import Numbers, Times

BIAS = 4096.0
"""Lets uint16 hold a little below zero too: at coarse 100, −40.96 to 614.39."""

_UINT16_MAX, _INT32_MAX = 65_535.0, 2_147_483_647.0
_PAD = bytes(8)
_SHIFTS = np.array([0, 2, 4, 6], dtype=np.uint8)

Bytes = NDArray[np.uint8]


class Layout(msgspec.Struct, frozen=True):
    """What the columns of packed rows are.

    names        : in order.
    coarse, fine : by column, 0 of columns that are mostly 0.0 or 1.0.
    scaled       : indices of columns with scales; others: of those without.
    widths       : by column and code, flat. [bytes]
    constants    : by column and code, flat; NaN where a cell says it, or nothing does.
    sums         : by place and value of a code byte: bytes of its four cells; shape (places, 256).
    before       : likewise by which of the four: bytes of the cells before it; shape (places, 256, 4).
    """

    names: tuple[str, ...]
    coarse: Numbers
    fine: Numbers
    scaled: Times
    others: Times
    widths: Bytes
    constants: Numbers
    sums: Times
    before: Times


@lru_cache(maxsize=64)
def layout(columns: tuple[tuple[str, float, float], ...]) -> Layout:
    """Lay out columns of (name, coarse, fine)."""
    names = tuple(name for name, _, _ in columns)
    coarse, fine = (np.array([column[part] for column in columns], dtype=np.float64) for part in (1, 2))
    has_scales = coarse > 0.0
    widths = np.where(has_scales[:, None], [0, 2, 4, 8], [0, 0, 0, 8])
    constants = np.where(has_scales[:, None], np.nan, [np.nan, 0.0, 1.0, np.nan])
    padded = np.zeros((-(-len(names) // 4) * 4, 4), dtype=np.int64)
    padded[: len(names)] = widths
    codes = np.arange(256)[:, None] >> _SHIFTS & 3
    of_four = padded.reshape(-1, 4, 4)[:, np.arange(4), codes]
    ends = np.cumsum(of_four, axis=2)
    return Layout(
        names,
        coarse,
        fine,
        np.flatnonzero(has_scales),
        np.flatnonzero(~has_scales),
        widths.astype(np.uint8).ravel(),
        constants.ravel(),
        ends[:, :, 3],
        ends - of_four,
    )


def pack(layout: Layout, values: Numbers) -> list[bytes]:
    """Pack rows. values: shape (n, columns); NaN is a missing value."""
    count, columns = values.shape
    codes = np.zeros((count, -(-columns // 4) * 4), dtype=np.uint8)
    coarse, fine = _code(layout, values, codes)
    widths = layout.widths[codes[:, :columns] + _firsts(columns)]
    ends = np.cumsum(widths, axis=1, dtype=np.int32)
    code_bytes = codes[:, 0::4] | codes[:, 1::4] << 2 | codes[:, 2::4] << 4 | codes[:, 3::4] << 6
    places = np.arange(1, code_bytes.shape[1] + 1)
    used = np.max(np.where(code_bytes != 0, places, 0), axis=1, initial=0)
    lengths = 1 + used + (ends[:, -1] if columns else 0)
    stops = np.cumsum(lengths)
    starts = stops - lengths
    out = np.zeros(int(lengths.sum()) + len(_PAD), dtype=np.uint8)
    out[starts] = used
    row, place = np.nonzero(places <= used[:, None])
    out[starts[row] + 1 + place] = code_bytes[row, place]
    at = (starts + 1 + used)[:, None] + ends - widths
    for width, type_, cells in ((2, "<u2", coarse), (4, "<i4", fine), (8, "<f8", values)):
        chosen = widths == width
        _anywhere(out, type_)[at[chosen]] = cells[chosen]
    data = out.tobytes()
    return [data[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]


def unpack(layout: Layout, bodies: Sequence[bytes], wanted: Sequence[int] | None = None) -> Numbers:
    """Unpack rows: shape (n, columns), or the wanted columns only, by index; NaN is a missing value."""
    columns = len(layout.names)
    chosen = np.arange(columns) if wanted is None else np.array(wanted, dtype=np.int64)
    if not bodies or not len(chosen):
        return np.full((len(bodies), len(chosen)), np.nan)
    lengths = np.fromiter(map(len, bodies), dtype=np.int64, count=len(bodies))
    starts = np.cumsum(lengths) - lengths
    data = np.frombuffer(b"".join([*bodies, _PAD]), dtype=np.uint8)
    used = data[starts].astype(np.int64)
    byte, which = chosen // 4, chosen % 4
    place = np.arange(int(byte.max()) + 1)
    known = place < used[:, None]
    code_bytes = np.where(known, data[np.where(known, starts[:, None] + 1 + place, 0)], 0)
    sums = layout.sums[place, code_bytes]
    firsts = (starts + 1 + used)[:, None] + np.cumsum(sums, axis=1) - sums
    code_byte = code_bytes[:, byte]
    cells = (code_byte >> 2 * which & 3) + 4 * chosen
    widths = layout.widths[cells]
    at = firsts[:, byte] + layout.before[byte, code_byte, which]
    values: Numbers = layout.constants[cells]
    for width, type_, bias, scales in ((2, "<u2", BIAS, layout.coarse), (4, "<i4", 0.0, layout.fine)):
        row, column = np.nonzero(widths == width)
        values[row, column] = (_anywhere(data, type_)[at[row, column]] - bias) / scales[chosen][column]
    whole = widths == 8
    values[whole] = _anywhere(data, "<f8")[at[whole]]
    return values


def _code(layout: Layout, values: Numbers, codes: Bytes) -> tuple[Numbers, Numbers]:
    """Fill in the code of every cell; returns what the cells of code 1 and 2 are as integers."""
    coarse, fine = np.empty(values.shape), np.empty(values.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        mine, scale = values[:, layout.scaled], layout.coarse[layout.scaled]
        whole = np.rint(mine * scale) + 0.0  # no negative zero
        exact = (whole / scale).view(np.int64) == mine.view(np.int64)
        whole += BIAS
        exact &= (whole >= 0.0) & (whole <= _UINT16_MAX)
        coarse[:, layout.scaled] = whole
        chosen = np.where(exact, 1, np.where(np.isnan(mine), 0, 3)).astype(np.uint8)
        row, column = np.nonzero(chosen == 3)
        mine, column_of = mine[row, column], layout.scaled[column]
        scale = layout.fine[column_of]
        whole = np.rint(mine * scale) + 0.0
        exact = ((whole / scale).view(np.int64) == mine.view(np.int64)) & (np.abs(whole) <= _INT32_MAX)
        fine[row, column_of] = whole
        chosen[row[exact], column[exact]] = 2
    codes[:, layout.scaled] = chosen
    if len(layout.others):
        mine = values[:, layout.others]
        chosen = np.where(np.isnan(mine), 0, 3).astype(np.uint8)
        chosen[mine.view(np.int64) == 0] = 1
        chosen[mine == 1.0] = 2
        codes[:, layout.others] = chosen
    return coarse, fine


def _firsts(columns: int) -> Times:
    """Where in a flat table by column and code each column begins."""
    return 4 * np.arange(columns)


def _anywhere(data: Bytes, type_: str) -> NDArray[np.generic]:
    """View bytes as numbers that may begin at any of them; the last _PAD bytes begin none."""
    return np.ndarray((len(data) - len(_PAD),), dtype=type_, buffer=data, strides=(1,))
