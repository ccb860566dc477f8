#!/usr/bin/env python
"""How quickly the Overview page is there, how soon it shows what was published, what open pages cost.

    .venv/bin/python scripts/bench_pages.py
    .venv/bin/python scripts/bench_pages.py --sessions 5 --seconds 20

A whole site, `heatpump up`, with simulated houses that have a week of history and send every 10 s; headless
Chromium on the same machine. A page counts as there when its first line, its figures of today and its charts are
drawn. A value counts as shown when the page's text has it, looked at every animation frame; one device sends less
often than once a second, because none is shown more often. What open pages cost is the CPU of the pages' own
process, in percent of one core; the browser's is not in it.
"""

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import psutil
import typer
from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parent.parent))

from scripts.lib.watching import console, show_settings
from tests.flows import wait_for
from tests.panel_app.site import Installation

HOUSES = 5
DRAWN = """() => {
  const shadows = (node) => [...node.querySelectorAll('*')].map((each) => each.shadowRoot).filter(Boolean);
  const find = (node, selector) => node.querySelector(selector)
    ?? shadows(node).map((each) => find(each, selector)).find(Boolean);
  const drawn = find(document, '.series b')?.textContent.match(/[0-9]/);
  return Boolean(drawn && find(document, '.sentence') && find(document, 'article')); }"""
SHOWN = """([text, since]) => new Promise((resolve) => {
  const has = (node) => (node.textContent ?? '').includes(text)
    || [...node.querySelectorAll('*')].some((each) => each.shadowRoot && has(each.shadowRoot));
  const look = () => has(document.body) ? resolve(Date.now() - since) : requestAnimationFrame(look);
  look(); })"""


def main(
    sessions: Annotated[int, typer.Option(min=1, help="Pages open at once, over five devices.")] = 20,
    seconds: Annotated[int, typer.Option(min=10, help="How long their cost is measured. [s]")] = 60,
    opened: Annotated[int, typer.Option(min=2, help="How often a page is opened, and a value published.")] = 20,
) -> None:
    """Measure and print."""
    show_settings({"sessions": sessions, "seconds": seconds, "opened": opened, "devices": HOUSES})
    with (
        tempfile.TemporaryDirectory(prefix="pages-") as folder,
        _site(Path(folder)) as site,
        sync_playwright() as play,
    ):
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        cold = _open(browser, site)
        warm = sorted(_open(browser, site) for _ in range(opened))
        console.print(f"page there: the first {cold:.2f} s, then {_shares(warm)} s")
        shown = sorted(_latencies(browser, site, opened))
        console.print(f"value shown after publish: {_shares(shown)} ms")
        console.print(f"{sessions} live pages: {_cost(browser, site, sessions, seconds):.1f} % of a core")
        browser.close()


@contextlib.contextmanager
def _site(folder: Path) -> Iterator[Installation]:
    site = Installation(folder / "data")
    site.start()
    simulator = [sys.executable, "scripts/simulate_device.py", "--port", str(site.mqtt_port), "--interval", "10"]
    houses = [
        subprocess.Popen(
            [*simulator, "--device-id", f"house{number}", "--seed", str(number), "--backfill", "7d"],
            env=site.environment,
            stdout=subprocess.DEVNULL,
        )
        for number in range(HOUSES)
    ]
    try:
        wait_for(
            lambda: sum(each["is_online"] for each in site.devices()), lambda live: live == HOUSES, seconds=300
        )
        yield site
    finally:
        for house in houses:
            house.terminate()
        for house in houses:
            house.wait(20)
        site.stop()


def _open(browser: Browser, site: Installation) -> float:
    """Open a page as a new reader; how long until it is there. [s]"""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    began = time.monotonic()
    page.goto(f"{site.url}/?device=house0")
    page.wait_for_function(DRAWN)
    took = time.monotonic() - began
    context.close()
    return took


def _latencies(browser: Browser, site: Installation, times: int) -> Iterator[float]:
    """Publish values that nothing else has; how long until the page shows each. [ms]"""
    page = browser.new_page()
    site.publish("probe", temperature={"outlet": 20.0})
    page.goto(f"{site.url}/?device=probe")
    page.wait_for_function("text => true", arg="")
    page.get_by_text("20.0").first.wait_for()
    for number in range(times):
        value = 30.1 + number
        time.sleep(1.2 + number % 7 / 10)  # at whatever moment of the page's second
        began = time.time_ns() // 1_000_000
        site.send("heatpump/probe/data", json.dumps({"timestamp": began, "temperature": {"outlet": value}}))
        yield page.evaluate(SHOWN, [f"{value:.1f}", began])
    page.close()


def _cost(browser: Browser, site: Installation, sessions: int, seconds: int) -> float:
    """Keep pages open; CPU of their process meanwhile. [% of a core]"""
    pages: list[Page] = []
    for number in range(sessions):
        page = browser.new_page()
        page.goto(f"{site.url}/?device=house{number % HOUSES}")
        page.wait_for_function(DRAWN)
        pages.append(page)
    process = psutil.Process(site.pid_of("panel"))
    before, began = sum(process.cpu_times()[:2]), time.monotonic()
    pages[0].wait_for_timeout(seconds * 1000)
    used = sum(process.cpu_times()[:2]) - before
    for page in pages:
        page.close()
    return 100 * used / (time.monotonic() - began)


def _shares(values: list[float]) -> str:
    worst = values[-1]
    return f"p50 {statistics.median(values):.2f}, p95 {values[int(len(values) * 0.95)]:.2f}, worst {worst:.2f}"


if __name__ == "__main__":
    typer.run(main)
