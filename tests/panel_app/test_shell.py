"""What stands around every page: finding, the bell, the bar at every width, and an address without a page."""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.panel_app.aids import complaints
from tests.panel_app.site import PHONE, Installation, Visitor

pytestmark = pytest.mark.slow

Visit = Callable[..., Visitor]
WELL: dict[str, Any] = {"temperature": {"outlet": 32.8, "inlet": 28.5}, "electrical": {"voltage": 231.0}}
TROUBLE: dict[str, Any] = {**WELL, "electrical": {"voltage": 252.0}}
NAME = "Kastanienweg 13 north house"
SMALL_PHONE, ZOOMED = {"width": 360, "height": 740}, {"width": 720, "height": 450}


def at_rest(page: Page) -> Page:
    """Wait until the bar is drawn and followed, what the page is about is there, and the letters are its own."""
    expect(page.locator("#live")).to_contain_text(re.compile(r"^\s*Live"))
    expect(page.locator("#bell")).to_be_visible()
    expect(page.get_by_role("heading", level=1).first).to_be_attached()
    page.evaluate("document.fonts.ready.then(() => true)")
    return page


def test_a_slash_finds_and_in_a_field_it_is_a_slash(installation: Installation, visit: Visit):
    installation.publish("find1", **WELL)
    installation.publish("find2", **WELL)
    page = at_rest(visit().open("/?device=find1"))
    field = page.get_by_role("combobox", name="Find a site or page")
    page.keyboard.press("/")
    expect(field).to_be_focused()
    page.keyboard.type("a/b")
    expect(field).to_have_value("a/b")
    expect(page.locator("#found option[value=find2]")).to_have_count(1)
    installation.publish("find3", **WELL)
    expect(page.locator("#found option[value=find3]")).to_have_count(1)
    expect(field).to_have_value("a/b")  # what is drawn anew does not take it away
    field.fill("find2")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("device=find2"))


def test_a_part_of_a_name_and_enter_open_the_first_that_has_it(installation: Installation, visit: Visit):
    installation.publish("tree", **WELL)
    installation.api.put("/api/devices/tree", json={"name": NAME})
    page = at_rest(visit().open("/pipeline"))
    expect(page.locator("#found option", has_text=NAME)).to_have_count(1)
    page.keyboard.press("/")
    page.keyboard.type("NIENWEG")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("device=tree"))


def test_on_a_phone_find_opens_over_the_bar_and_escape_puts_it_away(installation: Installation, visit: Visit):
    installation.publish("find1", **WELL)
    page = at_rest(visit(viewport=PHONE, has_touch=True).open("/?device=find1"))
    field = page.get_by_role("combobox", name="Find a site or page")
    expect(field).not_to_be_visible()
    page.get_by_role("button", name="Find a site or page").tap()
    expect(field).to_be_focused()
    assert page.locator(".finder").evaluate("found => found.getBoundingClientRect().width") == PHONE["width"]
    assert complaints(page) == []
    page.keyboard.press("Escape")
    expect(field).not_to_be_visible()
    expect(page.get_by_role("button", name="Find a site or page")).to_be_focused()
    page.keyboard.press("/")
    expect(field).to_be_focused()
    field.fill("Pipeline")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/pipeline"))


def test_the_bell_lists_the_alerts_of_all_devices_and_leads_to_them(installation: Installation, visit: Visit):
    installation.publish("calm", **WELL)
    installation.publish("bell1", **TROUBLE)
    page = at_rest(visit().open("/?device=calm"))
    listed, bell = page.get_by_role("navigation", name="Open alerts"), page.locator("#bell")
    expect(bell.locator("b")).to_be_visible()
    expect(listed).not_to_be_visible()
    bell.focus()
    page.keyboard.press("Enter")
    expect(listed).to_be_visible()
    own = listed.get_by_role("link", name=re.compile("^bell1"))
    expect(own).to_contain_text("voltage_high · critical")
    page.keyboard.press("Tab")
    expect(listed.get_by_role("link").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(listed).not_to_be_visible()
    expect(bell).to_be_focused()
    bell.click()
    expect(listed).to_be_visible()
    page.mouse.click(500, 700)
    expect(listed).not_to_be_visible()
    bell.click()
    own.click()
    expect(page).to_have_url(re.compile("device=bell1"))


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [None, PHONE], ids=["desktop", "phone"])
def test_the_opened_bell_can_be_used_by_everybody(
    installation: Installation, visit: Visit, theme: str, viewport: dict[str, int] | None
):
    installation.publish("bell1", **TROUBLE)
    given = {"viewport": viewport} if viewport else {}
    page = at_rest(visit(theme=theme, **given).open("/?device=bell1"))
    page.locator("#bell").click()
    listed = page.get_by_role("navigation", name="Open alerts")
    expect(listed.get_by_role("link").first).to_be_visible()
    assert complaints(page) == []
    box = listed.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= page.evaluate("innerWidth")


@pytest.mark.parametrize("viewport", [PHONE, SMALL_PHONE, ZOOMED], ids=["390", "360", "200 % zoom"])
def test_the_bar_shows_the_whole_name_and_nothing_runs_under_its_neighbour(
    installation: Installation, visit: Visit, viewport: dict[str, int]
):
    installation.publish("tree", **TROUBLE)
    installation.api.put("/api/devices/tree", json={"name": NAME})
    page = at_rest(visit(viewport=viewport).open("/?device=tree"))
    title = page.locator("label.chooser .chosen")
    expect(title).to_have_text(f"tree · {NAME}")
    assert title.evaluate("it => it.scrollHeight <= it.clientHeight && it.scrollWidth <= it.clientWidth")
    expect(page.locator("#bell b")).to_be_visible()
    # All in one look: the time that comes to stand in the bar moves the others.
    in_order = page.locator(".menu, .chooser, .to-find, #live, #bell")
    edges = in_order.evaluate_all(
        "all => all.map((it) => it.getBoundingClientRect()).map((it) => [it.left, it.right])"
    )
    assert len(edges) == 5
    assert all(left[1] <= right[0] for left, right in pairwise(edges)), edges
    assert edges[-1][1] <= viewport["width"]


def test_on_a_phone_a_page_about_no_device_is_headed_by_the_products_name(
    installation: Installation, visit: Visit
):
    installation.publish("find1", **WELL)
    page = at_rest(visit(viewport=PHONE).open("/pipeline"))
    expect(page.locator("a.chosen")).to_have_text("heatpump")
    expect(page.locator("a.chosen")).to_be_visible()


def test_on_a_phone_the_theme_is_chosen_in_the_drawer(installation: Installation, visit: Visit):
    installation.publish("find1", **WELL)
    page = at_rest(visit(viewport=PHONE).open("/?device=find1"))
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("button", name="Light or dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_styles_and_icons_are_for_who_is_not_logged_in_too(installation: Installation):
    through_a_proxy = {"X-Forwarded-For": "192.0.2.1"}
    assert "/login?next=" in installation.ask_pages("/", **through_a_proxy).headers["Location"]
    form = installation.ask_pages("/login", **through_a_proxy)
    assert "Nobody can log in at this address." in form.text
    for path in re.findall(r'"(/assets/[^"]+)"', form.text):
        assert installation.ask_pages(path, **through_a_proxy).status_code == 200, path
    for path in ("/assets/", "/assets/../serve.py", "/assets/%2e%2e/serve.py", "/assets/none.css"):
        assert installation.ask_pages(path).status_code in (403, 404), path


def test_a_slash_too_many_leads_to_the_page(installation: Installation):
    answer = installation.ask_pages("/pipeline/?node=validate")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/pipeline?node=validate")
    assert installation.ask_pages("/pipeline/").headers["Location"] == "/pipeline"
    assert installation.ask_pages("/?device=site1").status_code == 200
    assert installation.ask_pages("//").status_code == 404


def test_an_address_without_a_page_is_answered_with_a_way_to_the_first(installation: Installation, visit: Visit):
    visitor = visit(theme="dark")
    page = visitor.open("/no/such/page?device=site1")
    expect(page.get_by_role("heading", name="There is no page at this address.")).to_be_visible()
    assert complaints(page) == []
    visitor.complaints.clear()  # the browser's own of the 404
    page.get_by_role("link", name="Open the first page").click()
    at_rest(page)
    assert installation.ask_pages("/no/such/page").status_code == 404
    posted = httpx.post(f"{installation.url}/no/such/page", trust_env=False, timeout=30)
    assert posted.status_code == 404
