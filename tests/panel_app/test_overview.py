"""The Overview page as its readers meet it: a whole installation, a real browser."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from panel_app.watch import EVER
from tests.flows import wait_for
from tests.panel_app.aids import complaints
from tests.panel_app.site import FORGOTTEN_S, PHONE, Installation, Visitor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

Visit = Callable[..., Visitor]
MINUTE = 60_000
FULL: dict[str, Any] = {
    "version": "1.4.0",
    "temperature": {
        "inlet": 28.5,
        "outlet": 32.8,
        "ambient": 3.8,
        "compressor": 58.2,
        "indoor": 21.2,
        "dhw": 42.0,
    },
    "electrical": {"voltage": 231.4, "current": 5.8, "power": 1321.0},
    "pressure": {"high": 303.0, "low": 93.0},
    "status": {"compressor": True, "fan": True, "defrost": False, "dhw": False},
    "hydraulic": {"flow": 18.2, "pressure": 1.6},
    "setpoint": {"flow": 32.2, "indoor": 21.0, "dhw": 50.0},
}


def drawn(page: Page, column: str = "value") -> dict[str, list[float]]:
    """What the figures really hold, by name of what draws it."""
    script = """(column) => {
      const found = {};
      for (const model of Bokeh.documents[0]._all_models.values())
        if (model.type === 'GlyphRenderer' && model.name && model.data_source.data.value !== undefined)
          found[model.name] = [...model.data_source.data[column]].filter((value) => Number.isFinite(value));
      return found; }"""
    return dict(page.evaluate(script, column))


def cell(page: Page, label: str) -> Any:
    """A cell of the strip of newest values."""
    return page.locator(".cell", has=page.get_by_text(label, exact=True)).first


def test_before_any_device_the_page_says_how_to_begin_and_shows_the_first_one_by_itself(
    new_installation: Installation, visit: Visit
):
    page = visit(to=new_installation).open("/")
    expect(page.get_by_role("heading", name="No device has sent anything yet.")).to_be_visible()
    expect(page.locator("code")).to_contain_text("simulate_device.py --device-id site1")
    expect(page.get_by_role("button", name="Load the demo")).to_be_visible()
    new_installation.publish("site1", **FULL)
    expect(page.get_by_role("heading", name="site1")).to_be_visible()
    expect(page).to_have_url(re.compile(r"device=site1"))


def test_the_demo_is_said_to_load_at_once_and_nothing_is_red_until_its_houses_speak(
    new_installation: Installation, visit: Visit
):
    page = visit(to=new_installation).open("/")
    page.get_by_role("button", name="Load the demo").click()
    expect(page.get_by_role("heading", name="The demo is loading.")).to_be_visible()
    expect(page.get_by_role("button", name="Load the demo")).to_have_count(0)
    expect(page.locator(".device h1")).to_contain_text("demo-")
    expect(page.locator(".state .mark-critical")).to_have_count(0)


def test_a_reading_is_on_the_page_as_it_is_published(installation: Installation, visit: Visit):
    installation.publish("site1", **FULL)
    page = visit().open("/?device=site1")
    expect(cell(page, "Outdoor")).to_contain_text("3.8")
    installation.publish("site1", **{**FULL, "temperature": {**FULL["temperature"], "ambient": -4.25}})
    expect(cell(page, "Outdoor")).to_contain_text("−4.2")
    expect(page.locator(".sentence")).to_contain_text("All well: heating at 32.8")


def test_an_alert_stands_above_all_until_somebody_acknowledges_it(installation: Installation, visit: Visit):
    installation.publish("hot", **FULL)
    page = visit().open("/?device=hot")
    expect(page.locator(".sentence")).to_contain_text("All well")
    installation.publish("hot", **{**FULL, "electrical": {"voltage": 252.0}})
    expect(page.locator(".sentence")).to_contain_text("Needs you")
    banner = page.locator(".banner", has_text="voltage_high")
    expect(banner).to_contain_text("252.0")

    def standing() -> str:
        return str(len(installation.api.get("/api/alerts", params={"open_only": True, "start": EVER}).json()))

    wait_for(lambda: page.locator("#bell b").text_content() == standing())
    banner.get_by_role("button", name="Acknowledge").click()
    wait_for(lambda: installation.api.get("/api/alerts", params={"device_id": "hot"}).json()[0]["acknowledged_by"])
    expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)


def test_what_a_device_reports_itself_is_told_and_nothing_is_called_well(installation: Installation, visit: Visit):
    installation.publish("reports", **FULL)
    page = visit().open("/?device=reports")
    expect(page.locator(".sentence")).to_contain_text("All well")
    words = {"type": "fan", "level": "critical", "value": 3.14, "message": "ventilateur bloqué, <b>réarmer</b>"}
    installation.send("heatpump/reports/alerts", json.dumps(words))
    banner = page.locator(".banner", has_text="device_fan")
    expect(banner).to_contain_text("ventilateur bloqué, <b>réarmer</b>, value 3.14, reported by the device at")
    expect(page.locator(".sentence")).to_contain_text("Worth a look: the device reported fan, critical,")
    page.reload()
    expect(banner).to_be_visible()


def test_the_charts_hold_what_was_measured(installation: Installation, visit: Visit):
    begun = (time.time_ns() // 1_000_000) - 40 * MINUTE
    outlets = [30.0 + step / 8 for step in range(80)]
    for step, outlet in enumerate(outlets):
        installation.publish(
            "chart", at=begun + step * 30_000, temperature={"outlet": outlet}, electrical={"power": 900}
        )
    installation.stored("chart", begun + 79 * 30_000)
    page = visit().open("/?device=chart&span=6h")
    expect(page.locator(".series", has_text="Flow water").locator("b")).to_have_text(f"{outlets[-1]:.1f}")
    held = {value for name, values in drawn(page).items() if name.startswith("temp_outlet") for value in values}
    assert set(outlets) <= held


def test_a_shorter_span_draws_only_what_lies_in_it_and_never_back_in_time(
    installation: Installation, visit: Visit
):
    now = time.time_ns() // 1_000_000
    for begun in (now - 8 * 60 * MINUTE, now - 20 * MINUTE):
        for step in range(20):
            installation.publish("span", at=begun + step * MINUTE, temperature={"outlet": 30.0 + step})
    installation.stored("span", now - MINUTE)
    page = visit().open("/?device=span&span=24h")
    expect(page.locator(".series", has_text="Flow water").locator("b")).to_have_text("49.0")
    assert len(drawn(page)["temp_outlet"]) >= 40
    page.get_by_role("button", name="6 h", exact=True).click()
    wait_for(lambda: 20 <= len(drawn(page)["temp_outlet"]) < 40)
    times = drawn(page, "at")["temp_outlet"]
    assert times == sorted(times)


def test_a_span_without_readings_has_empty_figures_and_leads_to_the_nearest_ones(
    installation: Installation, visit: Visit
):
    installation.publish("chart2", **FULL)
    page = visit().open("/?device=chart2&span=custom&start=2024-01-01T00:00:00Z&end=2024-01-04T00:00:00Z")
    expect(page.get_by_text("chart2 sent nothing between")).to_be_visible()
    assert {name for name in drawn(page) if name.startswith("temp_outlet")}
    assert {name: values for name, values in drawn(page).items() if values} == {}


def test_what_was_chosen_is_in_the_url_and_comes_back(installation: Installation, visit: Visit):
    installation.publish("site1", **FULL)
    page = visit().open("/?device=site1")
    page.get_by_role("button", name="7 d").click()
    expect(page).to_have_url(re.compile("span=7d"))
    page.locator(".series", has_text="Return water").click()
    expect(page).to_have_url(re.compile("hide=temp_inlet"))
    page.reload()
    expect(page.get_by_role("button", name="7 d")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Earlier").click()
    expect(page).to_have_url(re.compile("span=custom"))
    page.get_by_role("button", name="Later").click()
    expect(page).to_have_url(re.compile("span=7d"))


def test_back_and_forward_show_what_was_chosen_there(installation: Installation, visit: Visit):
    at = installation.publish("steps", **FULL)
    installation.stored("steps", at)
    page = visit().open("/?device=steps")
    title, hidden = page.locator(".span-title h2"), page.locator(".series", has_text="Return water")
    expect(page.locator("#csv")).to_be_visible()
    document = page.evaluate("document.loadedHere = true")
    page.get_by_role("button", name="7 d").click()
    expect(title).to_have_text("Last 7 days")
    page.get_by_role("button", name="30 d").click()
    expect(title).to_have_text("Last 30 days")
    hidden.click()
    expect(page).to_have_url(re.compile("hide=temp_inlet"))
    page.go_back()
    expect(hidden).to_have_attribute("aria-pressed", "true")
    page.go_back()
    expect(title).to_have_text("Last 7 days")
    page.go_back()
    expect(title).to_have_text("Its newest readings")
    expect(page.locator("#csv")).to_have_attribute("href", re.compile("resolution=(raw|1m)"))
    assert page.url.endswith("/?device=steps")
    page.go_forward()
    expect(title).to_have_text("Last 7 days")
    page.go_forward()
    expect(title).to_have_text("Last 30 days")
    assert page.evaluate("document.loadedHere") == document, "nothing was loaded anew"


def test_the_device_that_the_page_found_is_no_step_of_its_own(installation: Installation, visit: Visit):
    installation.publish("site1", **FULL)
    page = visit().open("/pipeline")
    page.goto(f"{installation.url}/")
    expect(page).to_have_url(re.compile(r"/\?device="))
    page.go_back()
    expect(page).to_have_url(re.compile("/pipeline$"))


def test_a_span_that_cannot_be_shown_is_told_beside_its_fields_and_not_sent(
    installation: Installation, visit: Visit
):
    installation.publish("site1", **FULL)
    page = visit().open("/?device=site1&span=custom&start=2099-01-01T00:00:00Z&end=2099-01-02T00:00:00Z")
    told = page.get_by_text("The chosen span cannot be shown: it begins in the future.")
    expect(told).to_be_visible()
    expect(page.locator(".span-title h2")).to_have_text("Last 24 hours")
    page.locator("#span-custom summary").click()
    begin, end = (page.get_by_label(name, exact=True) for name in ("From", "To"))
    show = page.get_by_role("button", name="Show", exact=True)
    begin.fill("2026-01-02T10:00")
    end.fill("2026-01-02T09:00")
    show.click()
    assert end.evaluate("field => field.validationMessage") == "To must be later than From."
    assert page.locator("#span-custom").evaluate("details => details.open")
    assert "2099" in page.url
    begin.fill("2099-01-02T10:00")
    end.fill("2099-01-02T11:00")
    assert begin.evaluate("field => field.validity.rangeOverflow")
    begin.fill("2026-01-02T08:00")
    end.fill("2026-01-02T09:00")
    show.click()
    expect(page).to_have_url(re.compile("start=2026-01-02T08"))
    expect(told).to_have_count(0)


def test_the_fields_of_a_span_close_by_esc_and_by_a_press_elsewhere(installation: Installation, visit: Visit):
    installation.publish("site1", **FULL)
    page = visit().open("/?device=site1")
    fields, opener = page.locator("#span-custom form"), page.locator("#span-custom summary")
    opener.click()
    page.get_by_label("From", exact=True).fill("2026-01-02T10:00")
    expect(fields).to_be_visible()
    page.keyboard.press("Escape")
    expect(fields).not_to_be_visible()
    expect(opener).to_be_focused()
    opener.click()
    expect(fields).to_be_visible()
    page.locator("#sentence").click()
    expect(fields).not_to_be_visible()


def test_who_zooms_out_beyond_now_sees_what_was_before(installation: Installation, visit: Visit):
    installation.publish("site1", **FULL)
    page = visit().open("/?device=site1&span=7d")
    expect(page.locator(".span-title h2")).to_have_text("Last 7 days")
    expect(page.get_by_role("button", name="Show as table")).to_be_visible()
    page.locator(".charts").focus()

    days = """() => {
      const [start, end] = ["start", "end"].map((name) => new URLSearchParams(location.search).get(name));
      return end && Date.parse(end) <= Date.now() && (Date.parse(end) - Date.parse(start)) / 86_400_000; }"""
    for times, least in ((3, 0), (30, 1_800)):
        for _ in range(times):
            page.keyboard.press("-")
        page.wait_for_function(f"() => {{ const days = ({days})(); return {least} < days && days <= 3660; }}")
        expect(page.locator(".span-title h2")).to_have_text("Chosen span")
        expect(page.get_by_text("cannot be shown")).to_have_count(0)


def test_back_takes_the_charts_back_and_what_was_zoomed_can_be_zoomed_again(
    installation: Installation, visit: Visit
):
    installation.publish("site1", **FULL)
    page = visit().open("/?device=site1&span=custom&start=2026-01-02T06:00:00Z&end=2026-01-02T18:00:00Z")
    expect(page.locator(".span-title h2")).to_have_text("Chosen span")

    def shows(hours: int) -> None:
        page.wait_for_function(
            """(hours) => {
            const { start, end } = [...Bokeh.documents[0]._all_models.values()].find((m) => m.type === "Plot").x_range;
            const chosen = ["start", "end"].map((name) => Date.parse(new URLSearchParams(location.search).get(name)));
            return start === chosen[0] && end === chosen[1] && end - start === hours * 3_600_000; }""",
            arg=hours,
        )

    shows(12)
    page.locator(".charts").focus()
    for hours in (24, 48):
        page.keyboard.press("-")
        shows(hours)
    for hours in (24, 12):
        page.go_back()
        shows(hours)
    page.keyboard.press("-")
    shows(24)


def test_the_theme_is_the_systems_until_another_is_chosen_and_remembered(installation: Installation, visit: Visit):
    installation.publish("site1", **FULL)
    page = visit(theme="dark").open("/?device=site1")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"


def test_a_first_visit_from_a_dark_phone_has_a_phones_charts(installation: Installation, visit: Visit):
    installation.publish("site1", **FULL)
    page = visit(theme="dark", viewport=PHONE, has_touch=True).open("/?device=site1")
    parts = page.locator(".charts .legend").first, page.locator(".plot").first

    def legend_above_plot() -> bool:
        legend, plot = (part.bounding_box() for part in parts)
        return bool(legend and plot and legend["y"] < plot["y"])

    wait_for(legend_above_plot)


def test_a_device_that_nobody_knows_is_said_with_those_of_like_names(installation: Installation, visit: Visit):
    installation.publish("site1", **FULL)
    page = visit().open("/?device=site")
    expect(page.get_by_text("No device is called site.")).to_be_visible()
    page.get_by_role("button", name="site1").first.click()
    expect(page.get_by_role("heading", name="site1")).to_be_visible()


def test_a_device_that_was_never_understood_is_told_with_the_reason(installation: Installation, visit: Visit):
    installation.send("heatpump/mumbles/data", "not json")
    page = visit().open("/?device=mumbles")
    expect(page.locator("#state h1")).to_contain_text(
        "mumbles has sent only messages that could not be read: 1, the last because not_json."
    )
    page.get_by_role("link", name="Look at what was refused").click()
    expect(page).to_have_url(re.compile("/pipeline.*dead-letters"))
    expect(page.get_by_text("mumbles").first).to_be_visible()


def test_a_device_that_was_only_announced_is_waited_for_without_alarm(installation: Installation, visit: Visit):
    installation.send("heatpump/newborn/status/online", "true", retain=True)
    page = visit().open("/?device=newborn")
    expect(page.locator("#state")).to_contain_text("newborn is known; waiting for the first reading.")
    expect(page.locator("#main .mark-critical")).to_have_count(0)
    expect(page.get_by_text("sent nothing between")).to_have_count(0)


def test_a_machine_that_starts_too_often_is_worth_a_look(installation: Installation, visit: Visit):
    now = time.time_ns() // 1_000_000
    for minute in range(58, 0, -1):
        runs = minute % 8 >= 4  # of eight minutes four
        at = now - minute * MINUTE
        installation.publish("hasty", at=at, **{**FULL, "status": {"compressor": runs, "fan": runs}})
    installation.publish("hasty", **{**FULL, "status": {"compressor": False}})
    # The page asks for them once a minute.
    wait_for(lambda: len(installation.api.get("/api/devices/hasty/episodes?kind=cycle").json()) == 7)
    page = visit().open("/?device=hasty")
    expect(page.locator(".sentence")).to_contain_text(re.compile(r"Worth a look: [67] starts in the last hour"))
    expect(page.locator(".sentence")).to_contain_text("median run 4 min")


def test_a_device_that_went_offline_cannot_be_told_and_shows_where_its_way_is_broken(
    installation: Installation, visit: Visit
):
    installation.publish("gone", **FULL)
    page = visit().open("/?device=gone")
    expect(page.locator(".sentence")).to_contain_text("All well")
    installation.send("heatpump/gone/status/online", "false", retain=True)
    expect(page.locator(".sentence")).to_contain_text("Cannot tell")
    page.get_by_role("button", name="Check the path").click()
    expect(page.locator(".walk")).to_contain_text("connected")


def test_the_file_of_a_chart_is_what_the_api_answers(installation: Installation, visit: Visit):
    at = installation.publish("site1", **FULL)
    installation.stored("site1", at)
    page = visit().open("/?device=site1&span=6h")
    with page.expect_download() as begun:
        page.get_by_role("link", name="CSV").click()
    lines = begun.value.path().read_text().splitlines()
    assert lines[0].startswith("time,")
    assert "temp_outlet" in lines[0]
    assert len(lines) > 1


def test_a_foreign_name_that_leads_here_gets_no_readings(installation: Installation):
    at = installation.publish("site1", **FULL)
    installation.stored("site1", at)
    for path, status in [("/csv/site1?resolution=raw", 200), ("/health", 200)]:
        assert installation.ask_pages(path).status_code == status
        refused = installation.ask_pages(path, Host="evil.example")
        assert refused.status_code == 421
        assert "site1" not in refused.text


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [None, PHONE], ids=["desktop", "phone"])
def test_the_page_can_be_used_by_everybody(
    installation: Installation, visit: Visit, theme: str, viewport: dict[str, int] | None
):
    installation.publish("site1", **FULL)
    given = {"viewport": viewport, "has_touch": True} if viewport else {}
    page = visit(theme=theme, **given).open("/?device=site1")
    expect(page.locator(".sentence")).to_contain_text("All well")
    expect(page.get_by_role("button", name="Show as table")).to_be_visible()
    assert complaints(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_pages_that_are_closed_leave_nothing_behind(installation: Installation, visit: Visit):
    installation.publish("site1", **FULL)
    wait_for(installation.report, lambda report: report["sessions"] == 0, seconds=FORGOTTEN_S)
    before = installation.report()["tasks"]
    visitor = visit()
    pages = [visitor.context.new_page() for _ in range(8)]
    for page in pages:
        page.goto(f"{installation.url}/?device=site1")
    installation.publish("site1", **FULL)  # on a busy machine the first one is no longer recent
    expect(pages[-1].locator(".sentence")).to_contain_text("All well", timeout=180_000)
    assert installation.report()["sessions"] >= len(pages)
    for page in pages:
        page.close()
    wait_for(
        installation.report, lambda report: (report["sessions"], report["devices"]) == (0, 0), seconds=FORGOTTEN_S
    )
    # The browser keeps up to six connections open, a task each; a leak would be one for each page at least.
    wait_for(installation.report, lambda report: report["tasks"] < before + len(pages))


def test_a_name_that_is_hostile_is_only_a_name(installation: Installation, visit: Visit):
    installation.publish("evil", **FULL)
    name = "<img src=x onerror=alert(1)>"
    installation.send("heatpump/evil/status/version", name)
    told = {"name": name, "location": '"><script>alert(2)</script>'}
    wait_for(lambda: installation.api.put("/api/devices/evil", json=told).json()["outcome"] == "done")
    visitor = visit()
    dialogs: list[str] = []
    visitor.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page = visitor.open("/?device=evil")
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    assert dialogs == []
