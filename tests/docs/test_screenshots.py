"""scripts/screenshots.py: pictures of pages that are drawn, small; sentences where there can be none."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.docs.system import ROOT
from tests.panel_app.site import Installation

pytestmark = pytest.mark.slow

SCRIPT = ROOT / "scripts" / "screenshots.py"
MINUTE_MS = 60_000


def screenshots(*arguments, **more):
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=300, **more
    )


def picture(file: Path) -> Image.Image:
    with Image.open(file) as opened:
        return opened.convert("RGB")


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory):
    made = Installation(tmp_path_factory.mktemp("pictured") / "data")
    made.start()
    yield made
    made.stop()


def test_the_overview_is_taken_in_both_themes_and_on_a_phone(installation, tmp_path: Path):
    now = installation.publish("site1", temperature={"inlet": 30.0, "outlet": 35.0})
    for minutes in range(60, 0, -1):
        at = now - minutes * MINUTE_MS
        installation.publish("site1", at=at, temperature={"outlet": 30 + minutes / 10}, electrical={"power": 900})
    done = screenshots("--url", installation.url, "--device", "site1", "--other", "site1", "--only", "overview", "--into", tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    light, dark, phone = (picture(tmp_path / f"overview-{name}.png") for name in ("light", "dark", "phone"))
    assert (light.width, dark.width, phone.size) == (1280, 1280, (780, 1688))
    assert light.height > 800  # as tall as the page, which is taller than the window
    corner = (200, 300)
    assert min(light.getpixel(corner)) > 200 > 60 > max(dark.getpixel(corner))


def test_without_a_browser_it_names_what_to_install(tmp_path: Path):
    done = screenshots("--url", "http://127.0.0.1:9", env={"PATH": str(tmp_path)})
    assert done.returncode == 2 and "apt-get install chromium" in done.stderr


def test_a_site_that_is_not_there_is_named(tmp_path: Path):
    done = screenshots("--url", "http://127.0.0.1:9", "--into", tmp_path / "none")
    assert done.returncode == 2 and "http://127.0.0.1:9 does not answer" in done.stderr
    assert not (tmp_path / "none").exists()
