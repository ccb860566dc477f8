"""Series of an answer, one a field, put side by side as rows of one time."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec
import numpy as np

from flows.model.table import Numbers, Times
from flows.store.influx.answers import Series, times_ms
from flows.store.influx.names import CLOCK, HEAT_SOURCE, text_of

TEXTS = frozenset((CLOCK, HEAT_SOURCE))
"""Fields that are text; all others are numbers and flags."""

_FLAGS = {"true": 1.0, "false": 0.0}


class Rows(msgspec.Struct, frozen=True):
    """What one device has in a span.

    at      : times of its rows, strictly ascending. [ms since 1970, UTC]
    numbers : by field, NaN where a row has none; a flag is 0.0 or 1.0.
    texts   : by field, "" where a row has none.
    """

    at: Times
    numbers: dict[str, Numbers]
    texts: dict[str, list[str]]

    def number(self, field: str, missing: float) -> Times:
        """Give a field of whole numbers. missing: where a row has none."""
        if field not in self.numbers:
            return np.full(len(self.at), int(missing))
        return np.nan_to_num(self.numbers[field], nan=missing).astype(np.int64)

    def text(self, field: str) -> list[str]:
        """Give a field of text."""
        return self.texts.get(field) or [""] * len(self.at)


NOTHING = Rows(np.empty(0, dtype=np.int64), {}, {})


def side_by_side(answer: Iterable[Series], limit: int | None = None, newest: bool = False) -> dict[str, Rows]:
    """Gather the rows of each device, whatever series its points are of.

    answer : with labels _field and, of several devices, device_id.
    limit  : most rows of each: the first of them, or the newest. A server that cuts every series there gives all
             that is needed.
    """
    found: dict[str, list[_Column]] = {}
    for series in answer:
        found.setdefault(text_of(series.labels.get("device_id", "")), []).append(_column(series))
    return {device_id: _joined(theirs, limit, newest) for device_id, theirs in found.items()}


class _Column(NamedTuple):
    """A series, its values read: the server makes the next one meanwhile. Neither: it is of another program."""

    field: str
    times: list[str]
    numbers: list[float] | None = None
    texts: list[str] | None = None


def _column(series: Series) -> _Column:
    field, values = series.labels["_field"], series.values
    if field in TEXTS:
        return _Column(field, series.times, texts=values)
    try:
        numbers = [*map(_FLAGS.__getitem__ if values[0] in _FLAGS else float, values)]
    except ValueError:
        return _Column(field, series.times)  # text where ours are numbers
    return _Column(field, series.times, numbers)


def _joined(columns: list[_Column], limit: int | None, newest: bool) -> Rows:
    common = columns[0].times
    alike = [each.times == common for each in columns]
    distinct = common if all(alike) else list(set().union(*(each.times for each in columns)))
    at, of_text = np.unique(times_ms(distinct), return_inverse=True)
    place_of = {} if all(alike) else dict(zip(distinct, of_text.tolist(), strict=True))
    of_common = of_text if all(alike) else [place_of[time] for time in common]
    numbers: dict[str, Numbers] = {}
    texts: dict[str, list[str]] = {}
    for each, is_alike in zip(columns, alike, strict=True):
        places = of_common if is_alike else [place_of[time] for time in each.times]
        if each.numbers is not None:
            numbers.setdefault(each.field, np.full(len(at), np.nan))[places] = each.numbers
        elif each.texts is not None:
            held = texts.setdefault(each.field, [""] * len(at))
            for place, value in zip(places, each.texts, strict=True):
                held[place] = value
    if limit is not None and len(at) > limit:
        kept = slice(-limit, None) if newest else slice(limit)
        at = at[kept]
        numbers = {field: part for field, column in numbers.items() if not np.isnan(part := column[kept]).all()}
        texts = {field: held[kept] for field, held in texts.items()}
    return Rows(at, numbers, texts)
