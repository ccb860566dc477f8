"""completeness: how much of a span is covered, and where its holes are."""

import numpy as np

from flows.model.rollup import HOLD_MS

Gap = tuple[int, int]
Column = list[float | None]


def raw_coverage(time: list[int], values: dict[str, Column], end: int, span_ms: int) -> dict[str, float]:
    """By field, share of a span in which a value is held: from sample to sample, at most 900 s after it was sent.

    time : event times of the device's samples, ascending. [ms]
    end  : of the span, where the last value stops counting. [ms]
    """
    if not time or span_ms <= 0:
        return dict.fromkeys(values, 0.0)
    last = min(end, time[-1])
    always = _held_ms(time, last)
    return {name: min(_ms(time, column, last, always) / span_ms, 1.0) for name, column in values.items()}


def _ms(time: list[int], column: Column, last: int, always: int) -> int:
    if None not in column:
        return always
    return _held_ms([at for at, value in zip(time, column, strict=True) if value is not None], last)


def _held_ms(sent: list[int], last: int) -> int:
    if not sent:
        return 0
    held = int(np.minimum(np.diff(np.array(sent)), HOLD_MS).sum())
    return held + min(max(last - sent[-1], 0), HOLD_MS)


def rollup_coverage(coverage: Column, lengths: list[int], span_ms: int) -> float:
    """Share of a span that buckets cover. lengths: of the buckets. [ms]"""
    if span_ms <= 0:
        return 0.0
    return min(sum((share or 0.0) * ms for share, ms in zip(coverage, lengths, strict=True)) / span_ms, 1.0)


def gaps(left: list[int], right: list[int], start: int, end: int) -> list[Gap]:
    """Find the holes of more than 900 s in [start, end). left, right: of spans with readings, ascending. [ms]"""
    before, after = np.array([start, *right]), np.array([*left, end])
    found = np.flatnonzero(after - before > HOLD_MS)
    return list(zip(before[found].tolist(), after[found].tolist(), strict=True))
