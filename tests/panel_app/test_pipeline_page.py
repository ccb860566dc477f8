"""The Pipeline page as its readers meet it: a whole installation, a real browser."""

import json
import os
import re
import signal
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.flows import wait_for
from tests.panel_app.aids import complaints
from tests.panel_app.site import PHONE, Installation, Visitor

pytestmark = pytest.mark.slow

Visit = Callable[..., Visitor]
READING: dict[str, Any] = {"temperature": {"inlet": 30.5, "outlet": 35.5}, "electrical": {"voltage": 230.0}}


def shown(page: Page, selector: str) -> int:
    """A number on the page, without its thin spaces; 0 while it is not there."""
    text = page.locator(selector).text_content() if page.locator(selector).count() else ""
    return int(re.sub(r"\D", "", text or "") or 0)


def stored(installation: Installation) -> int:
    """What the flow has stored; 0 while anything is under way."""
    answer = installation.api.get("/api/pipeline").json()
    sums = answer["conservation"]
    return 0 if sums["in_flight"] or answer["unread"] else int(sums["stored"])


def a_broken_message(installation: Installation, device_id: str) -> int:
    """Send a value that no sensor can have sent and wait for its dead letter; its id."""
    installation.send(f"heatpump/{device_id}/data", '{"temperature":{"inlet":-127}}')
    route = f"/api/dead-letters?device_id={device_id}"
    return int(wait_for(lambda: installation.api.get(route).json())[0]["id"])


def test_the_counters_are_those_of_the_flow_and_rise_with_what_is_published(
    installation: Installation, visit: Visit
):
    at = installation.publish("site1", **READING)
    installation.stored("site1", at)
    page = visit().open("/pipeline")
    wait_for(lambda: shown(page, "#term-stored dd") == stored(installation) > 0)
    before = shown(page, "#term-stored dd")
    for later in range(1, 6):
        installation.publish("site1", at + later, **READING)
    wait_for(lambda: shown(page, "#term-stored dd") == before + 5)
    expect(page.locator("#closes")).to_contain_text("closes")
    steps = [node["step"] for node in installation.api.get("/api/pipeline").json()["nodes"]]
    assert page.eval_on_selector_all(".node > button", "all => all.map((e) => e.dataset.node)") == steps


def test_a_selected_node_shows_what_it_made_of_a_reading_published_since(installation: Installation, visit: Visit):
    page = visit().open("/pipeline")
    node = page.locator("#node-validate")
    node.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#selected h2")).to_have_text("validate")
    expect(page).to_have_url(re.compile("node=validate"))
    expect(page.locator("#no-items")).to_be_visible()
    installation.publish("odd", temperature={"inlet": 30.5, "compressor": 32767})
    expect(page.locator("#item-1")).to_contain_text("odd")
    expect(page.locator("#item-1 del")).to_have_text("temp_compressor 32767")
    expect(page.locator("#item-1")).to_contain_text("sentinel")
    expect(page.locator(".toml")).to_contain_text('node = "validate"')
    expect(node).to_be_focused()
    expect(node).to_have_attribute("aria-pressed", "true")


def test_a_link_opens_the_node_it_names_and_one_that_is_none_says_which_there_are(
    installation: Installation, visit: Visit
):
    page = visit().open("/pipeline?node=clock")
    expect(page.locator("#selected h2")).to_have_text("clock")
    other = visit().open("/pipeline?node=nowhere")
    expect(other.locator("#selected .why")).to_contain_text("no step is called 'nowhere'; there are decode")


def test_back_and_forward_select_the_node_that_was_selected_there(installation: Installation, visit: Visit):
    page = visit().open("/pipeline?node=validate")
    page.locator("#node-alert").click()
    expect(page.locator("#selected h2")).to_have_text("alert")
    page.go_back()
    expect(page.locator("#selected h2")).to_have_text("validate")
    page.go_forward()
    expect(page.locator("#selected h2")).to_have_text("alert")


def test_the_next_reading_is_followed_through_every_node_to_the_store(installation: Installation, visit: Visit):
    at = installation.publish("followed", **READING)
    installation.stored("followed", at)
    page = visit().open("/pipeline?device=followed")
    assert installation.api.get("/api/pipeline").json()["taps"]["following"] == [], "nobody has asked yet"
    page.locator("#follow-next").click()
    expect(page.locator("#follow-brief")).to_contain_text("waiting for the next reading of followed")
    wait_for(lambda: installation.api.get("/api/pipeline").json()["taps"]["following"])
    installation.publish("followed", **READING)
    expect(page.locator("#follow-brief")).to_contain_text("stored")
    names = page.locator(".stop-head strong").all_text_contents()
    steps = [node["step"] for node in installation.api.get("/api/pipeline").json()["nodes"]]
    assert [names[0], *names[1 : len(steps) + 1], names[-1]] == ["ingest", *steps, "store"]
    expect(page.locator(".stops")).to_contain_text("+ delta_t 5.0\u00a0K")


def test_a_dead_letter_is_tried_again_and_its_outcome_told(installation: Installation, visit: Visit):
    letter_id = a_broken_message(installation, "broken")
    page = visit().open("/pipeline?node=validate")
    retry = page.locator(f"#retry-{letter_id}")
    expect(page.locator(f"#letter-{letter_id}")).to_contain_text('{"temperature":{"inlet":-127}}')
    retry.click()
    expect(page.locator(f"#letter-{letter_id}")).to_contain_text("refused: empty")
    assert installation.api.get(f"/api/dead-letters/{letter_id}").json()["attempts"] == 1


def test_all_dead_letters_are_reviewed_in_one_place(installation: Installation, visit: Visit):
    letter_id = a_broken_message(installation, "reviewed")
    page = visit().open("/pipeline")
    page.locator("#review").click()
    expect(page.locator("#letters-title")).to_have_text("Dead letters")
    expect(page.locator(f"#letter-{letter_id}")).to_contain_text("reviewed")
    expect(page).to_have_url(re.compile("node=(:|%3A)dead-letters"))
    page.locator("#close-node").click()
    expect(page.locator("#selected")).to_have_count(0)


def test_a_stopped_flow_is_a_stall_at_once_and_the_page_goes_on_by_itself(
    installation: Installation, visit: Visit
):
    page = visit().open("/pipeline")
    expect(page.locator("#graph")).to_be_visible()
    expect(page.locator("#stall .banner")).to_have_count(0)
    pid = json.loads((installation.data / "run" / "flow.json").read_text())["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        expect(page.locator("#stall strong")).to_contain_text("The flow has not answered")
        expect(page.locator("#stall-said")).to_have_text("The flow does not answer.")
        expect(page.locator("#values")).to_have_class(re.compile("old"))
        expect(page.locator("#stall button")).to_contain_text("heatpump status")
        assert complaints(page) == [], "grey is still readable"
    finally:
        os.kill(pid, signal.SIGCONT)
    expect(page.locator("#stall .banner")).to_have_count(0)


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_dots_move_for_real_items_and_not_at_all_under_reduced_motion(
    installation: Installation, visit: Visit, motion: str
):
    page = visit(reduced_motion=motion).open("/pipeline")
    expect(page.locator("#graph")).to_be_visible()
    page.evaluate(
        """() => { window.seen = []; window.dots = 0;
        const within = (root) => {
          for (const dot of root.querySelectorAll('.moving')) {
            window.dots += 1; window.seen.push(...dot.getAnimations().map((each) => each.animationName)); }
          for (const host of root.querySelectorAll('*')) if (host.shadowRoot) within(host.shadowRoot); };
        const look = () => { within(document); requestAnimationFrame(look); };
        look(); }"""
    )

    def dots() -> int:
        installation.publish("site1", **READING)
        return int(page.evaluate("window.dots"))

    wait_for(dots)
    wait_for(lambda: shown(page, "#term-received dd") >= stored(installation) > 0)
    assert set(page.evaluate("window.seen")) == ({"pass"} if motion == "no-preference" else set())


def test_on_a_phone_it_is_a_list_that_opens_in_place_and_never_scrolls_sideways(
    installation: Installation, visit: Visit
):
    a_broken_message(installation, "poor")
    page = visit(viewport=PHONE, has_touch=True).open("/pipeline")
    row = page.locator("#node-validate")
    expect(row).to_have_attribute("aria-expanded", "false")
    row.tap()
    expect(page.locator("#step-validate #selected")).to_contain_text("Keep the fields")
    expect(page.locator("#step-validate .hung").first).to_contain_text("empty")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    small = page.eval_on_selector_all(
        "main button", "all => all.filter((e) => e.offsetHeight && e.offsetHeight < 44).map((e) => e.id)"
    )
    assert small == []


@pytest.mark.parametrize(("theme", "viewport"), [("light", None), ("dark", None), ("light", PHONE)])
def test_nothing_stands_in_the_way_of_anybody(
    installation: Installation, visit: Visit, theme: str, viewport: dict[str, int] | None
):
    a_broken_message(installation, "hindered")
    page = visit(theme=theme, **({"viewport": viewport} if viewport else {})).open("/pipeline?node=validate")
    expect(page.locator("#letters li").first).to_be_visible()
    assert complaints(page) == []


def test_what_devices_send_is_shown_as_text(installation: Installation, visit: Visit):
    page = visit().open("/pipeline?node=decode")
    expect(page.locator("#selected h2")).to_have_text("decode")
    hostile = '<img src=x onerror="document.title=1">'
    installation.send("heatpump/<b>me/data", hostile)
    expect(page.locator("#letters")).to_contain_text(hostile)
    expect(page.locator("#letters")).to_contain_text("<b>me")
    expect(page.locator("#item-1")).to_contain_text("<b>me")
    assert page.locator("#selected img").count() == 0
    expect(page).to_have_title(re.compile("^Pipeline"))
