"""Fixtures of the pages: an installation for all their tests, a browser for a module, a visitor for each test.

A browser lives no longer than its module: beside it nothing else may use asyncio.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.panel_app.origin import Origin
from tests.panel_app.site import Installation, Visitor

# As long as a busy machine may take; what holds sooner is seen sooner.
expect.set_options(timeout=60_000)


# No longer than its package: it would take its part of the machine from all tests that come after.
@pytest.fixture(scope="package")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Broker, flow, API and pages, all running; every test uses devices of its own."""
    with _running(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture
def new_installation(tmp_path: Path) -> Iterator[Installation]:
    """One to which nobody has sent anything."""
    with _running(tmp_path) as made:
        yield made


@contextmanager
def _running(folder: Path) -> Iterator[Installation]:
    made = Installation(folder / "data")
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(request: pytest.FixtureRequest, chromium: Browser) -> Iterator[Callable[..., Visitor]]:
    """Makes visitors; each must have had a clean page at the end. to: another installation than all tests'."""
    visitors: list[Visitor] = []

    def make(to: Installation | Origin | None = None, **given: Any) -> Visitor:
        site = to or request.getfixturevalue("installation")
        visitors.append(Visitor(chromium, site.url, **given))
        return visitors[-1]

    yield make
    for visitor in visitors:
        visitor.close()
