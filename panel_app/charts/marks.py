"""Marks through all charts: alert spans, what is missing, and changes that a reader must know of."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from panel_app import words
from panel_app.charts.frame import Frame


class AlertSpan(msgspec.Struct, frozen=True):
    """One alert in time. start, end: [ms since 1970, UTC]; is_open: nobody saw its end yet."""

    start: float
    end: float
    level: Literal["warning", "critical"]
    text: str
    is_open: bool


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
        is_open = alert["cleared_at"] is None and alert["state"] != "noted"
        until = now if is_open else words.instant(alert["cleared_at"] or alert["time"])
        length = f"{words.lasting(max(until - start, 0))}{', open' if is_open else ''}"
        text = f"{alert['alert_type']} · {alert['alert_level']} · {length}"
        spans.append(AlertSpan(start, frame.end if is_open else until, alert["alert_level"], text, is_open))
    within = (span for span in spans if span.start < frame.end and (span.is_open or span.end >= frame.start))
    return sorted(within, key=lambda span: span.start)


def missing_labels(frame: Frame) -> list[Label]:
    """Name each hole with its length: `no data 57 min`."""
    return [Label(left, right, f"no data {length(right - left)}") for left, right in frame.missing]


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
