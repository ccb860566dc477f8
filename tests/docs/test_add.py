"""What the how-to pages add is added to a copy of the source, and works: a sensor and a page seen in a browser, a node."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.docs.system import ROOT, blocks
from tests.panel_app.conftest import chromium, visit
from tests.panel_app.site import Installation

__all__ = ["chromium", "visit"]  # fixtures of the pages' tests
pytestmark = pytest.mark.slow

SENSOR, PAGE, NODE = (ROOT / f"docs/how-to/add-a-{what}.md" for what in ("sensor", "page", "node"))
COPIED = ("flows", "api", "panel_app", "docs", "scripts")


def example(page: Path, language: str, number: int = 0) -> str:
    """A page's example, without the margin of its list."""
    return textwrap.dedent(blocks(page, language)[number])


def insert(file: Path, before: str, text: str) -> None:
    """Put text before a line that begins so."""
    source = file.read_text()
    assert source.count(f"\n{before}") == 1
    file.write_text(source.replace(f"\n{before}", f"\n{text}{before}"))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source with the sensor and the page of the documents."""
    copy = tmp_path_factory.mktemp("copy")
    for name in COPIED:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    insert(
        copy / "flows/model/quantities.py",
        '    _derived("delta_t"',
        textwrap.indent(example(SENSOR, "python"), "    "),
    )
    fields = copy / "panel_app/components/now_fields.py"
    fields.write_text(re.sub(r'\("Air", .*\),\n', example(SENSOR, "python", 1), fields.read_text(), count=1))
    insert(copy / "docs/reference/quantities.md", "| `voltage`", example(SENSOR, "markdown"))
    (copy / "panel_app/components/attributes.py").write_text(example(PAGE, "python"))
    (copy / "panel_app/templates/attributes.html").write_text(example(PAGE, "html"))
    (copy / "panel_app/pages/attributes.py").write_text(example(PAGE, "python", 1))
    return copy


@pytest.fixture(scope="module")
def installation(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The copy, running; a device sends what the sensor's page says."""
    made = Installation(tmp_path_factory.mktemp("added") / "data")
    with chdir(copy):  # what `python -m` looks through first
        made.start()
    made.stored("site1", made.publish("site1", **json.loads(example(SENSOR, "json", 1))))
    yield made
    made.stop()


def test_a_new_sensor_is_answered_and_shown_beside_its_like(installation, visit):
    assert installation.api.get("/api/devices/site1/readings/latest").json()["humidity_indoor"] == 47.5
    series = installation.api.get("/api/devices/site1/series?fields=humidity_indoor").json()
    assert "humidity_indoor" in series["values"]
    page = visit().open("/?device=site1")
    cell = page.locator(".cell", has=page.get_by_text("Humidity", exact=True)).first
    expect(cell).to_contain_text("47.5")
    expect(cell).to_contain_text("%")


def test_a_new_page_is_in_the_navigation_and_does_what_it_says(installation, visit):
    for name, value in (("version", "1.0.0"), ("rssi", "-61")):
        installation.send(f"heatpump/site1/status/{name}", value)
    page = visit().open("/?device=site1")
    page.get_by_role("link", name="Attributes").first.click()
    names = page.locator("#attributes dt")
    expect(names).to_have_text(["rssi", "version"])
    page.get_by_role("button", name="Turn round").click()
    expect(names).to_have_text(["version", "rssi"])


def test_the_test_of_the_page_passes_as_written(installation, visit):
    written: dict[str, Any] = {}
    exec(example(PAGE, "python", 2), written)
    (test,) = [function for name, function in written.items() if name.startswith("test_")]
    test(installation, visit)


def python(copy: Path, *arguments: Any) -> str:
    """Run Python on the copy; what it said."""
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    environment.pop("PYTEST_ADDOPTS", None)  # of the run that this is a part of: its report would be lost
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_a_new_node_passes_its_test_and_stands_in_the_graph(copy):
    (copy / "flows/nodes/round_ambient.py").write_text(example(NODE, "python"))
    shutil.copytree(ROOT / "tests/nodes", copy / "tests/nodes", ignore=lambda _, names: {*names} - {"conftest.py"})
    (copy / "tests/nodes/test_round_ambient.py").write_text(example(NODE, "python", 1))
    said = python(
        copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml", "tests/nodes"
    )
    assert "1 passed" in said
    graph = (copy / "flows/graphs/heat_pump.toml").read_text()
    clock = re.compile(r"^\[step\.clock\]\nnode = \"clock\"\nup = \"validate.ok\"\n", re.MULTILINE)
    changed, places = clock.subn(example(NODE, "toml"), graph)
    assert places == 1
    (copy / "my_graph.toml").write_text(changed)
    assert "round_ambient" in python(copy, "-m", "flows.cli.app", "graph", "--graph", "my_graph.toml")


def test_what_is_added_keeps_to_the_style_and_the_tables(copy):
    added = [copy / name for name in ("panel_app/components/attributes.py", "panel_app/pages/attributes.py")]
    python(copy, "-m", "ruff", "check", "-q", "--config", ROOT / "pyproject.toml", *added)
    python(copy, "-c", "from flows.model.quantities import BY_NAME as known\n"
                       "from panel_app.components.now_fields import GROUPS\n"
                       "assert sorted(known) == sorted(field for _, labels in GROUPS for field in labels)")  # fmt: skip
