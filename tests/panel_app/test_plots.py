"""Figures and the stack that holds them, without a browser."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from time import process_time
from typing import Any

import msgspec
import numpy as np
import pytest

from flows.model.quantities import BY_NAME, QUANTITIES
from panel_app import plots
from panel_app.charts import heat
from panel_app.charts.frame import read_frame
from panel_app.charts.panes import LANES, PANES, Pane, Trace, fields_of
from panel_app.charts.stack import ChartStack
from panel_app.tokens import TOKENS, Theme
from tests.panel_app import sample_day as sample

NAMES = [trace.name for pane in PANES for trace in pane.traces]


def filled(theme: Theme = "light", **params: Any) -> ChartStack:
    stack = ChartStack(theme, **params)
    stack.update(sample.series(), sample.episodes(), sample.ALERTS, now=sample.END)
    return stack


@pytest.fixture(scope="module")
def day() -> ChartStack:
    """The sample day, only looked at."""
    return filled()


def drawn(stack: ChartStack, name: str) -> Any:
    """The renderer of that name."""
    return next(r for figure in stack.figures for r in figure.renderers if r.name == name)


def columns(stack: ChartStack) -> dict[str, Any]:
    """Everything in the figures' sources, by renderer."""
    return {
        f"{i} {n} {column}": np.asarray(values).tolist()
        for i, figure in enumerate(stack.figures)
        for n, renderer in enumerate(figure.renderers)
        for column, values in renderer.data_source.data.items()
    }


def test_colours_dashes_and_labels_are_those_of_the_design(day: ChartStack) -> None:
    for name in NAMES:
        assert drawn(day, name).glyph.line_color == BY_NAME[name].colour
    assert drawn(day, "temp_dhw").glyph.line_dash == [5, 3]
    assert drawn(day, "setpoint_flow").glyph.line_dash == [1, 3]
    assert drawn(day, "heat_power:area").glyph.fill_alpha == 0.16
    assert drawn(day, "power:band").glyph.fill_alpha == 0.2
    assert len({figure.x_range.id for figure in day.figures}) == 1
    assert all(figure.outline_line_color is None and figure.min_border == 0 for figure in day.figures)
    assert all(figure.output_backend == "canvas" for figure in day.figures)


def test_electricity_is_drawn_over_heat_and_power_is_in_kilowatts(day: ChartStack) -> None:
    power = day.figures[2]
    names = [renderer.name for renderer in power.renderers]
    assert names.index("power") > names.index("heat_power") > names.index("heat_power:area")
    assert np.nanmin(drawn(day, "heat_power").data_source.data["value"]) == pytest.approx(-3.2)
    assert power.y_range.start < -3.2


def test_without_data_every_figure_is_empty_with_its_usual_range() -> None:
    stack = ChartStack("light")
    stack.update(sample.empty(), now=sample.END)
    for name, values in columns(stack).items():
        assert values == [] or "left" in name or "right" in name or "bottom" in name
    for pane, figure in zip(PANES, stack.figures, strict=False):
        low, high = pane.usual
        assert figure.y_range.start < low < high < figure.y_range.end
    assert stack.span == (sample.START, sample.END)
    assert not any(drawn(stack, name).data_source.data["at"].size for name in NAMES)
    assert [pane["key"] for pane in stack._face.content["panes"] if pane["rows"]] == ["water", "outdoor", "power"]


def test_a_chart_of_quantities_the_device_never_sent_is_left_out() -> None:
    answer = sample.series()
    for name in ("temp_ambient", "defrost_active"):
        del answer["values"][name]
    stack = ChartStack("light")
    stack.update(answer, [], [], now=sample.END)
    content = stack._face.content
    assert [pane["key"] for pane in content["panes"] if pane["rows"]] == ["water", "power"]
    assert [lane["label"] for lane in content["lanes"]] == ["Compressor", "Hot water", "Backup heater", "Alerts"]
    assert stack.figures[-1].height == plots.lane_height(3, False)


def test_an_update_keeps_figures_and_zoom_and_a_named_span_sets_it() -> None:
    asked: list[tuple[int, int]] = []
    stack = filled(on_span=lambda start, end: asked.append((start, end)))
    figures = [figure.id for figure in stack.figures]
    stack._face.chosen = [sample.START + 1000.4, sample.END - 1000, 1]
    assert asked == [(sample.START + 1000, sample.END - 1000)]
    stack.update(sample.series(), now=sample.END)
    assert stack.span == asked[0]
    stack.update(sample.series(), start=sample.START, end=sample.END, now=sample.END)
    assert stack.span == (sample.START, sample.END)
    assert [figure.id for figure in stack.figures] == figures


def test_the_browser_is_told_of_how_many_moves_what_is_drawn_knows() -> None:
    stack = filled()
    assert stack._face.content["moves"] == 0
    stack._face.chosen = [sample.START + 1000, sample.END, 7]
    assert stack._face.content["moves"] == 7
    stack.update(sample.series(), now=sample.END)
    assert stack._face.content["moves"] == 7


def show(stack: ChartStack, resolution: str, minutes: range) -> None:
    stack.update(sample.series(resolution, minutes), start=sample.START, end=sample.END, now=sample.END)


@cache
def walked(resolution: str) -> ChartStack:
    """The stack that is sent one span after another."""
    return ChartStack("light")


@cache
def whole(resolution: str, minutes: range) -> dict[str, Any]:
    """What a stack holds that was sent nothing else."""
    stack = ChartStack("light")
    show(stack, resolution, minutes)
    return columns(stack)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (range(0, 1400), range(0, 1400)),
        (range(0, 1400), range(0, 1401)),
        (range(0, 1400), range(20, 1420)),
        (range(0, 1400), range(600, 700)),
        (range(600, 700), range(0, 1400)),
        (range(0, 100), range(1200, 1300)),
    ],
)
@pytest.mark.parametrize("resolution", ["raw", "1m"])
def test_what_is_sent_in_parts_shows_the_same_as_what_is_sent_whole(
    before: range, after: range, resolution: str
) -> None:
    sent = walked(resolution)
    for minutes in (before, after):
        show(sent, resolution, minutes)
        found, wanted = columns(sent), whole(resolution, minutes)
        assert found.keys() == wanted.keys()
        for name in wanted:
            np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)


def test_a_live_chart_sends_its_last_points_and_not_the_day() -> None:
    stack = filled()
    source = drawn(stack, "temp_outlet").data_source
    answer = sample.series()
    for part in ("mean", "min", "max"):
        answer["values"]["temp_outlet"][part][-1] += 0.3
    before = source.data
    stack.update(answer, now=sample.END)
    assert source.data is before
    assert source.data["value"][-1] == answer["values"]["temp_outlet"]["mean"][-1]


def test_a_hidden_series_is_not_drawn_and_does_not_stretch_its_axis() -> None:
    stack = filled()
    high = stack.figures[0].y_range.end
    stack.hidden = ["temp_dhw", "temp_outlet", "temp_inlet"]
    assert not drawn(stack, "temp_dhw").visible
    assert not drawn(stack, "temp_outlet:band").visible
    assert drawn(stack, "setpoint_flow").visible
    assert stack.figures[0].y_range.end < high - 5


def test_estimated_heat_is_a_long_dashed_line_without_area() -> None:
    stack = ChartStack("light")
    stack.update(sample.series() | {"heat_source": "estimated"}, now=sample.END)
    assert drawn(stack, "heat_power").glyph.line_dash == [8, 4]
    assert not drawn(stack, "heat_power:area").visible
    assert not drawn(stack, "heat_power:band").visible
    row = stack._face.content["panes"][2]["rows"][0]
    assert (row["about"], row["area"], row["dash"]) == ("≈ ", False, [8, 4])
    assert stack._face.content["panes"][2]["ratio"]["about"] == "≈ "


def estimated() -> dict[str, Any]:
    """The day of a device without a flow meter, as rollups tell its heat."""
    answer = sample.series(with_hole=False) | {"heat_source": "estimated"}
    values, size = answer["values"], len(answer["time"])
    watts = values["heat_power"]["mean"]
    values["heat_power"] = dict.fromkeys(("mean", "min", "max"), [None] * size)
    values |= {name: [0.0] * size for name in heat.FIELDS}
    # The first minute is known by half, the second not at all.
    seconds = [30.0, 0.0, *[60.0] * (size - 2)]
    values["seconds_space"] = seconds
    values["heat_kwh_space"] = [None, None, *(w / 60_000 for w in watts[2:])]
    values["heat_kwh_dhw"] = [watts[0] / 120_000, None, *[0.0] * (size - 2)]
    return answer


def test_heat_that_is_not_measured_is_drawn_from_the_energies_of_buckets() -> None:
    without = sample.series(with_hole=False) | {"heat_source": "estimated"}
    del without["values"]["heat_power"]
    stack = ChartStack("light")
    assert stack.fields == fields_of()
    stack.update(without, now=sample.END)
    assert stack.fields == (*fields_of(), *heat.FIELDS)
    stack.update(estimated(), now=sample.END)
    line = drawn(stack, "heat_power")
    shown = line.data_source.data["value"]
    assert line.visible
    assert line.glyph.line_dash == [8, 4]
    watts = sample.series(with_hole=False)["values"]["heat_power"]["mean"]
    np.testing.assert_allclose(shown[~np.isnan(shown)] * 1000, [watts[0], *watts[2:]], atol=1e-6)
    power = stack._face.content["panes"][2]
    assert power["rows"][0]["about"] == power["ratio"]["about"] == "≈ "
    stack.update(sample.series("raw"), now=sample.END)
    assert set(heat.FIELDS) < set(stack.fields)
    stack.update(sample.series(), now=sample.END)
    assert stack.fields == fields_of()


def test_however_many_alerts_there_are_the_charts_are_tinted_once_and_lines_stay_apart() -> None:
    stack = ChartStack("light")
    many = [sample.alert("current", "warning", minute, minute + 60) for minute in range(0, 1400, 8)]
    many.append(sample.alert("compressor_temp", "critical", 700, None))
    stack.update(sample.series(), alerts=many, now=sample.END)
    tints = stack._charts.spans
    assert [len(tints[level].data["left"]) for level in ("warning", "critical")] == [1, 1]
    assert list(tints["warning"].data["right"]) == list(tints["critical"].data["left"])
    lines = sorted([*tints["warning_starts"].data["left"], *tints["critical_starts"].data["left"]])
    assert sample.START + 700 * sample.MINUTE in lines
    assert np.diff(lines).min() >= 9 * sample.MINUTE
    assert len(drawn(stack, "warning").data_source.data["left"]) == len(many) - 1


def test_of_days_the_means_alone_are_drawn_and_fill_the_chart() -> None:
    day, days = 86_400_000, 30
    means = [5.0 + 0.2 * n for n in range(days)]
    parts = {"mean": means, "min": [v - 30 for v in means], "max": [v + 30 for v in means]}
    answer = {
        **sample.empty(),
        "resolution": "1d",
        "end": sample.iso(sample.START + days * day),
        "readings": 1000,
        "gaps": [],
        "time": [sample.iso(sample.START + n * day) for n in range(days)],
        "values": {"temp_ambient": parts},
    }
    stack = ChartStack("light")
    stack.update(answer, now=sample.START + days * day)
    assert len(drawn(stack, "temp_ambient:band").data_source.data["at"]) == 0
    y_range = stack.figures[1].y_range
    assert y_range.end - y_range.start < 12
    hours = answer | {"resolution": "1h", "time": [sample.iso(sample.START + n * day // 24) for n in range(days)]}
    stack.update(hours, now=sample.START + days * day)
    assert len(drawn(stack, "temp_ambient:band").data_source.data["at"]) == days


def test_without_data_series_that_were_never_sent_are_left_out() -> None:
    stack = ChartStack("light")
    newest: dict[str, Any] = {"temp_outlet": (30.0, sample.START), "temp_dhw": (None, sample.START)}
    stack.update(sample.empty(), now=sample.END, newest=newest | {"compressor_running": (True, sample.START)})
    panes = stack._face.content["panes"]
    assert [[row["name"] for row in pane["rows"]] for pane in panes] == [["temp_outlet"], [], []]
    assert [lane["label"] for lane in stack._face.content["lanes"]] == [
        BY_NAME["compressor_running"].label,
        "Alerts",
    ]


def test_the_newest_values_are_told_in_the_unit_of_their_chart_and_no_figure_changes() -> None:
    stack = filled()
    before, content = columns(stack), stack._face.content
    stack.say_newest({"power": (1500.0, sample.END), "temp_dhw": (None, sample.END), "vibration": (1.0, 0)})
    assert stack._face.newest == {"power": [1.5, sample.END]}
    assert stack._face.content is content
    assert columns(stack).keys() == before.keys()


def test_open_alerts_run_beyond_the_edge_and_others_end(day: ChartStack) -> None:
    figure = day.figures[0]
    rights = [r.data_source.data["right"] for r in figure.renderers if "right" in r.data_source.data]
    assert [sample.START + 230 * sample.MINUTE] in rights
    assert any(len(right) == 1 and right[0] > sample.END for right in rights)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_theme_is_in_what_bokeh_draws_and_leaves_quantities_alone(theme: Theme) -> None:
    stack = filled(theme)
    grids = [grid for figure in stack.figures for grid in figure.center if hasattr(grid, "grid_line_color")]
    assert {grid.grid_line_color for grid in grids} == {TOKENS[theme].grid}
    assert drawn(stack, "critical").glyph.fill_color == TOKENS[theme].critical
    assert drawn(stack, "power").glyph.line_color == BY_NAME["power"].colour


def test_another_chart_is_one_row_of_the_table_as_the_how_to_says() -> None:
    how_to = (Path(__file__).parents[2] / "docs/how-to/add-a-chart.md").read_text()
    row = how_to.split("```python\n")[1].split("```")[0]
    pressure = eval(row, {"Pane": Pane, "Trace": Trace})
    panes = (*PANES, pressure)
    assert {"pressure_high", "pressure_low", "backup_active"} < set(fields_of(panes))
    answer = sample.series()
    answer["values"]["pressure_high"] = answer["values"]["temp_outlet"]
    stack = ChartStack("light", panes=panes)
    stack.update(answer, now=sample.END)
    shown = stack._face.content["panes"][3]
    assert [row["label"] for row in shown["rows"]] == ["High pressure"]
    assert len(drawn(stack, "pressure_high").data_source.data["at"]) > 1000


def test_every_pane_and_lane_names_quantities_there_are() -> None:
    assert {name for name in fields_of()} <= BY_NAME.keys()
    assert all(trace.quantity.kind != "flag" for pane in PANES for trace in pane.traces)
    assert all(BY_NAME[lane.flag].kind == "flag" for lane in LANES)


def test_figures_without_data_are_a_pure_function_of_the_table() -> None:
    built = plots.build(PANES, LANES, "light")
    read = read_frame(sample.empty(), NAMES, [])
    assert plots.put_lines(built.charts[0], read, []) == [20.0, 30.0, 40.0, 50.0]


COUNTED_S = 0.05
"""Processor time of `count` on a machine of which the next test's promise is made; on a slower one all takes longer."""


def count() -> int:
    return sum(n * n % 7 for n in range(1_000_000))


@pytest.mark.slow
def test_opening_takes_300_ms_and_an_update_of_eight_series_50_ms_of_a_processor() -> None:
    answer = sample.series(with_hole=False)
    answer["values"] |= {name: answer["values"]["temp_outlet"] for name in ("temp_indoor", "temp_compressor")}
    more = Pane("more", "More", "°C", (Trace("temp_indoor"), Trace("temp_compressor")), 5.0, (0.0, 50.0), 80)

    def least(act: Callable[[], Any]) -> float:
        """Processor time of the quickest of five: what else runs here only adds."""
        took = []
        for _ in range(5):
            began = process_time()
            act()
            took.append(process_time() - began)
        return min(took)

    slower = max(1.0, least(count) / COUNTED_S)
    assert least(lambda: ChartStack("light", panes=(*PANES, more))) < 0.3 * slower
    stack = ChartStack("light", panes=(*PANES, more))
    assert least(lambda: stack.update(answer, sample.episodes(), sample.ALERTS, now=sample.END)) < 0.05 * slower


def luminance(colour: str) -> float:
    """WCAG 2.2 relative luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_have_a_contrast_of_4_5_and_marks_of_3(theme: Any) -> None:
    tokens = TOKENS[theme]
    for surface in (tokens.card, tokens.page, tokens.sunken):
        for name in ("text", "secondary", "faint", "ink", "critical", "warning"):
            assert contrast(getattr(tokens, name), surface) >= 4.5, (name, surface)
        assert contrast(tokens.warning_fill, surface) >= 3.0, surface
        for quantity in QUANTITIES:
            assert contrast(quantity.colour, surface) >= 3.0, (quantity.name, surface)
    for name in ("critical", "warning"):
        assert contrast(getattr(tokens, name), getattr(tokens, f"{name}_tint")) >= 4.5, name
    assert set(msgspec.structs.asdict(tokens)) == set(TOKENS["light"].__struct_fields__)
