"""The Overview page as its readers meet it: a whole installation, a real browser."""

import json
import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from panel_app.watch import EVER
from tests.flows import wait_for
from tests.panel_app.aids import complaints
from tests.panel_app.overview import FULL, MINUTE, cell
from tests.panel_app.site import FORGOTTEN_S, PHONE, Installation, Visitor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

Visit = Callable[..., Visitor]


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
