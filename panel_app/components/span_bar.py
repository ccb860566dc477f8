"""span_bar: which span the charts show, and how to choose another."""

from zoneinfo import ZoneInfo

from markupsafe import Markup

from flows.model.times import now_ms
from panel_app.components.render import render
from panel_app.spans import LENGTHS, Shown
from panel_app.words import at, clock, day


def span_bar(span: Shown, zone: ZoneInfo, csv: str) -> Markup:
    """Draw title, span, buttons. Says back: "span" with data-span; "move" with data-by; "custom" with values.

    The span says its year where that is not this one.
    csv : where the shown series can be had as a file, "" where there is none.
    """
    this_year = at(now_ms(), zone).year
    return render(
        "span_bar",
        title=span.title,
        text=f"{_instant(span.start, zone, this_year)} – {_instant(span.end, zone, this_year)}",
        names=[(name, label, name == span.name) for name, (label, _, _) in LENGTHS.items()],
        live=span.live,
        start=f"{at(span.start, zone):%Y-%m-%dT%H:%M}",
        end=f"{at(span.end, zone):%Y-%m-%dT%H:%M}",
        custom=span.name == "custom",
        csv=csv,
    )


def _instant(ms: int, zone: ZoneInfo, this_year: int) -> str:
    year = at(ms, zone).year
    return (
        f"{day(ms, zone)} {clock(ms, zone)}" if year == this_year else f"{day(ms, zone)} {year} {clock(ms, zone)}"
    )
