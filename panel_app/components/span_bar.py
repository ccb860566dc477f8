"""span_bar: which span the charts show, and how to choose another."""

from zoneinfo import ZoneInfo

from markupsafe import Markup

from flows.model.times import now_ms
from panel_app.components.render import render
from panel_app.spans import LENGTHS, Shown
from panel_app.words import at, clock, day


def span_bar(span: Shown, zone: ZoneInfo, csv: str, chosen: Shown | None = None, loads: bool = False) -> Markup:
    """Draw title, span, buttons. Says back: "span" with data-span; "move" with data-by; "custom" with values.

    The span says its year where that is not this one.
    csv    : where the shown series can be had as a file, "" where there is none.
    chosen : another span that is not drawn yet: its button is pressed, but the title is of what is drawn.
    loads  : whether it is waited for, long enough to say so.
    """
    chosen = chosen or span
    moment = now_ms()
    this_year = at(moment, zone).year
    return render(
        "span_bar",
        title=span.title,
        text=f"{_instant(span.start, zone, this_year)} – {_instant(span.end, zone, this_year)}",
        names=[(name, label, name == chosen.name) for name, (label, _, _) in LENGTHS.items()],
        loads=chosen.title.lower() if loads else "",
        live=chosen.live,
        start=f"{at(chosen.start, zone):%Y-%m-%dT%H:%M}",
        end=f"{at(chosen.end, zone):%Y-%m-%dT%H:%M}",
        custom=chosen.name == "custom",
        latest=f"{at(moment, zone):%Y-%m-%dT%H:%M}",
        wrong=chosen.wrong,
        csv=csv,
    )


def _instant(ms: int, zone: ZoneInfo, this_year: int) -> str:
    year = at(ms, zone).year
    return (
        f"{day(ms, zone)} {clock(ms, zone)}" if year == this_year else f"{day(ms, zone)} {year} {clock(ms, zone)}"
    )
