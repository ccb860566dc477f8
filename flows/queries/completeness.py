"""completeness: how much of a span is covered, and where its holes are."""

from itertools import pairwise

from flows.model.rollup import HOLD_MS

Gap = tuple[int, int]


def raw_coverage(time: list[int], values: list[float | None], end: int, span_ms: int) -> float:
    """Share of a span in which a value is held: from each sample to the next, at most 900 s after it was sent.

    time : event times of the device's samples, ascending. [ms]
    end  : of the span, where the last value stops counting. [ms]
    """
    sent: list[int] = [at for at, value in zip(time, values, strict=True) if value is not None]
    if not sent or span_ms <= 0:
        return 0.0
    last = min(end, time[-1])
    held = sum(min(after - at, HOLD_MS) for at, after in pairwise(sent)) + min(max(last - sent[-1], 0), HOLD_MS)
    return min(held / span_ms, 1.0)


def rollup_coverage(coverage: list[float | None], lengths: list[int], span_ms: int) -> float:
    """Share of a span that buckets cover. lengths: of the buckets. [ms]"""
    if span_ms <= 0:
        return 0.0
    return min(sum((share or 0.0) * ms for share, ms in zip(coverage, lengths, strict=True)) / span_ms, 1.0)


def gaps(covered: list[Gap], start: int, end: int) -> list[Gap]:
    """Find the holes of more than 900 s in [start, end). covered: spans with readings, ascending. [ms]"""
    edges = [(start, start), *covered, (end, end)]
    return [(left, right) for (_, left), (right, _) in pairwise(edges) if right - left > HOLD_MS]
