"""Marks through all charts: alert spans, what is missing, and changes that a reader must know of."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from panel_app import words
from panel_app.charts.frame import Frame

Level = Literal["warning", "critical"]
_SHORT_MS = 60_000


class AlertSpan(msgspec.Struct, frozen=True):
    """One alert in time. start, end: [ms since 1970, UTC]; is_open: nobody saw its end yet."""

    start: float
    end: float
    level: Level
    text: str
    is_open: bool


class Tint(msgspec.Struct, frozen=True):
    """A time with alerts; level: of the worst of them. start, end: [ms since 1970, UTC]"""

    start: float
    end: float
    level: Level


class Label(msgspec.Struct, frozen=True):
    """Words at a place in time. start, end: what they name. [ms since 1970, UTC]"""

    start: float
    end: float
    text: str


def alert_spans(alerts: Sequence[Mapping[str, Any]], frame: Frame, now: float) -> list[AlertSpan]:
    """Place alerts that reach into a frame's span, oldest first; open ones run on beyond its end."""
    spans = []
    for alert in alerts:
        start = words.instant(alert["since"])
        is_open = alert["cleared_at"] is None and alert["state"] not in ("noted", "cleared")
        until = now if is_open else words.instant(alert["cleared_at"] or alert["time"])
        length = words.lasting(max(until - start, 0))
        if is_open:
            # Of one that began just now a length in seconds would be old as soon as it is said.
            length = f"{length}, open" if until - start >= _SHORT_MS else "open"
        text = f"{alert['alert_type']} · {alert['alert_level']} · {length}"
        spans.append(AlertSpan(start, frame.end if is_open else until, alert["alert_level"], text, is_open))
    within = (span for span in spans if span.start < frame.end and (span.is_open or span.end >= frame.start))
    return sorted(within, key=lambda span: span.start)


def tints(alerts: Sequence[AlertSpan], beyond: float) -> list[Tint]:
    """Join alerts to spans that do not overlap, each of the worst level then; open ones reach to `beyond`."""
    ends = [(alert, beyond if alert.is_open else alert.end) for alert in alerts]
    lasting = [(alert, end) for alert, end in ends if end > alert.start]
    changes = [(alert.start, 1, alert.level) for alert, _ in lasting]
    changes += [(end, -1, alert.level) for alert, end in lasting]
    going: Counter[Level] = Counter()
    joined: list[Tint] = []
    worst, since = None, 0.0
    # Of one instant beginnings come first, so that what follows on goes on.
    for at, step, level in sorted(changes, key=lambda change: (change[0], -change[1])):
        going[level] += step
        levels: tuple[Level, ...] = ("critical", "warning")
        then = next((level for level in levels if going[level]), None)
        if then != worst:
            if worst and at > since:
                joined.append(Tint(since, at, worst))
            worst, since = then, at
    return joined


def beginnings(alerts: Sequence[AlertSpan], apart: float) -> list[AlertSpan]:
    """Choose alerts whose beginning has a line: so far apart that lines can be told, critical ones first."""
    chosen: list[AlertSpan] = []
    for alert in sorted(alerts, key=lambda alert: (alert.level != "critical", alert.start)):
        if all(abs(alert.start - other.start) >= apart for other in chosen):
            chosen.append(alert)
    return chosen


def missing_labels(frame: Frame) -> list[Label]:
    """Name each hole with its length: `no data 57 min`; what was before the first reading is none."""
    before = [Label(frame.asked, frame.start, "before the first reading")] if frame.asked < frame.start else []
    return [*before, *(Label(left, right, f"no data {length(right - left)}") for left, right in frame.missing)]


def seams(episodes: Sequence[Mapping[str, Any]], frame: Frame) -> list[Label]:
    """Name changes (of sensor, firmware, setting) at their instant."""
    changes = (
        Label(words.instant(e["start"]), words.instant(e["start"]), e["detail"] or "change")
        for e in episodes
        if e["kind"] == "change"
    )
    return sorted((c for c in changes if frame.start <= c.start < frame.end), key=lambda c: c.start)


def length(ms: float) -> str:
    """Write a span's length; one and two days in hours, as people ask for them."""
    hours = ms / 3_600_000
    return words.with_unit(words.number(hours), "h") if hours in (24, 48) else words.lasting(ms)
