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
    """What is shown. live: it ends now, and goes on; title: in words. [ms since 1970, UTC]

    wrong : why it is not the one that was chosen, "" where it is.
    """

    start: int
    end: int
    live: bool
    name: str
    title: str = "Chosen span"
    wrong: str = ""

    @property
    def length(self) -> int:
        """How long it is. [ms]"""
        return self.end - self.start

    def is_like(self, other: "Shown") -> bool:
        """Tell whether another is the same choice: of the same name, and the same ends where those were chosen."""
        chosen_ends = (self.start, self.end) == (other.start, other.end)
        return self.name == other.name and (self.name != "custom" or chosen_ends)


def shown(
    selection: "Selection", now_ms: int, phone: bool, last_ms: int | None = None, first_ms: int | None = None
) -> Shown:
    """Read what was chosen; what cannot be shown is the usual span, which says so: 24 hours, 6 on a phone.

    last_ms  : when the device was measured last; of one long silent the usual span ends there.
    first_ms : when its first reading was, where that is known; of a young one the usual span begins there, or
               15 min ago where that is earlier. [both ms since 1970, UTC]
    """
    wrong = ""
    if selection.span == "custom":
        start, end = _ms(selection.start), _ms(selection.end)
        wrong = _wrong(start, end, now_ms)
        if start is not None and end is not None and not wrong:
            return Shown(start, end, False, "custom")
    name = selection.span if selection.span in LENGTHS else "6h" if phone else "24h"
    _, title, length = LENGTHS[name]
    if last_ms is not None and not selection.span and now_ms - last_ms > length:
        return Shown(last_ms - length, last_ms + 1, False, "", title.replace("Last", "Its last"))
    if first_ms is not None and not selection.span and now_ms - length // 2 < first_ms:
        return Shown(min(first_ms, now_ms - YOUNG_MS), now_ms, True, "", "Its newest readings")
    return Shown(now_ms - length, now_ms, True, name, title, wrong)


def _wrong(start: int | None, end: int | None, now_ms: int) -> str:
    """Say why a span cannot be shown; "" where it can. [ms since 1970, UTC; None: no such time]"""
    if start is None or end is None or start < 0:
        return "its start and end must be times from 1970 on, with a time zone"
    if end < start + SHORTEST_MS:
        return "it must end at least a minute after it begins"
    if start > now_ms:
        return "it begins in the future"
    return "it ends more than a day from now" if end - SHORTEST_MS > now_ms + DAY_MS else ""


def began(series: Mapping[str, Any]) -> int | None:
    """Tell when readings begin in an answer of `/series` that is empty before; it cannot tell of earlier ones.

    None where they begin with it, and where there are none. [ms since 1970, UTC]
    """
    if not series["readings"] or not series["gaps"]:
        return None
    left, right = (instant(at) for at in series["gaps"][0])
    return right if left <= instant(series["start"]) else None


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
