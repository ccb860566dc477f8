"""ChartStack: the linked charts of a device, with read-out, cursor, keyboard and table."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import param
from panel.custom import JSComponent
from panel.io import hold
from panel.viewable import Children, Viewable, Viewer

from flows.model.quantities import BY_NAME
from flows.model.times import now_ms
from panel_app import plots, words
from panel_app.charts import axes, buckets, heat, lanes, marks, ratio, text
from panel_app.charts.frame import Answer, Floats, Frame, read_frame
from panel_app.charts.panes import LANES, PANES, Lane, Pane, fields_of
from panel_app.spans import LENGTHS, SHORTEST_MS, YOUNG_MS
from panel_app.tokens import Theme

_ASSETS = Path(__file__).parent.parent / "assets"
_TICKS, _PHONE_TICKS = 13, 6

Newest = Mapping[str, tuple[float | bool | None, float]]
"""By quantity its newest value, in its unit, and when that was measured. [ms since 1970, UTC]"""


class StackFace(JSComponent):
    """What the browser draws around the figures; see assets/chart_stack.js.

    content    : all words and places, in one piece.
    newest     : by quantity, value (in the unit of its chart) and time of what is known beside the series.
    hidden     : quantities that a reader has put away.
    chosen     : the span a reader moved or zoomed to, as [start, end, how often so far]. [ms since 1970, UTC]
    table_open : whether the table is shown.
    """

    figures = Children()
    content = param.Dict()
    newest = param.Dict()
    hidden = param.List(item_type=str)
    chosen = param.List(item_type=(int, float))
    table_open = param.Boolean()
    table = param.Dict()

    _esm = "\n".join(
        (_ASSETS / name).read_text() for name in ("chart_words.js", "chart_rows.js", "chart_stack.js")
    )
    _stylesheets: ClassVar[list[str]] = [(_ASSETS / "chart_stack.css").read_text()]


class ChartStack(Viewer):
    """Linked charts of one device.

        stack = ChartStack("light", phone=False, on_span=asked, on_hidden=remember)
        stack.update(series, episodes, alerts, start=since, end=until)   # as often as data change
        stack.say_newest({"power": (1240.0, at)})                        # as often as a status arrives

    panes, rows : which charts and lanes; see panes.py.
    hidden      : quantities not drawn; may be set, and follows the reader's clicks.
    on_span     : called with start and end [ms since 1970, UTC] 300 ms after a reader moved or zoomed;
                  answer with `update` of that span's series. The browser moves the axis at once; what `update`
                  says of it is followed there unless the reader moved on meanwhile.
    on_hidden   : called with the list of hidden quantities when a reader changed it.

    It needs the CSS variables of tokens.py around it. Ask `/series` for `stack.fields`, and `/episodes` for the
    kinds cycle, defrost, dhw_run and change. Without any data every chart is empty, over the asked span.
    """

    hidden = param.List(item_type=str)

    def __init__(
        self,
        theme: Theme,
        *,
        phone: bool = False,
        panes: Sequence[Pane] = PANES,
        rows: Sequence[Lane] = LANES,
        on_span: Callable[[int, int], Any] | None = None,
        on_hidden: Callable[[list[str]], Any] | None = None,
        **params: Any,
    ) -> None:
        super().__init__(**params)
        self._panes, self._rows = tuple(panes), tuple(rows)
        self._on_span, self._on_hidden = on_span, on_hidden
        self._charts = plots.build(self._panes, self._rows, theme, phone)
        self._frame: Frame | None = None
        self._ever: set[str] = set()
        self._heat_in_energies = False
        self._energies: tuple[Floats, Floats] | None = None
        self._last: dict[str, Any] = {}
        self._span: tuple[float, float] = (0.0, 1.0)
        self._face = StackFace(
            figures=self._charts.figures,
            content={},
            newest={},
            hidden=list(self.hidden),
            sizing_mode="stretch_width",
        )
        self._face.param.watch(self._span_chosen, "chosen")
        self._face.param.watch(self._hidden_chosen, "hidden")
        self._face.param.watch(self._table_asked, "table_open")
        self.param.watch(self._hidden_set, "hidden")

    @property
    def fields(self) -> tuple[str, ...]:
        """What to ask of `/series`; more once an answer told that heat is not measured: then ask anew."""
        return (*fields_of(self._panes), *(heat.FIELDS if self._heat_in_energies else ()))

    @property
    def figures(self) -> list[Any]:
        """The Bokeh figures, from top to bottom; the last one has the lanes."""
        return self._charts.figures

    @property
    def span(self) -> tuple[float, float]:
        """What the time axis shows. [ms since 1970, UTC]"""
        return self._span

    def __panel__(self) -> Viewable:
        return self._face

    def update(
        self,
        series: Answer,
        episodes: Sequence[Mapping[str, Any]] = (),
        alerts: Sequence[Mapping[str, Any]] = (),
        *,
        start: float | None = None,
        end: float | None = None,
        now: float | None = None,
        newest: Newest | None = None,
        first: float | None = None,
    ) -> None:
        """Show new data in the same figures.

        series     : answer of `/api/devices/{id}/series`; of rollups with `buckets.FIELDS` joined, for a COP.
        episodes   : of `/api/devices/{id}/episodes`; alerts: of `/api/alerts`, of this device.
        start, end : what the time axis shows; None keeps what it shows (at first: the answer's span). The last
                     24 h (or another usual span) of a device that began late in them begin at its first reading.
        first      : when that was, where it is known; before it nothing is missing. [ms since 1970, UTC]
        now        : length of open alerts and runs goes until then; None: the clock. [ms since 1970, UTC]
        newest     : as of `say_newest`; None leaves what was said.
        """
        at = float(now_ms()) if now is None else now
        drawn = [trace.name for pane in self._panes for trace in pane.traces]
        if series["readings"] and series["resolution"] != "raw":
            self._heat_in_energies = heat.HEAT in drawn and heat.is_in_energies(series)
        told = buckets.with_running(heat.with_power(series))
        read = read_frame(told, drawn, [row.flag for row in self._rows], at, first)
        if self._frame is None and start is None and end is None:
            start, end = read.start, read.end
        self._frame, self._last = read, {"episodes": episodes, "alerts": alerts, "now": at}
        self._energies = buckets.energies(series)
        self._ever |= {name for name in (*read.lines, *read.flags) if read.has(name)}
        with hold():
            if start is not None and end is not None:
                is_usual = any(round(end - start) == ms for _, _, ms in LENGTHS.values())
                is_live = abs(end - at) <= SHORTEST_MS
                is_late = first is not None and first > (start + end) / 2
                begin = min(first, end - YOUNG_MS) if first and is_usual and is_live and is_late else start
                self._span = begin, end
            if newest is not None:
                self.say_newest(newest)
            self._draw()

    def say_newest(self, newest: Newest) -> None:
        """Show values newer than the last answer in the read-out, while no cursor is set; no figure changes.

        They are shown where the span reaches until now at resolutions raw and 1m. What is None was never sent:
        without data in the span, series that were never sent are left out.
        """
        known = {name: told for name, told in newest.items() if told[0] is not None}
        self._ever |= known.keys()
        self._face.newest = {
            trace.name: [float(known[trace.name][0] or 0.0) * pane.scale, known[trace.name][1]]
            for pane in self._panes
            for trace in pane.traces
            if trace.name in known
        }

    def _is_sent(self, name: str) -> bool:
        """Tell whether a device has a quantity, as far as was heard; of one that nothing was heard of, all."""
        return not self._ever or name in self._ever

    def _draw(self) -> None:
        read = self._frame
        if read is None:
            return
        episodes = self._last["episodes"]
        alerts = marks.alert_spans(self._last["alerts"], read, self._last["now"])
        seams = marks.seams(episodes, read)
        start, end = self.span
        ticks = axes.x_ticks(start, end, read.zone, _PHONE_TICKS if self._charts.phone else _TICKS)
        plots.put_time(self._charts, ticks)
        is_empty = not any(read.has(name) for name in read.lines)
        panes = [self._pane(chart, read, is_empty) for chart in self._charts.charts]
        bars = {row.key: lanes.bars_of(row, read, episodes) for row in self._rows}
        shown = [row for row in self._rows if bars[row.key] or self._is_shown(row.flag, read, is_empty)]
        plots.put_spans(self._charts, read, alerts, [seam.start for seam in seams], len(shown))
        self._face.content = {
            "phone": self._charts.phone,
            "zone": str(read.zone),
            "step": read.step,
            "start": start,
            "end": end,
            "moves": self._face.chosen[2] if self._face.chosen else 0,
            "now": read.now,
            "ticks": [[tick.at, tick.label, tick.midnight] for tick in ticks],
            "panes": panes,
            "lanes": self._lanes(read, shown, bars, len(alerts)),
            "lanesHeight": plots.lane_height(len(shown), self._charts.phone),
            "missing": [msgspec.structs.astuple(label) for label in marks.missing_labels(read)],
            "seams": [msgspec.structs.astuple(seam) for seam in seams],
            "alerts": [[a.start, a.end, a.text, a.level] for a in alerts],
            "footer": text.footer(read, self._shown_panes(read, is_empty)),
        }
        if self._face.table_open:
            self._fill_table()

    def _shown_panes(self, read: Frame, is_empty: bool) -> list[Pane]:
        return [p for p in self._panes if any(self._is_shown(trace.name, read, is_empty) for trace in p.traces)]

    def _is_shown(self, name: str, read: Frame, is_empty: bool) -> bool:
        return read.has(name) or (is_empty and self._is_sent(name))

    def _pane(self, chart: plots.Chart, read: Frame, is_empty: bool) -> dict[str, Any]:
        pane = chart.pane
        ticks = plots.put_lines(chart, read, self.hidden)
        if pane.ratio:
            plots.put_ratio(chart, *ratio.cop(read, *pane.ratio, self._energies))
        y_range = chart.figure.y_range
        rows = [
            {
                "name": trace.name,
                "label": trace.quantity.label,
                "colour": trace.quantity.colour,
                "dash": list(plots.ESTIMATED_DASH) if trace.name in read.estimated else list(trace.dash),
                "area": trace.mark == "area" and trace.name not in read.estimated,
                "about": "≈ " if trace.name in read.estimated else "",
            }
            for trace in pane.traces
            if self._is_shown(trace.name, read, is_empty)
        ]
        return {
            "key": pane.key,
            "title": f"{pane.title}, {pane.unit}" if pane.unit else pane.title,
            "unit": pane.unit,
            "digits": pane.digits,
            "height": chart.figure.height,
            "low": y_range.start,
            "high": y_range.end,
            "ticks": [[tick, axes.tick_label(tick, ticks)] for tick in ticks],
            "rows": rows,
            "ratio": self._ratio_row(pane, read),
            "summary": text.summary(pane, read),
        }

    def _ratio_row(self, pane: Pane, read: Frame) -> dict[str, str] | None:
        if pane.ratio is None or not all(read.has(name) for name in pane.ratio):
            return None
        about = "≈ " if read.estimated.intersection(pane.ratio) else ""
        return {"label": f"COP, {words.lasting(ratio.window_ms(read))}", "about": about}

    def _lanes(
        self, read: Frame, shown: Sequence[Lane], bars: Mapping[str, list[lanes.Bar]], alerts: int
    ) -> list[dict[str, Any]]:
        tops = plots.lane_tops(len(shown), self._charts.phone)
        told = []
        for row, lane in enumerate(self._rows):
            if lane not in shown:
                plots.put_lane(self._charts, row, lane.key, [])
        for row, lane in enumerate(shown):
            plots.put_lane(self._charts, row, lane.key, bars[lane.key])
            spans = [[bar.start, bar.end] for bar in bars[lane.key]]
            said = lanes.said_of(lane, read, bars[lane.key])
            told.append({"label": BY_NAME[lane.flag].label, "said": said, "spans": spans, "top": tops[row]})
        said = f"{alerts} in this span" if alerts else "none in this span"
        return [*told, {"label": "Alerts", "said": said, "spans": None, "top": tops[-1]}]

    def _fill_table(self) -> None:
        if self._frame is not None:
            made = text.table(self._frame, self._panes)
            self._face.table = {"caption": made.caption, "header": made.header, "rows": made.rows}

    def _span_chosen(self, event: Any) -> None:
        start, end = (round(at) for at in event.new[:2])
        self._span = start, end
        with hold():
            # The ticks fit the new span at once; its values come with the next update.
            self._draw()
        if self._on_span:
            self._on_span(start, end)

    def _hidden_chosen(self, event: Any) -> None:
        if event.new != self.hidden:
            self.hidden = list(event.new)
            if self._on_hidden:
                self._on_hidden(list(event.new))

    def _hidden_set(self, event: Any) -> None:
        with hold():
            self._face.hidden = list(event.new)
            self._draw()

    def _table_asked(self, event: Any) -> None:
        if event.new:
            self._fill_table()
