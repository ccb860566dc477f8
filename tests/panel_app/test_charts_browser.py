"""A ChartStack in a real browser: what is drawn, read, moved, hidden, and said."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect, sync_playwright

from panel_app import words
from tests.panel_app import sample_day as sample
from tests.panel_app.aids import complaints
from tests.panel_app.stack_page import Site, Visit, served

pytestmark = pytest.mark.slow

_OURS = ("http://127.0.0.1:", "blob:", "data:")
DESKTOP, PHONE = {"width": 1216, "height": 640}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def opened() -> Iterator[tuple[Site, str, BrowserContext]]:
    site = Site()
    with sync_playwright() as playwright, served(site.make) as url:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        # Far from the site's zone: its clock must be shown all the same.
        context = browser.new_context(timezone_id="Asia/Tokyo", has_touch=True)
        context.set_default_timeout(60_000)
        yield site, url, context
        browser.close()


@pytest.fixture
def visit(opened: tuple[Site, str, BrowserContext], request: pytest.FixtureRequest) -> Iterator[Visit]:
    """A visit; by `indirect`: theme, phone, answer. Ends with a clean console and no request to elsewhere."""
    site, url, context = opened
    site.wanted = {"theme": "light", "phone": False, "answer": sample.series()} | getattr(request, "param", {})
    page = context.new_page()
    page.set_viewport_size(PHONE if site.wanted["phone"] else DESKTOP)
    complaints: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: complaints.append(str(e)))
    page.on("request", lambda r: None if r.url.startswith(_OURS) else complaints.append(r.url))
    page.goto(url)
    expect(page.locator(".charts .legend").first).to_be_visible()
    page.wait_for_function("Bokeh.documents.length && Bokeh.documents.every((d) => d.is_idle)")
    yield Visit(page, *site.made[-1])
    page.close()
    # Counting pixels (`ink`) is what this warning is about.
    assert [said for said in complaints if "willReadFrequently" not in said] == []


def test_lines_are_drawn_and_the_read_out_has_the_newest_values(visit: Visit) -> None:
    expect(visit.value("Flow water")).to_have_text(f"{sample.reading(1439)['temp_outlet']:.1f}")
    expect(visit.value("Electrical power")).to_have_text("0.01")
    expect(visit.page.locator(".time").first).to_have_text("14:07")
    assert all(visit.ink(chart) > 500 for chart in range(4))
    expect(visit.page.locator(".axis .midnight")).to_have_text("Tue 10 Feb")
    expect(visit.page.locator(".over .missing")).to_have_text("no data 57\u00a0min")
    expect(visit.page.locator(".over .alert").first).to_contain_text("critical")
    expect(visit.page.locator(".footer")).to_contain_text("coverage 96.0\u00a0%, 57\u00a0min missing 21:50–22:47")


def begun(minute: int) -> dict[str, Any]:
    """The day of a device that was silent until a minute of it."""
    gap = [[sample.iso(sample.START), sample.iso(sample.START + minute * sample.MINUTE)]]
    later = sample.series(minutes=range(minute, 1440), with_hole=False)
    return later | {"start": sample.iso(sample.START), "gaps": gap}


@pytest.mark.parametrize("visit", [{"answer": begun(20)}], indirect=True)
def test_a_hole_that_hardly_reaches_into_the_chart_has_no_name_beside_the_lines(visit: Visit) -> None:
    expect(visit.page.locator(".over .missing")).to_have_count(0)


@pytest.mark.parametrize("visit", [{"answer": begun(600)}], indirect=True)
def test_a_hole_that_reaches_far_into_the_chart_has_its_name(visit: Visit) -> None:
    expect(visit.page.locator(".over .missing")).to_have_text("no data 10\u00a0h")


def test_the_cursor_shows_its_time_and_the_values_there_and_goes_with_the_mouse(visit: Visit) -> None:
    visit.hover(0.5)
    pill = visit.page.locator(".pill")
    expect(pill).to_have_text("Tue 10 Feb 02:07")
    expect(visit.value("Flow water")).to_have_text(f"{sample.reading(719)['temp_outlet']:.1f}")
    expect(visit.page.locator(".lanes .legend span").first).to_have_text("off since 01:50")
    assert visit.page.locator(".cursor:visible").count() == 4
    visit.hover(0.47)
    expect(visit.page.locator(".lanes .legend span").first).to_have_text("on since 00:52")
    visit.hover(0.34)
    expect(visit.value("Flow water")).to_have_text("–")
    expect(visit.page.locator(".lanes .legend span").first).to_have_text("not known")
    visit.page.mouse.move(5, 5)
    expect(pill).to_have_count(0)
    expect(visit.page.locator(".time").first).to_have_text("14:07")


def test_the_keyboard_reads_zooms_and_lets_go(visit: Visit) -> None:
    page = visit.page
    page.locator(".charts").focus()
    page.keyboard.press("End")
    expect(page.locator(".pill")).to_have_text("Tue 10 Feb 14:07")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".pill")).to_have_text("Tue 10 Feb 14:06")
    page.keyboard.press("Shift+ArrowLeft")
    expect(page.locator(".pill")).to_have_text("Tue 10 Feb 13:56")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".pill")).to_have_text("Tue 10 Feb 13:57")
    expect(page.locator("[aria-live]")).to_contain_text("Tue 10 Feb 13:57: Flow water")
    page.keyboard.press("Home")
    expect(page.locator(".pill")).to_have_text("Mon 9 Feb 14:08")
    page.keyboard.press("Escape")
    expect(page.locator(".pill")).to_have_count(0)
    page.keyboard.press("+")
    page.wait_for_function("() => true")
    expect(
        page.locator(".axis .tick", has_text="20:30").or_(page.locator(".axis .tick", has_text="21:00"))
    ).to_be_visible()
    visit.until(lambda: visit.told == [(sample.START + 6 * 3_600_000, sample.END - 6 * 3_600_000)])
    page.keyboard.press("t")
    expect(page.locator("table")).to_be_visible()


def test_a_drag_moves_the_span_and_the_page_is_told(visit: Visit) -> None:
    visit.drag(0.5, 0.75)
    moved = pytest.approx(sample.START - 6 * 3_600_000, abs=600_000)
    visit.until(lambda: bool(visit.told) and visit.told[-1][0] == moved)
    start, end = visit.told[-1]
    assert end - start == pytest.approx(24 * 3_600_000, rel=1e-6)


def test_a_slow_drag_is_told_once_when_it_is_over(visit: Visit) -> None:
    visit.drag(0.5, 0.75, rest_ms=700)
    visit.until(lambda: bool(visit.told))
    visit.drag(0.5, 0.6)
    visit.until(lambda: visit.told[-1][0] < sample.START - 7 * 3_600_000)
    assert len(visit.told) == 2


_DRAWN_WHILE_MOVED = """(charts) => {
  const face = [...Bokeh.documents[0]._all_models.values()].find((model) => model.attributes.content);
  charts.dispatchEvent(new KeyboardEvent("keydown", { key: "-" }));
  face.content = { ...face.content, now: face.content.now + 1 };
}"""


def test_what_is_drawn_while_a_reader_moves_takes_nobody_back(visit: Visit) -> None:
    charts = visit.page.locator(".charts")
    charts.evaluate(_DRAWN_WHILE_MOVED)
    visit.until(lambda: bool(visit.told))
    assert visit.told == [(sample.START - 12 * 3_600_000, sample.END + 12 * 3_600_000)]
    assert visit.start() == visit.stack.span[0] == visit.told[0][0]


def test_a_plain_wheel_scrolls_the_page_and_with_ctrl_it_zooms(visit: Visit) -> None:
    visit.hover(0.5)
    visit.page.set_viewport_size({"width": 1216, "height": 400})
    visit.page.mouse.wheel(0, 100)
    visit.page.wait_for_function("() => scrollY > 0")
    visit.page.keyboard.down("Control")
    visit.page.mouse.wheel(0, -100)
    visit.page.keyboard.up("Control")
    visit.until(lambda: bool(visit.told))
    start, end = visit.told[-1]
    assert sample.START < start < end < sample.END


def test_a_click_on_its_name_hides_a_series_and_another_shows_it(visit: Visit) -> None:
    button = visit.page.get_by_role("button", name="Hot water tank")
    before = visit.ink(0)
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")
    expect(visit.value("Hot water tank")).to_have_text("–")
    visit.until(lambda: visit.told == [["temp_dhw"]] and visit.stack.hidden == ["temp_dhw"])
    visit.until(lambda: visit.ink(0) != before)
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(visit.value("Hot water tank")).not_to_have_text("–")


_ANOTHER_SCALE = """() => {
  const face = [...Bokeh.documents[0]._all_models.values()].find((model) => model.attributes.content);
  const panes = face.content.panes.map((pane) => ({ ...pane, high: pane.high + 1 }));
  face.content = { ...face.content, panes };
}"""


@pytest.mark.parametrize(
    ("button", "state", "pressed"),
    [(".series[data-name=temp_dhw]", "aria-pressed", "false"), (".footer button", "aria-expanded", "true")],
)
def test_what_is_drawn_while_a_button_is_pressed_takes_neither_the_press_nor_the_focus(
    visit: Visit, button: str, state: str, pressed: str
) -> None:
    found = visit.page.locator(button)
    found.hover()
    visit.page.mouse.down()
    visit.page.evaluate(_ANOTHER_SCALE)
    visit.page.mouse.up()
    expect(found).to_have_attribute(state, pressed)
    expect(found).to_be_focused()


def test_the_stack_is_one_tab_stop_and_its_series_are_reached_by_arrows(visit: Visit) -> None:
    page = visit.page
    page.keyboard.press("Tab")
    expect(page.locator(".charts")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("button", name="Return water")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Return water")).to_have_attribute("aria-pressed", "false")
    expect(page.get_by_role("button", name="Return water")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".charts")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Show as table")).to_be_focused()


def test_the_table_has_the_charts_values(visit: Visit) -> None:
    visit.page.get_by_role("button", name="Show as table").click()
    table = visit.page.get_by_role("table")
    expect(table.get_by_role("columnheader").nth(1)).to_have_text("Flow water, °C")
    first = table.locator("tbody tr").first
    expect(first.get_by_role("rowheader")).to_have_text("Tue 10 Feb 14:07")
    expect(first.locator("td").first).to_have_text(f"{sample.reading(1439)['temp_outlet']:.1f}")
    expect(table.locator("tbody tr")).to_have_count(200)
    visit.page.get_by_role("button", name="Hide table").click()
    expect(table).to_have_count(0)


@pytest.mark.parametrize("visit", [{"answer": sample.empty()}], indirect=True)
def test_without_data_every_chart_is_empty_hatched_and_named(visit: Visit) -> None:
    expect(visit.page.locator(".pane:visible")).to_have_count(4)
    expect(visit.page.locator(".over .missing")).to_contain_text("no data")
    expect(visit.value("Flow water")).to_have_text("–")
    expect(visit.page.locator(".footer")).to_contain_text("0 readings")
    assert [visit.ink(chart) for chart in range(4)] == [0, 0, 0, 0]


def test_a_newer_value_is_read_out_while_there_is_no_cursor(visit: Visit) -> None:
    visit.stack.say_newest({"power": (1234.0, sample.END + 2_000), "temp_outlet": (20.0, sample.START)})
    # Told from this thread: the next message of the page brings it.
    visit.page.get_by_role("button", name="Hot water tank").click()
    expect(visit.value("Electrical power")).to_have_text("1.23")
    expect(visit.page.locator(".time").last).to_have_text("14:08")
    expect(visit.value("Flow water")).to_have_text(f"{sample.reading(1439)['temp_outlet']:.1f}")
    visit.hover(0.5)
    expect(visit.value("Electrical power")).to_have_text(f"{sample.reading(719)['power'] / 1000:.2f}")


def crowd() -> list[dict[str, Any]]:
    """Alerts close to each other, over each other, and open ones that began long ago."""
    short = [sample.alert("current", "warning", minute, minute + 20) for minute in range(1090, 1250, 25)]
    return [
        sample.alert("compressor_temp", "critical", 1085, 1100),
        *short,
        sample.alert("voltage_low", "warning", 1365, 1370),
        sample.alert("pressure_high", "critical", 1432, None),
    ]


_BOXES = "(all) => all.map((e) => e.getBoundingClientRect()).map(({ left, right }) => [left, right])"


@pytest.mark.parametrize(
    "visit",
    [
        {"alerts": crowd()},
        {"alerts": crowd(), "phone": True, "answer": sample.series(minutes=range(1080, 1440))},
    ],
    indirect=True,
)
def test_alerts_are_named_where_there_is_room_and_nowhere_else(visit: Visit) -> None:
    lane = visit.page.locator(".plot").last
    box = lane.bounding_box()
    assert box is not None
    named = sorted(visit.page.locator(".over .alert").evaluate_all(_BOXES))
    assert named
    assert len(named) < len(crowd())
    assert box["x"] <= named[0][0]
    assert named[-1][1] <= box["x"] + box["width"]
    start, end = visit.stack.span
    for alert in crowd():
        since, until = (words.instant(alert[part] or sample.iso(end)) for part in ("since", "cleared_at"))
        left, right = (box["x"] + box["width"] * (at - start) / (end - start) for at in (since, until))
        assert all(to <= left or at >= right for at, to in named)
    assert all(a[1] < b[0] for a, b in pairwise(named))


@pytest.mark.parametrize("width", [720, 480])
def test_times_do_not_lie_on_each_other_however_narrow_the_window(visit: Visit, width: int) -> None:
    visit.page.set_viewport_size({"width": width, "height": 640})
    script = "(w) => document.documentElement.clientWidth === w"
    visit.page.wait_for_function(script, arg=width)
    ticks = visit.page.locator(".axis .tick")
    expect(ticks.filter(has_text="Tue 10 Feb")).to_be_visible()
    visit.until(lambda: all(a[1] < b[0] for a, b in pairwise(sorted(ticks.evaluate_all(_BOXES)))))
    assert ticks.count() >= 2


def test_the_last_line_stands_off_the_border(visit: Visit) -> None:
    stack, footer = (visit.page.locator(part).bounding_box() for part in (".stack", ".footer"))
    assert stack is not None
    assert footer is not None
    assert stack["y"] + stack["height"] - footer["y"] - footer["height"] >= 12


def idle() -> dict[str, Any]:
    """The day, of a machine that rested its last hour and whose set point was last sent before."""
    answer = sample.series()
    values = answer["values"]
    for part in ("mean", "min", "max"):
        values["heat_power"][part][-60:] = [0.0] * 60
        values["power"][part][-60:] = [12.0] * 60
        values["setpoint_flow"][part][-60:] = [None] * 60
    values["heat_kwh_space"][-60:], values["electric_kwh_space"][-60:] = [0.0] * 60, [0.0002] * 60
    return answer


@pytest.mark.parametrize("visit", [{"answer": idle()}], indirect=True)
def test_what_is_no_longer_known_is_not_read_out_as_new(visit: Visit) -> None:
    expect(visit.page.locator(".time").first).to_have_text("14:07")
    expect(visit.value("Flow set point")).to_have_text("–")
    expect(visit.value("COP, 30")).to_have_text("–")
    expect(visit.value("Electrical power")).to_have_text("0.01")
    visit.hover(0.95)
    expect(visit.value("Flow set point")).not_to_have_text("–")


@pytest.mark.parametrize(
    "visit", [{"phone": True, "answer": sample.series(minutes=range(1080, 1440))}], indirect=True
)
def test_on_a_phone_the_read_out_is_above_and_nothing_scrolls_sideways(visit: Visit) -> None:
    page = visit.page
    legend, plot = (page.locator(part).first.bounding_box() for part in (".legend", ".plot"))
    assert legend is not None and plot is not None
    assert legend["y"] + legend["height"] <= plot["y"] + 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    heights = page.locator("button").evaluate_all("(all) => all.map((b) => b.getBoundingClientRect().height)")
    assert min(heights) >= 44
    plots = page.locator(".plot").evaluate_all("(all) => all.map((p) => p.getBoundingClientRect().height)")
    assert max(plots) <= 260
    page.touchscreen.tap(plot["x"] + plot["width"] / 2, plot["y"] + 80)
    expect(page.locator(".pill").first).to_have_text("Tue 10 Feb 11:07")
    expect(page.locator(".labels span").first).to_be_visible()
    page.touchscreen.tap(legend["x"] + 60, legend["y"] + 12)
    expect(page.locator(".pill")).to_have_count(0)


@pytest.mark.parametrize("visit", [{"theme": "light"}, {"theme": "dark"}, {"phone": True}], indirect=True)
def test_nothing_stands_in_the_way_of_a_reader_with_aids(visit: Visit) -> None:
    visit.page.get_by_role("button", name="Show as table").click()
    expect(visit.page.get_by_role("table")).to_be_visible()
    assert complaints(visit.page) == []
