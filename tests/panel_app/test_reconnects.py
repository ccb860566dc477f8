"""What a reader sees while parts of the system are away, and that the page goes on by itself afterwards."""

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Route, expect

from tests.brokers import free_port
from tests.flows import wait_for
from tests.panel_app.site import Installation, Visitor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

Visit = Callable[..., Visitor]
LONG_MS = 90_000
LIVE = re.compile(r"^\s*Live")
READING: dict[str, Any] = {"temperature": {"inlet": 30.5, "outlet": 35.5}, "electrical": {"voltage": 230.0}}


def opens_again(visitor: Visitor) -> None:
    """Wait until there is a new page, live."""
    page = visitor.page
    page.wait_for_function("() => !window.isTheOldPage", timeout=LONG_MS)
    expect(page.locator("#live")).to_contain_text(LIVE, timeout=LONG_MS)
    expect(page.locator(".lost")).not_to_be_visible()
    expect(page).to_have_url(re.compile("device=kept"))
    visitor.complaints.clear()  # the browser's own of a server that did not answer


@pytest.mark.parametrize("path", ["/?device=kept", "/pipeline?device=kept"])
def test_a_page_whose_server_is_gone_says_so_and_opens_again_by_itself(
    installation: Installation, visit: Visit, path: str
):
    installation.publish("kept", **READING)
    visitor = visit()
    page = visitor.open(path)
    expect(page.locator("#live")).to_contain_text(LIVE)
    page.evaluate("window.isTheOldPage = true")
    with installation.held():
        os.kill(installation.pid_of("panel"), signal.SIGKILL)
        expect(page.locator(".lost")).to_contain_text("Not live since", timeout=LONG_MS)
        expect(page.locator("#live")).not_to_be_visible()
    opens_again(visitor)


@pytest.mark.parametrize("asked", ["/static/js/bokeh.min.js*", "/assets/shell.js", "/ws"])
def test_a_page_whose_server_dies_while_it_opens_says_so_and_opens_again_by_itself(
    installation: Installation, visit: Visit, asked: str
):
    installation.publish("kept", **READING)
    visitor = visit()
    page = visitor.page
    died: list[int] = []

    def die_once(*_: object) -> None:
        if not died:
            died.append(installation.pid_of("panel"))
            os.kill(died[0], signal.SIGKILL)
            page.unroute_all(behavior="ignoreErrors")

    # What is asked for last before the WebSocket is given from before the end of the server.
    if asked == "/ws":

        def deliver(route: Route) -> None:
            answer = route.fetch()
            die_once()
            route.fulfill(response=answer)

        page.route(f"{visitor.url}/assets/idiomorph.min.js", deliver)
    else:

        def refuse(route: Route) -> None:
            die_once()
            route.abort("connectionrefused")

        page.route(f"{visitor.url}{asked}", refuse)
    page.add_init_script("window.isTheOldPage = !sessionStorage.seen; sessionStorage.seen = 1")
    with installation.held():
        page.goto(f"{visitor.url}/?device=kept", wait_until="commit")
        expect(page.locator(".lost")).to_contain_text("Not live since", timeout=LONG_MS)
    opens_again(visitor)


def test_a_page_whose_connection_stays_mute_says_so_when_its_server_is_gone(
    installation: Installation, visit: Visit
):
    installation.publish("kept", **READING)
    visitor = visit()
    visitor.page.route_web_socket("**/ws", lambda socket: None)
    page = visitor.open("/?device=kept")
    page.evaluate("window.isTheOldPage = true")
    with installation.held():
        os.kill(installation.pid_of("panel"), signal.SIGKILL)
        expect(page.locator(".lost")).to_contain_text("Not live since", timeout=LONG_MS)
    page.wait_for_function("() => !window.isTheOldPage", timeout=LONG_MS)
    visitor.complaints.clear()


COUNT_WAITS = """
  window.waits = 0;
  const later = setTimeout;
  window.setTimeout = (act, ...given) => {
    window.waits += act.name === "ask";
    return later(act, ...given);
  };
"""
"""How often a page has begun to wait until it asks again whether its server is there: the answer before is known."""


def test_a_page_that_is_not_drawn_is_opened_again_and_waits_longer_each_time(
    installation: Installation, visit: Visit
):
    installation.publish("kept", **READING)
    visitor = visit()
    page = visitor.page
    page.clock.install(time=0)
    page.clock.pause_at(1)
    page.add_init_script(COUNT_WAITS)
    page.route(f"{visitor.url}/static/js/bokeh.min.js*", lambda route: route.abort())
    visitor.open("/?device=kept")
    given_up = page.locator(".is-lost")
    for patience in (30, 60):
        page.evaluate("window.isTheOldPage = true")
        for asked in range(patience // 5):
            page.wait_for_function("asked => window.waits > asked", arg=asked)
            page.clock.run_for(5_000)
        page.wait_for_function("asked => window.waits > asked", arg=patience // 5)
        assert not given_up.count(), f"given up within {patience} s"
        with page.expect_navigation():
            while not given_up.count():
                page.clock.run_for(1_000)
            page.clock.run_for(2_000)
    page.unroute_all()
    page.reload()
    expect(page.locator("#live")).to_contain_text(LIVE)
    with page.expect_response("**/alive"):
        page.clock.run_for(5_000)
    wait_for(lambda: page.evaluate("sessionStorage.heatpump_undrawn ?? ''"), lambda count: not count)
    visitor.complaints.clear()


def test_a_page_whose_server_hangs_says_so_and_is_live_again_when_it_goes_on(
    installation: Installation, visit: Visit
):
    installation.publish("kept", **READING)
    visitor = visit()
    page = visitor.open("/?device=kept")
    expect(page.locator("#live")).to_contain_text(LIVE)
    page.evaluate("window.isTheOldPage = true")
    pid = installation.pid_of("panel")
    os.kill(pid, signal.SIGSTOP)
    try:
        expect(page.locator(".lost")).to_contain_text("Not live since", timeout=LONG_MS)
    finally:
        os.kill(pid, signal.SIGCONT)
    expect(page.locator(".lost")).not_to_be_visible()
    expect(page.locator("#live")).to_contain_text(LIVE)
    assert page.evaluate("window.isTheOldPage"), "nothing was lost, so nothing is opened anew"
    visitor.complaints.clear()


def test_charts_keep_their_name_while_another_span_is_waited_for(installation: Installation, visit: Visit):
    installation.publish("slow", **READING)
    page = visit().open("/?device=slow&span=24h")
    title = page.locator(".span-title h2")
    expect(page.get_by_role("button", name="Show as table")).to_be_visible()
    expect(title).to_have_text("Last 24 hours")

    def opacity() -> float:
        script = """(part) => {
          let least = 1;
          for (let at = part; at; at = at.parentNode ?? at.host)
            if (at instanceof Element) least = Math.min(least, getComputedStyle(at).opacity);
          return least; }"""
        return float(page.locator(".stack").evaluate(script))

    pid = installation.pid_of("api")
    os.kill(pid, signal.SIGSTOP)
    try:
        page.get_by_role("button", name="7 d").click()
        expect(page.get_by_role("button", name="7 d")).to_have_attribute("aria-pressed", "true")
        expect(page.locator(".span-text")).to_have_text("Loading the last 7 days …")
        expect(title).to_have_text("Last 24 hours")
        wait_for(lambda: opacity() < 1)
    finally:
        os.kill(pid, signal.SIGCONT)
    expect(title).to_have_text("Last 7 days", timeout=LONG_MS)
    wait_for(lambda: opacity() == 1)
    expect(page.locator(".span-text")).not_to_contain_text("Loading", timeout=LONG_MS)


def test_a_page_goes_on_by_itself_when_the_api_comes_back(installation: Installation, visit: Visit):
    installation.publish("api", **READING)
    page = visit().open("/?device=api")
    expect(page.locator(".sentence")).to_contain_text("no open alert")
    pid = installation.pid_of("api")
    os.kill(pid, signal.SIGSTOP)  # up starts a dead one again at once: this one lives and does not answer
    try:
        expect(page.locator(".state")).to_contain_text("could not be loaded", timeout=LONG_MS)
        page.get_by_role("button", name="7 d").click()
        expect(page.get_by_role("button", name="7 d")).to_have_attribute("aria-pressed", "true")
        expect(page.locator("#live")).to_contain_text("Not live")
    finally:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: installation.health().get("live"), seconds=60)
    expect(page.locator("#live")).to_contain_text(LIVE)
    expect(page.locator(".state:visible")).to_have_count(0, timeout=LONG_MS)
    installation.publish("api", **{**READING, "electrical": {"voltage": 233.3}})
    expect(page.locator("#now-voltage")).to_contain_text("233.3")


def test_a_page_whose_api_hangs_is_not_called_live(installation: Installation, visit: Visit):
    installation.publish("hangs", **READING)
    page = visit().open("/?device=hangs")
    expect(page.locator("#live")).to_contain_text(LIVE)
    pid = installation.pid_of("api")
    os.kill(pid, signal.SIGSTOP)  # its connections stay open
    try:
        expect(page.locator("#live")).to_contain_text("Not live")
        expect(page.locator(".state")).to_contain_text("could not be loaded", timeout=LONG_MS)
        expect(page.locator(".state")).not_to_contain_text("are current")
    finally:
        os.kill(pid, signal.SIGCONT)
    expect(page.locator("#live")).to_contain_text(LIVE, timeout=LONG_MS)


def test_with_a_store_that_has_never_answered_the_pages_are_there_and_say_so(tmp_path: Path, visit: Visit):
    made = Installation(tmp_path / "data")
    nobody = f"http://127.0.0.1:{free_port()}"
    made.environment |= {"INFLUXDB_URL": nobody, "INFLUXDB_TOKEN": "unused"}
    try:
        made.start()
        visitor = visit(to=made)
        page = visitor.open("/")
        expect(page.locator("#main")).to_contain_text("The store does not answer.", timeout=LONG_MS)
        expect(page.locator("#main")).to_contain_text("Connection refused; see `heatpump doctor`")
        expect(page.locator("#live")).not_to_contain_text(LIVE)
        page.close()
        visitor.complaints.clear()
    finally:
        made.stop()


def test_nothing_is_called_live_while_no_flow_runs(installation: Installation, visit: Visit):
    installation.publish("fed", **READING)
    page = visit().open("/?device=fed")
    expect(page.locator("#live")).to_contain_text(LIVE)
    pid = installation.pid_of("flow")
    os.kill(pid, signal.SIGSTOP)
    try:
        expect(page.locator("#live")).to_contain_text("Not live", timeout=LONG_MS)
    finally:
        os.kill(pid, signal.SIGCONT)
    expect(page.locator("#live")).to_contain_text(LIVE, timeout=LONG_MS)


def test_an_acknowledgement_that_comes_through_late_is_not_told_as_failed_any_more(
    installation: Installation, visit: Visit
):
    installation.publish("late", **{**READING, "electrical": {"voltage": 252.0}})
    page = visit().open("/?device=late")
    banner, failed = page.locator(".banner", has_text="voltage_high"), page.locator("#state-failed")
    expect(page.locator("#live")).to_contain_text(LIVE)
    expect(banner).to_be_visible()
    pid = installation.pid_of("flow")
    os.kill(pid, signal.SIGSTOP)
    try:
        banner.get_by_role("button", name="Acknowledge").click()
        expect(failed).to_contain_text(
            "The acknowledgement of voltage_high could not be confirmed", timeout=LONG_MS
        )
        expect(page.locator("#live")).to_contain_text("Not live", timeout=LONG_MS)
        expect(failed).not_to_contain_text("are current")
    finally:
        os.kill(pid, signal.SIGCONT)
    expect(banner).to_contain_text("acknowledged by dashboard", timeout=LONG_MS)
    expect(failed).to_have_count(0)


def test_an_acknowledgement_that_was_not_confirmed_can_be_tried_again(installation: Installation, visit: Visit):
    installation.publish("again", **{**READING, "electrical": {"voltage": 252.0}})
    page = visit().open("/?device=again")
    banner, failed = page.locator(".banner", has_text="voltage_high"), page.locator("#state-failed")
    expect(page.locator("#live")).to_contain_text(LIVE)
    expect(banner).to_be_visible()
    pid = installation.pid_of("flow")
    with installation.held():  # up starts a dead one again, but not while it is held
        os.kill(pid, signal.SIGKILL)
        banner.get_by_role("button", name="Acknowledge").click()
        expect(failed).to_contain_text("could not be confirmed", timeout=LONG_MS)
        expect(page.locator("#live")).to_contain_text("Not live", timeout=LONG_MS)
    expect(page.locator("#live")).to_contain_text(LIVE, timeout=LONG_MS)
    failed.get_by_role("button", name="Try again").click()
    expect(banner).to_contain_text("acknowledged by dashboard", timeout=LONG_MS)
    expect(failed).to_have_count(0)


def test_a_page_opened_before_its_device_ever_spoke_shows_it_once_it_does(
    installation: Installation, visit: Visit
):
    page = visit().open("/?device=later")
    expect(page.locator(".state")).to_be_visible()
    installation.publish("later", **READING)
    expect(page.get_by_role("heading", name="later")).to_be_visible()
    expect(page.locator("#now-voltage")).to_contain_text("230.0")


@pytest.mark.parametrize(
    "query",
    [
        "device=..%2F..%2Fhealth%3F&span=custom&start=NaN&end=Infinity",
        "device=hostile&span=custom&start=0001-01-01T00:00:00Z&end=9999-12-31T23:59:59Z",
        "device=hostile&span=custom&start=1970-01-01T00:00:00Z&end=2026-01-01T00:00:00%2B14:00",
        "device=hostile&span=-1&hide=%00,NaN,__proto__&node=..%2F..",
        f"device={'x' * 4000}&span={'9' * 4000}",
    ],
)
def test_a_hostile_address_does_no_more_than_name_nothing(installation: Installation, visit: Visit, query: str):
    installation.publish("hostile", **READING)
    page = visit().open(f"/?{query}")
    expect(page.locator(".sentence, .state").first).to_be_visible()
    expect(page.locator("#live")).to_contain_text(LIVE)
    expect(page.get_by_text("no such path", exact=False)).to_have_count(0)
