"""When something was on: bars from episodes, the one still going on from the flag, and what they add up to."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from flows.model.times import DAY_MS
from panel_app import words
from panel_app.charts.frame import HOLD_MS, Flag, Frame
from panel_app.charts.panes import Lane


class Bar(msgspec.Struct, frozen=True):
    """A time that a lane was on.

    start, end : [ms since 1970, UTC].
    is_start   : whether it was seen to begin.
    is_open    : whether it goes on.
    share      : of what was seen of it, how much it was on; below 1 where only a bucket's share is known. [0 … 1]
    seen       : of that time that was seen. [0 … 1]
    """

    start: float
    end: float
    is_start: bool = True
    is_open: bool = False
    share: float = 1.0
    seen: float = 1.0


def bars_of(lane: Lane, frame: Frame, episodes: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """Find a lane's bars within a frame's span, oldest first; of days their shares: single runs are lost."""
    flag = frame.flags.get(lane.flag)
    if frame.step >= DAY_MS:
        return _pieces(flag, frame) if flag else []
    if not lane.kind:
        return _runs(flag, frame) if flag else []
    ended = sorted(
        (
            Bar(words.instant(e["start"]), words.instant(e["end"]), e["begun_by"] == "edge")
            for e in episodes
            if e["kind"] == lane.kind
        ),
        key=lambda bar: bar.start,
    )
    last = ended[-1].end if ended else frame.start
    runs = _runs(flag, frame) if flag else []
    # An episode is written when it ends; the flag alone tells of the one that goes on.
    going_on = [
        Bar(max(run.start, last), run.end, _was_seen_to_begin(run, flag), is_open=True)
        for run in runs[-1:]
        if run.is_open and run.end > last
    ]
    joined = [*ended, *going_on]
    return [bar for bar in joined if bar.end > frame.start and bar.start < frame.end]


def said_of(lane: Lane, frame: Frame, bars: Sequence[Bar]) -> str:
    """Sum a lane up: `14 starts · 70 % on`, `8 × · 40 min`, `not used`. What was not seen counts neither way."""
    if not bars:
        return "none" if lane.kind else "not used"
    on = sum((min(bar.end, frame.now) - max(bar.start, frame.start)) * bar.seen * bar.share for bar in bars)
    is_cycle = lane.kind == "cycle"
    if frame.step >= DAY_MS and lane.flag in frame.flags:
        seen = float(frame.flags[lane.flag].seen.sum()) * frame.step
    else:
        seen = frame.now - frame.start - sum(right - left for left, right in frame.missing)
    share = f"{words.number(min(100 * on / seen, 100.0) if seen > 0 else None)} % on"
    if frame.step >= DAY_MS:
        return share if is_cycle else words.lasting(max(on, 0.0))
    times = sum(bar.is_start and bar.start >= frame.start for bar in bars) if is_cycle else len(bars)
    count = f"{words.number(times)} {lane.times[0 if times == 1 else 1]}"
    return f"{count} · {share if is_cycle else words.lasting(max(on, 0.0))}"


def _was_seen_to_begin(run: Bar, flag: Flag | None) -> bool:
    """Tell whether it was off just before: a span's first reading comes after the span begins, and is no start."""
    earlier = [at for at in flag.at.tolist() if at < run.start] if flag else []
    return flag is not None and bool(earlier) and run.start - earlier[-1] <= (flag.step or HOLD_MS)


def _runs(flag: Flag, frame: Frame) -> list[Bar]:
    """Join neighbouring values that say on."""
    if not flag.at.size:
        return []
    end = min(frame.now, float(flag.at[-1]) + (flag.step or HOLD_MS))
    newest = frame.now - float(flag.at[-1]) <= max(HOLD_MS, flag.step) and flag.share[-1] >= 0.5
    return _joined(_pieces(flag, frame), end if newest else None)


def _pieces(flag: Flag, frame: Frame) -> list[Bar]:
    """Give each value that says on, at least in part; until the next one, its bucket's end or 900 s."""
    if not flag.at.size:
        return []
    ends = [*flag.at[1:].tolist(), min(frame.now, float(flag.at[-1]) + (flag.step or HOLD_MS))]
    pieces = []
    for at, share, seen, end in zip(flag.at.tolist(), flag.share.tolist(), flag.seen.tolist(), ends, strict=True):
        length = flag.step or HOLD_MS
        until = min(at + length, end)
        if share > 0 and until > at:
            # Of the bucket that still runs what was seen is a share of all of it.
            pieces.append(Bar(at, until, share=share, seen=min(seen * length / (until - at), 1.0)))
    return pieces


def _joined(pieces: list[Bar], open_until: float | None) -> list[Bar]:
    breaks = [0, *(i for i, (a, b) in enumerate(pairwise(pieces), 1) if b.start > a.end), len(pieces)]
    runs = []
    for left, right in pairwise(breaks):
        group = pieces[left:right]
        if group:
            start, end = group[0].start, group[-1].end
            seen = sum((bar.end - bar.start) * bar.seen for bar in group)
            on = sum((bar.end - bar.start) * bar.seen * bar.share for bar in group)
            share, seen = (on / seen, seen / (end - start)) if seen > 0 else (0.0, 0.0)
            runs.append(Bar(start, end, is_open=end == open_until, share=share, seen=seen))
    return runs
