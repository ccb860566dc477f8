"""The pages of a server that ./setup.sh set up, seen through nginx by people with a browser."""

import re
from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.deploy.deployed import NAME, PASSWORD, Deployed, Device, deployed
from tests.deploy.runner import needed
from tests.deploy.wire import HTTP, HTTPS
from tests.panel_app.site import Visitor

pytestmark = [pytest.mark.slow, needed("nginx", "mosquitto", "chromium")]

expect.set_options(timeout=90_000)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with deployed(tmp_path_factory.mktemp("stack") / "machine", "--store", "sqlite") as made:
        yield made


@pytest.fixture(scope="module")
def browser(site: Deployed) -> Iterator[Browser]:
    """A browser in the server's network, which finds the server under its name."""
    arguments = ["--no-sandbox", f"--host-resolver-rules=MAP {NAME} 127.0.0.1"]
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        yield made
        made.close()


@pytest.fixture(scope="module")
def devices(site: Deployed) -> Iterator[list[Device]]:
    with closing(site.device("site1")) as first, closing(site.device("site2")) as second:
        first.send(inlet=31.5, outlet=36.2)
        second.send(inlet=28.5)
        site.until_stored(2)
        yield [first, second]


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    made = Visitor(browser, f"https://{NAME}:{HTTPS}")
    made.page.set_default_timeout(90_000)
    yield made
    made.close()


def enter(page: Page, name: str, password: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_one_logs_in_sees_a_reading_as_it_is_sent_and_logs_out(
    site: Deployed, devices: list[Device], visitor: Visitor
):
    page = visitor.open("/?device=site1")
    expect(page).to_have_url(re.compile(r"/login\?next="))
    enter(page, "admin", site.admin)
    expect(page).to_have_url(f"{visitor.url}/?device=site1")
    expect(page.get_by_role("heading", name="site1", exact=True)).to_be_visible()
    expect(page.get_by_text("31.5", exact=False).first).to_be_visible()
    devices[0].send(inlet=42.5, outlet=47.1)
    expect(page.get_by_text("42.5", exact=False).first).to_be_visible()
    page.get_by_role("link", name="Pipeline").first.click()
    expect(page.get_by_role("heading", name="Pipeline").first).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(re.compile(r"/login$"))
    visitor.open("/")
    expect(page).to_have_url(re.compile(r"/login\?next="))


def test_a_wrong_password_lets_nobody_in(visitor: Visitor, devices: list[Device]):
    page = visitor.open("/")
    enter(page, "admin", "wrong")
    expect(page.get_by_text("Name or password is wrong")).to_be_visible()
    visitor.open("/pipeline")
    expect(page).to_have_url(re.compile(r"/login"))
    visitor.complaints[:] = [each for each in visitor.complaints if "401" not in each]  # the browser tells of it


def test_a_customer_sees_its_own_site_alone(site: Deployed, devices: list[Device], visitor: Visitor):
    site.make_user("customer2", "--device", "site2")
    page = visitor.open("/")
    enter(page, "customer2", PASSWORD)
    expect(page.get_by_role("heading", name="site2", exact=True)).to_be_visible()
    expect(page.get_by_text("28.5", exact=False).first).to_be_visible()
    assert "site1" not in page.content()
    visitor.open("/?device=site1")
    expect(page.get_by_text("No device that customer2 may see is called site1.")).to_be_visible()
    assert "31.5" not in page.content() and "42.5" not in page.content()


def test_at_the_machine_itself_one_needs_no_certificate(site: Deployed, devices: list[Device], browser: Browser):
    here = Visitor(browser, f"http://localhost:{HTTP}")
    page = here.open("/?device=site2")
    enter(page, "admin", site.admin)
    expect(page.get_by_role("heading", name="site2", exact=True)).to_be_visible()
    expect(page.get_by_text("28.5", exact=False).first).to_be_visible()
    here.close()
