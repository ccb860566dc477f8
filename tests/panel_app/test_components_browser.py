"""Components in a real browser: readable, usable by touch and keyboard, in both themes, and never wider than the screen."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

import panel_app
from flows.model.quantities import BY_NAME, FLAGS, QUANTITIES
from flows.model.times import iso
from panel_app.components import states
from panel_app.components.banner import banner
from panel_app.components.header import header
from panel_app.components.kpi import kpi_cards
from panel_app.components.kpi_requests import comparison
from panel_app.components.now import now
from panel_app.components.page_state import Failure
from panel_app.components.sentence import Cop, Facts, sentence
from panel_app.tokens import css_variables
from panel_app.words import zone_of
from tests.panel_app.aids import complaints
from tests.panel_app.answers import DAY, MINUTE, NOW, a_status, an_alert

pytestmark = pytest.mark.slow

BERLIN = zone_of("Europe/Berlin")
ASSETS = Path(panel_app.__file__).parent / "assets"
SIZES = {"desktop": 1440, "phone": 390, "small phone": 360}
LONG = "a-name-without-any-place-to-break-" * 8


def trouble() -> str:
    """A device that sends everything, with alerts, stale and untrusted fields, and a name that is too long."""
    everything = {
        quantity.name: True if quantity.kind == "flag" else min(quantity.high, 1e6) for quantity in QUANTITIES
    }
    status = a_status(
        everything, ages={"temp_dhw": 20 * MINUTE}, attributes={"simulated": "true"}, metadata={"name": LONG}
    )
    alerts = [
        an_alert("compressor_temp", "critical"),
        an_alert("voltage_low", "warning", message=LONG),
        an_alert("device_comp", "warning", message=LONG),
        an_alert("pressure_low", state="acknowledged", acknowledged_by="Anna"),
        an_alert("current", state="cleared", cleared_at=iso(NOW - MINUTE)),
        an_alert("device_fan", "critical", state="noted", message=LONG, value=3.14),
    ]
    since = {"compressor_running": NOW - 20 * MINUTE}
    return "".join(
        [
            header(status, NOW),
            sentence(Facts(status, alerts, NOW, Cop(3.1, "estimated"), since)),
            banner(status, alerts, NOW),
            now(status, alerts, NOW, since, {"voltage"}),
            kpi_cards(status, comparison(NOW, BERLIN), {}),
        ]
    )


def all_states() -> str:
    """Every state of the page, one below the other."""
    links = ["broker", "connected", "message", "decoded", "stored", "shown"]
    walk = {
        "links": [
            {"link": link, "state": "broken" if link == "message" else "ok", "detail": LONG} for link in links
        ],
        "remedy": LONG,
    }
    return "<h1>States</h1>" + "".join(
        [
            states.loading("site1"),
            states.first_run("python scripts/simulate_device.py --device-id site1 --speed 60 --seed 1", walk),
            states.unknown_device(LONG, [{"device_id": LONG}, {"device_id": "site1"}]),
            states.stale(a_status(ago=23 * MINUTE), NOW, None),
            states.waiting(LONG),
            states.store_down(NOW, NOW - 14 * MINUTE, 25_032, BERLIN),
            states.catching_up(NOW, 14 * MINUTE, 9_512, 25_032, 455.0, NOW, BERLIN),
            states.no_data("site1", NOW - 3 * DAY, NOW, NOW - 4 * DAY, BERLIN),
            states.parts_failed([Failure("Alerts", 0, LONG, NOW)], NOW, NOW + 8_000, BERLIN),
        ]
    )


def every_15_s() -> str:
    """The newest values of a device with five flags that sends every 15 s, just before it does."""
    fields = [name for name in BY_NAME if not name.startswith("phase")]
    status = a_status({name: BY_NAME[name].kind == "flag" or 20.0 for name in fields}, ago=15_000)
    since = {name: NOW - 24 * MINUTE for name in FLAGS}
    return f"<h1>Now</h1>{now(status, [], NOW, since)}"


CONTENTS = {"trouble": trouble, "states": all_states, "every 15 s": every_15_s}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield running
        running.close()


def opened(browser: Browser, content: str, theme, width: int) -> Page:
    css = "".join((ASSETS / name).read_text() for name in ("page.css", "components.css"))
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.set_default_timeout(60_000)
    page.set_content(
        f'<!doctype html><html lang="en"><head><title>{content}</title><style>:root {{ {css_variables(theme)} }}'
        f" body {{ margin: 0; padding: 12px; background: var(--page); }} {css}</style></head>"
        f'<body><main><div class="fragment">{CONTENTS[content]()}</div></main></body></html>'
    )
    return page


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize(("theme", "size"), [("light", "phone"), ("dark", "desktop")])
def test_axe_finds_nothing(browser, content, theme, size):
    page = opened(browser, content, theme, SIZES[size])
    assert complaints(page) == []
    page.close()


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("size", SIZES)
def test_nothing_scrolls_sideways_and_fingers_find_what_to_touch(browser, content, size):
    page = opened(browser, content, "light", SIZES[size])
    if size != "desktop" and content == "trouble":
        page.click("summary")
        assert page.locator("#now-phase3_energy").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    if size != "desktop" and content != "every 15 s":
        heights = page.locator("button:visible, summary:visible").evaluate_all(
            "found => found.map(each => each.getBoundingClientRect().height)"
        )
        assert heights and min(heights) >= 44
    page.close()


def test_a_first_button_that_cannot_be_pressed_is_as_readable_as_any_other(browser):
    page = opened(browser, "states", "light", SIZES["desktop"])
    button = page.locator("button.primary").first
    ground = (
        "each => [getComputedStyle(each).backgroundColor, getComputedStyle(each.closest('.card')).backgroundColor]"
    )
    own, of_its_card = button.evaluate(ground)
    assert own != of_its_card
    button.evaluate("each => { each.disabled = true; }")
    own, of_its_card = button.evaluate(ground)
    assert own == of_its_card
    page.close()


def test_no_flags_name_is_cut_where_ages_have_two_digits(browser):
    page = opened(browser, "every 15 s", "light", 1236)  # what a window of 1440 px leaves beside the navigation
    names = page.locator(".cell.flag dt")
    assert names.count() == 5
    assert names.evaluate_all("found => found.filter((each) => each.scrollWidth > each.clientWidth).length") == 0
    page.close()


def test_a_phone_shows_twelve_fields_and_the_flags_until_it_is_asked_for_all(browser):
    page = opened(browser, "trouble", "light", SIZES["phone"])
    assert page.locator(".cell:not(.flag):visible").count() == 12
    assert page.locator(".cell.flag:visible").count() == 5
    page.keyboard.press("Tab")
    while page.evaluate("document.activeElement.tagName") != "SUMMARY":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator(".cell:visible").count() == len(QUANTITIES)
    page.close()
