"""The commands of README, how-to pages and the MQTT reference run as written, against one running system."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.system import ROOT, System, commands, is_endless

pytestmark = pytest.mark.slow

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *(ROOT / "docs/reference" / name for name in ("mqtt.md", "pages.md")),
    *sorted((ROOT / "docs/how-to").glob("*.md")),
]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    system = System(tmp_path_factory.mktemp("docs"))
    system.start()
    yield system
    assert system.stop() == 0, system.log.read_text()


def test_there_are_commands_to_run() -> None:
    assert sum(len(commands(page)) for page in PAGES) >= 10


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.name)
def test_every_command_of_a_page_runs_as_written(system: System, page: Path) -> None:
    for command in commands(page):
        done = system.run(command)
        ended = 124 if is_endless(command) else 0
        assert done.returncode == ended, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr


def test_the_three_last_lines_of_up_are_the_api_a_curl_that_answers_and_the_simulator_line(system: System) -> None:
    api, curl, simulator = system.log.read_text().strip().splitlines()[-3:]
    assert f"http://127.0.0.1:{system.api}" in api
    assert system.run(curl).returncode == 0
    assert shlex.split(simulator)[1].endswith("scripts/simulate_device.py")
