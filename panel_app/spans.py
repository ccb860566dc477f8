"""The span of time a page shows: chosen by a name, or by its ends."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from flows.model.times import DAY_MS, HOUR_MS, iso
from panel_app.words import instant

if TYPE_CHECKING:
    from panel_app.session import Selection

LENGTHS: dict[str, tuple[str, str, int]] = {
    "6h": ("6 h", "Last 6 hours", 6 * HOUR_MS),
    "24h": ("24 h", "Last 24 hours", DAY_MS),
    "7d": ("7 d", "Last 7 days", 7 * DAY_MS),
    "30d": ("30 d", "Last 30 days", 30 * DAY_MS),
    "13mo": ("13 mo", "Last 13 months", 396 * DAY_MS),
}
"""By name in the URL: on its button, as a title, how long. [ms]"""

SHORTEST_MS = 60_000
YOUNG_MS = 900_000
"""At least so much is shown of a device that began just now. [ms]"""

NEAR_NOW = 100
"""A hundredth of a span before now is now: time went on since it was chosen."""


class Shown(msgspec.Struct, frozen=True):
    """What is shown. live: it ends now, and goes on; title: in words. [ms since 1970, UTC]"""

    start: int
    end: int
    live: bool
    name: str
    title: str = "Chosen span"

    @property
    def length(self) -> int:
        """How long it is. [ms]"""
        return self.end - self.start


def shown(
    selection: "Selection", now_ms: int, phone: bool, last_ms: int | None = None, first_ms: int | None = None
) -> Shown:
    """Read what was chosen; what cannot be read is the usual span: 24 hours, 6 on a phone.

    last_ms  : when the device was measured last; of one long silent the usual span ends there.
    first_ms : when its readings begin (see `began`); of a young one the usual span begins there, or 15 min
               ago where that is earlier. [both ms since 1970, UTC]
    """
    if selection.span == "custom":
        start, end = _ms(selection.start), _ms(selection.end)
        if start is not None and end is not None and 0 <= start <= end - SHORTEST_MS <= now_ms + DAY_MS:
            return Shown(start, end, False, "custom")
    name = selection.span if selection.span in LENGTHS else "6h" if phone else "24h"
    _, title, length = LENGTHS[name]
    if last_ms is not None and not selection.span and now_ms - last_ms > length:
        return Shown(last_ms - length, last_ms + 1, False, "", title.replace("Last", "Its last"))
    if first_ms is not None and not selection.span and now_ms - length // 2 < first_ms:
        return Shown(min(first_ms, now_ms - YOUNG_MS), now_ms, True, "", "Its newest readings")
    return Shown(now_ms - length, now_ms, True, name, title)


def began(series: Mapping[str, Any]) -> int | None:
    """Tell when readings begin in an answer of `/series` that is empty before that for more than half its span.

    None where they begin earlier, and where there are none. [ms since 1970, UTC]
    """
    if not series["readings"] or not series["gaps"]:
        return None
    start, end = instant(series["start"]), instant(series["end"])
    left, right = (instant(at) for at in series["gaps"][0])
    return right if left <= start and right > (start + end) // 2 else None


def choose(selection: "Selection", start: int, end: int) -> None:
    """Choose a span by its ends. [ms since 1970, UTC]"""
    end = max(end, start + SHORTEST_MS)
    selection.param.update(span="custom", start=iso(start), end=iso(end))


def moved(span: Shown, steps: int, now_ms: int) -> tuple[int, int] | None:
    """Move by whole lengths; None where that as good as reaches now, to follow it again. [ms since 1970, UTC]"""
    start, end = span.start + steps * span.length, span.end + steps * span.length
    return None if end >= now_ms - span.length // NEAR_NOW else (start, end)


def _ms(text: str) -> int | None:
    try:
        when = datetime.fromisoformat(text)
        return round(when.timestamp() * 1000) if when.tzinfo else None
    except (ValueError, OverflowError):
        return None
