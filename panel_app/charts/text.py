"""The charts in words: the line below them, a sentence for each, and the table."""

from collections.abc import Sequence

import msgspec
import numpy as np

from panel_app import words
from panel_app.charts.frame import Frame
from panel_app.charts.marks import length
from panel_app.charts.panes import Pane

MOST_ROWS = 200
"""Rows of the table: what a reader can go through; the CSV file has them all."""

_MEANS = {
    "raw": "Every reading",
    "1m": "1-minute means, shaded band min–max",
    "1h": "1-hour means, shaded band min–max",
    "1d": "1-day means",
}


class Table(msgspec.Struct, frozen=True):
    """Values as words. header: the time's column first; rows: newest first; caption says what is left out."""

    caption: str
    header: list[str]
    rows: list[list[str]]


def footer(frame: Frame, panes: Sequence[Pane]) -> list[str]:
    """Say resolution, units, span and zone, readings, coverage and what is missing, as parts to be joined by ·."""
    is_young = frame.asked < frame.start
    span = length((frame.now if is_young else frame.end) - frame.start)
    units = " and ".join(dict.fromkeys(pane.unit for pane in panes if pane.unit))
    parts = [
        _MEANS[frame.resolution],
        units,
        f"{span} since the first reading, site time" if is_young else f"{span}, site time",
        f"{words.number(frame.readings)} reading{'' if frame.readings == 1 else 's'}",
        f"coverage {words.percent(frame.coverage)}{_missing(frame)}",
    ]
    return [part for part in parts if part]


def summary(pane: Pane, frame: Frame) -> str:
    """Tell one chart in one sentence."""
    told = []
    for trace in pane.traces:
        line = frame.lines[trace.name]
        known = line.value[np.isfinite(line.value)] * pane.scale
        if not known.size:
            continue
        about = "≈ " if trace.name in frame.estimated else ""
        low, high, newest = (words.number(float(v), pane.digits) for v in (known.min(), known.max(), known[-1]))
        told.append(f"{trace.quantity.label} {about}{low} to {high}, newest {newest}")
    span = f"{_when(frame.start, frame)} to {_when(frame.end, frame)}"
    return f"{pane.title} in {pane.unit}, {span}: {'; '.join(told) if told else 'no data'}."


def table(frame: Frame, panes: Sequence[Pane]) -> Table:
    """Write the newest values, all quantities side by side."""
    shown = [(pane, trace) for pane in panes for trace in pane.traces if frame.has(trace.name)]
    columns = [_by_time(frame, trace.name) for _, trace in shown]
    times = sorted(set().union(*columns), reverse=True)
    rows = [
        [
            _when(at, frame, seconds=frame.resolution == "raw"),
            *(
                words.number(value * pane.scale if (value := column.get(at)) is not None else None, pane.digits)
                for (pane, _), column in zip(shown, columns, strict=True)
            ),
        ]
        for at in times[:MOST_ROWS]
    ]
    rest = (
        f", newest {len(rows)} of {words.number(len(times))} rows; the CSV file has all"
        if len(times) > len(rows)
        else ""
    )
    header = ["Time", *(f"{trace.quantity.label}, {pane.unit}" for pane, trace in shown)]
    return Table(f"{_MEANS[frame.resolution].split(',')[0]}{rest}", header, rows)


def _by_time(frame: Frame, name: str) -> dict[float, float]:
    line = frame.lines[name]
    pairs = zip((line.at - frame.step / 2).tolist(), line.value.tolist(), strict=True)
    return {at: value for at, value in pairs if value == value}


def _missing(frame: Frame) -> str:
    if not frame.missing:
        return ""
    total = length(sum(right - left for left, right in frame.missing))
    if len(frame.missing) > 1:
        return f", {total} missing in {len(frame.missing)} gaps"
    left, right = (round(at) for at in frame.missing[0])
    if words.day(left, frame.zone) != words.day(right, frame.zone):
        return f", {total} missing {_when(left, frame)} to {_when(right, frame)}"
    return f", {total} missing {words.clock(left, frame.zone)}–{words.clock(right, frame.zone)}"


def _when(at: float, frame: Frame, seconds: bool = False) -> str:
    day, clock = words.day(round(at), frame.zone), words.clock(round(at), frame.zone, seconds)
    return day if frame.resolution == "1d" else f"{day} {clock}"
