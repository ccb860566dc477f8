"""Fixtures of the pages: an installation and a browser for a whole module, a visitor for each test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.panel_app.site import Installation, Visitor


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Broker, flow, API and pages, all running."""
    made = Installation(tmp_path_factory.mktemp("site") / "data")
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(installation: Installation, chromium: Browser) -> Iterator[Callable[..., Visitor]]:
    """Makes visitors; each must have had a clean page at the end."""
    visitors: list[Visitor] = []

    def make(**given: Any) -> Visitor:
        visitors.append(Visitor(chromium, installation.url, **given))
        return visitors[-1]

    yield make
    for visitor in visitors:
        visitor.close()
