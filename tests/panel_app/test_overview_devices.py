"""Devices of the Overview page that are not there, not understood, offline or of hostile names."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.flows import wait_for
from tests.panel_app.overview import FULL
from tests.panel_app.site import Installation, Visitor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

Visit = Callable[..., Visitor]


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


def test_a_foreign_name_that_leads_here_gets_no_readings(installation: Installation):
    at = installation.publish("site1", **FULL)
    installation.stored("site1", at)
    for path, status in [("/csv/site1?resolution=raw", 200), ("/health", 200)]:
        assert installation.ask_pages(path).status_code == status
        refused = installation.ask_pages(path, Host="evil.example")
        assert refused.status_code == 421
        assert "site1" not in refused.text


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
