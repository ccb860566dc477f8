"""Figures of the charts: built once, empty; then data are put in place. Pure: data in, figures out.

A figure is bare: it draws lines, bands, bars and spans from edge to edge. All words (ticks, read-out, names of
alerts) are HTML beside and above it (charts/stack.py), so that they share the page's type and can be read aloud.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from bokeh.core.properties import value as constant
from bokeh.models import (
    ColumnDataSource,
    FixedTicker,
    Grid,
    Line,
    PanTool,
    Plot,
    Quad,
    Range1d,
    VArea,
    VSpan,
    VStrip,
)
from bokeh.models.annotations import Span

from flows.model.quantities import BY_NAME
from flows.model.times import DAY_MS
from panel_app.charts import axes, frame, lanes, marks
from panel_app.charts.panes import Lane, Pane, Trace
from panel_app.tokens import TOKENS, Theme

SPACE = 14
"""Room above and below the drawing, through which spans go on to the next chart. [px]"""

ESTIMATED_DASH = (8, 4)
BAND = 0.2
"""How strong the band from lowest to highest is."""

FAINTEST = 0.15
"""A lane's bar of this share of the time on, or less, can still be seen."""

_LINES, _PHONE_LINES = 60, 24
"""How many lines at beginnings of alerts fit side by side without being a fence: some 16 pixels apart."""

_MOST_PATCHED = 4
"""So many changed points are sent one by one, so many that are too old stay."""

LOW = 80
"""A drawing lower than this has no room for the labels of four ticks. [px]"""

LANE, ALERT_LANE = 19, 30
PHONE_LANE = 34
"""Heights of lanes; on a phone the words stand above each bar. [px]"""


class Paint(msgspec.Struct, frozen=True):
    """A colour of the theme: which token which property of a model takes."""

    model: Any
    attribute: str
    token: str


class Chart(msgspec.Struct, frozen=True):
    """One figure of a pane.

    drawn : renderers by what they draw: a quantity's line by its name, with `:held`, `:band` and `:area`; `ratio`.
    """

    pane: Pane
    figure: Any
    drawn: dict[str, Any]
    y_ticker: Any


class Charts(msgspec.Struct, frozen=True):
    """All figures, and what they share: the time axis, its ticks and the spans through all."""

    charts: list[Chart]
    lane_figure: Any
    bars: dict[str, Any]
    x_range: Any
    x_ticker: Any
    spans: dict[str, Any]
    phone: bool

    @property
    def figures(self) -> list[Any]:
        """Every figure, from top to bottom."""
        return [*(chart.figure for chart in self.charts), self.lane_figure]


def build(panes: Sequence[Pane], rows: Sequence[Lane], theme: Theme, phone: bool = False) -> Charts:
    """Build empty figures. On a phone a drag reads values instead of moving the span, so that the page scrolls."""
    x_range, x_ticker = Range1d(start=0, end=1), FixedTicker(ticks=[])
    spans = {name: ColumnDataSource({"left": [], "right": []}) for name in ("missing", "warning", "critical")}
    spans["missing"].data = {"left": [], "right": [], "bottom": []}
    lines = ("midnights", "seams", "warning_starts", "critical_starts")
    spans |= {name: ColumnDataSource({"left": []}) for name in lines}
    paints: list[Paint] = []
    charts = []
    for pane in panes:
        figure = _figure(x_range, Range1d(start=pane.usual[0], end=pane.usual[1]), pane.height + 2 * SPACE, phone)
        y_ticker = FixedTicker(ticks=[])
        _under(figure, x_ticker, y_ticker, spans, paints)
        renderers = [renderer for trace in pane.traces for renderer in _trace(figure, trace)]
        if pane.ratio:
            # A COP is for the read-out alone.
            renderers.append(_draw(figure, "ratio", Line(x="at", y="value")))
        _over(figure, spans, paints)
        charts.append(Chart(pane, figure, {renderer.name: renderer for renderer in renderers}, y_ticker))
    height = lane_height(len(rows), phone)
    lane_figure = _figure(x_range, Range1d(start=height, end=0), height, phone)
    _under(lane_figure, x_ticker, FixedTicker(ticks=[]), spans, paints, of_lanes=True)
    bars = {row.key: _bars(lane_figure, row) for row in rows}
    bars |= {level: _alert_bars(lane_figure, level, paints) for level in ("warning", "critical")}
    _over(lane_figure, spans, paints)
    for item in paints:
        setattr(item.model, item.attribute, getattr(TOKENS[theme], item.token))
    return Charts(charts, lane_figure, bars, x_range, x_ticker, spans, phone)


def lane_height(rows: int, phone: bool) -> int:
    """Height of the lanes' figure: its rows and the alerts. [px]"""
    return (rows + 1) * PHONE_LANE if phone else rows * LANE + ALERT_LANE


def lane_tops(rows: int, phone: bool) -> list[int]:
    """Where each lane begins, the alerts' last. [px]"""
    return [i * (PHONE_LANE if phone else LANE) for i in range(rows + 1)]


def put_lines(chart: Chart, read: frame.Frame, hidden: Sequence[str]) -> list[float]:
    """Put a frame's values into a pane; fit its axis to what is not hidden. Gives its ticks, in its unit."""
    pane, drawn = chart.pane, []
    nothing = np.empty(0)
    for trace in pane.traces:
        line, name = read.lines[trace.name], trace.name
        shown, measured = name not in hidden, name not in read.estimated
        # From lowest to highest of a day is nearly all there is: a band of it would hide the means.
        edges = (line.low, line.high) if read.step < DAY_MS else (nothing, nothing)
        value, low, high = (part * pane.scale for part in (line.value, *edges))
        banded = line.at if low.size else nothing
        put(chart.drawn[name], {"at": line.at, "value": value}, shown)
        put(chart.drawn[f"{name}:held"], {"at": line.held_at, "value": line.held * pane.scale}, shown)
        put(chart.drawn[f"{name}:band"], {"at": banded, "low": low, "high": high}, shown and measured)
        if trace.mark == "area":
            put(chart.drawn[f"{name}:area"], {"at": line.at, "top": np.nan_to_num(value)}, shown and measured)
        chart.drawn[name].glyph.line_dash = list(trace.dash) if measured else list(ESTIMATED_DASH)
        if shown:
            drawn += [value, low, high] if measured else [value]
    low_y, high_y = axes.y_range(drawn, pane.floor, pane.usual, pane.with_zero)
    a_pixel = (high_y - low_y) / pane.height
    chart.figure.y_range.update(start=low_y - SPACE * a_pixel, end=high_y + SPACE * a_pixel)
    ticks = axes.y_ticks(low_y, high_y, most=4 if pane.height >= LOW else 3)
    chart.y_ticker.ticks = ticks
    return ticks


def put_ratio(chart: Chart, at: frame.Floats, value: frame.Floats) -> None:
    """Put a COP into a pane's read-out."""
    put(chart.drawn["ratio"], {"at": at, "value": value}, False)


def put(renderer: Any, columns: dict[str, frame.Floats], visible: bool) -> None:
    """Show or hide columns, sending only what is new: of a live chart the last points, not the day.

    A column may keep some points that are older than the new ones: in the browser streaming never shortens it.
    """
    renderer.visible = visible
    source = renderer.data_source
    old, at = source.data, columns["at"]
    first = int(np.searchsorted(old["at"], at[0])) if at.size else 0
    kept = min(len(old["at"]) - first, at.size)
    changed = max((_first_change(old[name][first:], columns[name][:kept]) for name in columns), key=lambda n: -n)
    if kept == at.size == len(old["at"]) == changed:
        return
    ends_earlier = len(old["at"]) - first > kept
    shorter = len(old["at"]) - at.size
    if kept <= 0 or ends_earlier or max(kept - changed, shorter) > _MOST_PATCHED:
        source.data = columns
        return
    if changed < kept:
        places = range(first + changed, first + kept)
        source.patch({name: [(i, float(columns[name][i - first])) for i in places] for name in columns})
    source.stream({name: column[kept:] for name, column in columns.items()}, rollover=max(at.size, len(old["at"])))


def _first_change(old: frame.Floats, new: frame.Floats) -> int:
    """Tell from which place on two columns differ; NaN is like NaN."""
    differs = np.flatnonzero(~((old[: new.size] == new) | (np.isnan(old[: new.size]) & np.isnan(new))))
    return int(differs[0]) if differs.size else int(new.size)


def put_lane(built: Charts, row: int, key: str, bars: Sequence[lanes.Bar]) -> None:
    """Put bars into a row of the lanes."""
    top = lane_tops(row, built.phone)[row]
    inset, height = (20, 10) if built.phone else (4, 10)
    built.bars[key].data = {
        "left": [bar.start for bar in bars],
        "right": [bar.end for bar in bars],
        "top": [top + inset] * len(bars),
        "bottom": [top + inset + height] * len(bars),
        "alpha": [0.85 * max(bar.share, FAINTEST) for bar in bars],
    }


def put_spans(
    built: Charts, read: frame.Frame, alerts: Sequence[marks.AlertSpan], seams: Sequence[float], rows: int
) -> None:
    """Put what goes through all charts: what is missing, alerts (open ones beyond the end), and changes.

    rows : how many lanes are shown; the alerts' own lane is below them. There each alert has its bar; the charts
           are tinted once, however many alerts there are at a time.
    """
    height = lane_height(rows, built.phone)
    top = lane_tops(rows, built.phone)[-1]
    built.lane_figure.height = height
    built.lane_figure.y_range.update(start=height, end=0)
    built.spans["missing"].data = {
        "left": [left for left, _ in read.unknown],
        "right": [right for _, right in read.unknown],
        "bottom": [top] * len(read.unknown),
    }
    built.spans["seams"].data = {"left": list(seams)}
    beyond = 2 * read.end - read.start
    inset, height = (20, 10) if built.phone else (8, 15)
    tints = marks.tints(alerts, beyond)
    lines = marks.beginnings(alerts, (read.end - read.start) / (_PHONE_LINES if built.phone else _LINES))
    for level in ("warning", "critical"):
        ours = [span for span in alerts if span.level == level]
        built.spans[level].data = {
            "left": [tint.start for tint in tints if tint.level == level],
            "right": [tint.end for tint in tints if tint.level == level],
        }
        built.spans[f"{level}_starts"].data = {"left": [line.start for line in lines if line.level == level]}
        built.bars[level].data = {
            "left": [span.start for span in ours],
            "right": [beyond if span.is_open else span.end for span in ours],
            "top": [top + inset] * len(ours),
            "bottom": [top + inset + height] * len(ours),
        }


def put_time(built: Charts, ticks: Sequence[axes.Tick]) -> None:
    """Put the ticks of the time axis; midnights get a line of their own."""
    built.x_ticker.ticks = [tick.at for tick in ticks]
    built.spans["midnights"].data = {"left": [tick.at for tick in ticks if tick.midnight]}


def _figure(x_range: Any, y_range: Any, height: int, phone: bool) -> Any:
    plot = Plot(
        x_range=x_range,
        y_range=y_range,
        height=height,
        sizing_mode="stretch_width",
        min_border=0,
        outline_line_color=None,
        toolbar_location=None,
    )
    if not phone:
        pan = PanTool(dimensions="width")
        plot.add_tools(pan)
        plot.toolbar.active_drag = pan
    plot.toolbar.logo = None
    return plot


def _under(
    plot: Any, x_ticker: Any, y_ticker: Any, spans: dict[str, Any], paints: list[Paint], of_lanes: bool = False
) -> None:
    # Painted, since a clear figure keeps specks of what was drawn before at its edges.
    paints += [Paint(plot, "background_fill_color", "card"), Paint(plot, "border_fill_color", "card")]
    for grid in (Grid(dimension=0, ticker=x_ticker), Grid(dimension=1, ticker=y_ticker)):
        grid.level = "underlay"
        plot.add_layout(grid)
        paints.append(Paint(grid, "grid_line_color", "grid"))
    zero = Span(location=0, dimension="width", level="underlay", line_width=1)
    plot.add_layout(zero)
    paints.append(Paint(zero, "line_color", "control"))
    midnight = VSpan(x="left", line_width=1)
    plot.add_glyph(spans["midnights"], midnight)
    paints.append(Paint(midnight, "line_color", "control"))
    drawn: dict[str, Any] = {
        "line_color": None,
        "hatch_pattern": "right_diagonal_line",
        "hatch_scale": 10,
        "hatch_weight": 1,
    }
    # Alerts are known without readings: their lane is not hatched.
    hatch = (
        Quad(left="left", right="right", top=constant(0), bottom="bottom", **drawn)
        if of_lanes
        else VStrip(x0="left", x1="right", **drawn)
    )
    plot.add_glyph(spans["missing"], hatch)
    paints += [Paint(hatch, "fill_color", "card"), Paint(hatch, "hatch_color", "hatch")]
    for level, token in (("warning", "warning_fill"), ("critical", "critical")):
        tint = VStrip(x0="left", x1="right", fill_alpha=0.13, line_color=None)
        plot.add_glyph(spans[level], tint)
        paints.append(Paint(tint, "fill_color", token))


def _over(plot: Any, spans: dict[str, Any], paints: list[Paint]) -> None:
    for name, token in (("warning", "warning_fill"), ("critical", "critical")):
        edge = VSpan(x="left", line_width=1)
        plot.add_glyph(spans[f"{name}_starts"], edge)
        paints.append(Paint(edge, "line_color", token))
    seam = VSpan(x="left", line_width=1, line_dash=[2, 2])
    plot.add_glyph(spans["seams"], seam)
    paints.append(Paint(seam, "line_color", "text"))


def _trace(plot: Any, trace: Trace) -> Iterator[Any]:
    colour, name = trace.quantity.colour, trace.name
    if trace.mark == "area":
        yield _draw(
            plot, f"{name}:area", VArea(x="at", y1=constant(0), y2="top", fill_color=colour, fill_alpha=0.16)
        )
    yield _draw(plot, f"{name}:band", VArea(x="at", y1="low", y2="high", fill_color=colour, fill_alpha=BAND))
    yield _draw(plot, f"{name}:held", Line(x="at", y="value", line_color=colour, line_width=1, line_dash=[3, 3]))
    width = 1 if name.startswith("setpoint_") else 1.5
    yield _draw(
        plot, name, Line(x="at", y="value", line_color=colour, line_width=width, line_dash=list(trace.dash))
    )


def _draw(plot: Any, name: str, glyph: Any) -> Any:
    columns = ("top",) if name.endswith(":area") else ("low", "high") if name.endswith(":band") else ("value",)
    source = ColumnDataSource({column: np.empty(0) for column in ("at", *columns)})
    return plot.add_glyph(source, glyph, name=name, visible=False)


def _bars(plot: Any, row: Lane) -> Any:
    source = ColumnDataSource({"left": [], "right": [], "top": [], "bottom": [], "alpha": []})
    colour = BY_NAME[row.flag].colour
    bar = Quad(
        left="left",
        right="right",
        top="top",
        bottom="bottom",
        fill_color=colour,
        fill_alpha="alpha",
        line_color=None,
    )
    plot.add_glyph(source, bar, name=row.key)
    return source


def _alert_bars(plot: Any, level: str, paints: list[Paint]) -> Any:
    source = ColumnDataSource({"left": [], "right": [], "top": [], "bottom": []})
    token = "critical" if level == "critical" else "warning_fill"
    bar = Quad(left="left", right="right", top="top", bottom="bottom", line_width=1)
    plot.add_glyph(source, bar, name=level)
    paints += [Paint(bar, "fill_color", token), Paint(bar, "line_color", token)]
    return source
