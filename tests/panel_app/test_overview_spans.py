"""The spans of the Overview page: chosen, in the address, gone back to, zoomed, and what is drawn in them."""

import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.flows import wait_for
from tests.panel_app.overview import FULL, MINUTE, drawn
from tests.panel_app.site import Installation, Visitor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

Visit = Callable[..., Visitor]


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
