"""A page with nothing but a ChartStack, served for a browser, and who visits it."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import panel as pn
import pytest
from playwright.sync_api import Page

from panel_app.charts.stack import ChartStack
from panel_app.tokens import Theme, css_variables
from tests.brokers import free_port
from tests.panel_app import sample_day as sample

_TEMPLATE = """
{% extends base %}
{% block preamble %}<style>:root { VARIABLES } body { background: var(--card); color: var(--text); margin: 16px; }</style>{% endblock %}
{% block contents %}<main><h1>Charts</h1><h2>Last 24 hours</h2>{{ embed(roots.stack) }}</main>{% endblock %}
"""


def _wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"nothing listens on {port}")


@contextmanager
def served(make: Callable[[], tuple[ChartStack, Theme]]) -> Iterator[str]:
    """Serve a stack of its own, on a page of that theme, to every visit; gives the address."""
    port = free_port()

    def page() -> pn.Template:
        stack, theme = make()
        template = pn.Template(_TEMPLATE.replace("VARIABLES", css_variables(theme)))
        template.add_panel("stack", stack)
        return template

    server = pn.serve(page, port=port, address="127.0.0.1", show=False, threaded=True, title="charts")
    try:
        _wait_for(port)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.stop()
        server.join(10)


class Visit:
    """A stack, the page it is on, and what the stack told its page."""

    def __init__(self, page: Page, stack: ChartStack, told: list[Any]) -> None:
        self.page, self.stack, self.told = page, stack, told

    def value(self, label: str) -> Any:
        """The read-out's value of a series."""
        return self.page.locator(".series", has_text=label).locator("b").first

    def hover(self, share: float) -> None:
        """Put the mouse on the first chart, at a share of its width."""
        box = self.page.locator(".plot").first.bounding_box()
        assert box is not None
        self.page.mouse.move(box["x"] + box["width"] * share, box["y"] + 60)

    def start(self) -> float:
        """Where the charts begin in the browser, once it has done what it was told. [ms since 1970, UTC]"""
        script = """(id) => new Promise((done) => {
          const read = () => done(Bokeh.documents.map((d) => d.get_model_by_id(id)).find(Boolean).start);
          requestAnimationFrame(() => requestAnimationFrame(read));
        })"""
        return float(self.page.evaluate(script, self.stack.figures[0].x_range.id))

    def drag(self, begin: float, end: float, rest_ms: int = 0) -> None:
        """Drag the first chart from a share of its width to another, resting after each move.

        As a hand does it: where nothing moves it presses anew (a busy browser took the press for a long one), and it
        does not let go before the chart is there (a busy browser leaves moves out).
        """
        before, (since, until) = self.start(), self.stack.span
        wanted = pytest.approx(before - (end - begin) * (until - since), abs=300_000)
        moves = 0
        while self.start() != wanted and moves < 60:
            if self.start() == before:
                self.page.mouse.up()
                self.hover(begin)
                self.page.mouse.down()
                self.hover((begin + end) / 2)
                self.page.wait_for_timeout(rest_ms)
            self.hover(end - 0.001 * (moves % 2))
            self.page.wait_for_timeout(rest_ms)
            moves += 1
        self.page.mouse.up()
        assert self.start() == wanted

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds in the server."""
        for _ in range(1200):  # a minute, as long as a busy machine may take
            if holds():
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"it never held; told: {self.told}")

    def ink(self, chart: int) -> int:
        """How many of a chart's pixels have a hue: lines, bars, bands, not grid and words."""
        script = """(plot) => {
          const canvases = [];
          const walk = (node) => { for (const child of (node.shadowRoot ?? node).querySelectorAll('*')) {
            if (child.tagName === 'CANVAS' && child.width > 1) canvases.push(child);
            if (child.shadowRoot) walk(child); } };
          walk(plot.firstChild);
          const hued = (canvas) => {
            const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            let count = 0;
            for (let i = 0; i < data.length; i += 4) {
              const rgb = data.subarray(i, i + 3);
              if (data[i + 3] && Math.max(...rgb) - Math.min(...rgb) > 30) count++;
            }
            return count;
          };
          return canvases.reduce((sum, canvas) => sum + hued(canvas), 0);
        }"""
        return int(self.page.locator(".plot").nth(chart).evaluate(script))


class Site:
    """One server and one browser for all visits: what a stack is made of changes from visit to visit."""

    def __init__(self) -> None:
        self.wanted: dict[str, Any] = {}
        self.made: list[tuple[ChartStack, list[Any]]] = []

    def make(self) -> tuple[ChartStack, Theme]:
        theme: Theme = self.wanted["theme"]
        answer = self.wanted["answer"]
        told: list[Any] = []  # its own: of a page that was left something may still be on its way
        stack = ChartStack(
            theme,
            phone=self.wanted["phone"],
            on_span=lambda start, end: told.append((start, end)),
            on_hidden=lambda hidden: told.append(hidden),
        )
        full = answer["readings"] > 0
        alerts = self.wanted.get("alerts", sample.ALERTS if full else [])
        stack.update(answer, sample.episodes() if full else [], alerts, now=sample.END)
        self.made.append((stack, told))
        return stack, theme
