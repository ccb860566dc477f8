"""The tutorial, done by the book: its commands on a new installation, its page looked at after every section."""

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.docs.system import ROOT, System, commands_of
from tests.flows import wait_for
from tests.panel_app.conftest import chromium
from tests.panel_app.site import Visitor

__all__ = ["chromium"]  # a fixture of the pages' tests
pytestmark = pytest.mark.slow

TUTORIAL = ROOT / "docs/tutorial/first-device.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LETTERS = "curl http://127.0.0.1:8000/api/dead-letters?device_id=boiler-room"
FAILS = ("heatpump doctor --device",)
"""Commands whose exit code says that something is wrong, as it is."""


def sections() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Give each section's heading and its (language, text) blocks."""
    for section in TUTORIAL.read_text().split("\n## ")[1:]:
        yield section.splitlines()[0], BLOCK.findall(section)


def pattern_of(shown: str) -> str:
    """What a command said must hold these lines, where … stands for anything."""
    return re.escape(shown.strip()).replace("…", r"(?:.|\n)*?")


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    system = System(tmp_path)
    system.start()
    yield system
    system.stop()


def cell(page: Page, label: str):
    return page.locator(".cell", has=page.get_by_text(label, exact=True)).first


def look(page: Page, heading: str, said: str) -> None:
    """See on the page what the section says there is."""
    sentence = page.locator(".sentence")
    match heading:
        case "Start":
            expect(page.get_by_role("heading", name="No device has sent anything yet.")).to_be_visible()
        case "One reading":
            expect(page.get_by_role("heading", name="boiler-room")).to_be_visible()
            expect(cell(page, "Flow")).to_contain_text("41.5")
            expect(cell(page, "Return")).to_have_count(0)
        case "More of it":
            expect(cell(page, "Heat")).to_contain_text("5\u2009463")
            expect(cell(page, "Flow")).to_contain_text("46.5")
            assert '"heat_power"' in said
        case "An alert":
            expect(page.locator(".banner", has_text="voltage_high")).to_contain_text("cleared")
            expect(sentence).to_contain_text("All well")
            assert '"state":"cleared"' in said.replace(" ", "")
        case "A message that cannot be read":
            expect(sentence).to_contain_text("All well")
            expect(cell(page, "Voltage")).to_contain_text("231")


def watch_the_alert(page: Page) -> None:
    banner = page.locator(".banner", has_text="voltage_high")
    expect(page.locator(".sentence")).to_contain_text("Needs you")
    expect(banner).to_contain_text("252")
    banner.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)


def watch_the_tail(system: System, command: str) -> str:
    """Leave the command running, break a message again, and give the line that tells of it."""
    with subprocess.Popen(
        ["bash", "-c", f"exec {system.here(command)}"],
        cwd=ROOT,
        env=system.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as tail:
        assert tail.stdout
        try:
            line = tail.stdout.readline()
            while "connected" not in line:
                line = tail.stdout.readline()
            system.run("mosquitto_pub -q 1 -t heatpump/boiler-room/data -m '{'")
            line = tail.stdout.readline()
            tail.send_signal(signal.SIGINT)
            tail.wait(60)
        finally:
            tail.kill()  # where something failed: left running it would fail another test
    return line


def test_the_tutorial_goes_as_it_says(system, chromium):
    visitor = Visitor(chromium, f"http://127.0.0.1:{system.panel}")
    page = visitor.open("/")
    for heading, blocks in sections():
        all_said = said = ""
        for language, text in blocks:
            if not language:
                assert re.search(pattern_of(text), said), f"{heading}:\n{said}"
                continue
            for written in commands_of(text):
                command = re.sub(r"^(for .*)sleep 1\b", r"\1sleep 0.1", written, flags=re.DOTALL)
                if command == "./scripts/up":
                    continue
                if "heatpump tail" in command:
                    assert "not_json" in watch_the_tail(system, command)
                    continue
                if "heatpump doctor" in command:
                    wait_for(lambda: "not_json" in system.run(LETTERS).stdout)
                if "/api/alerts" in command:  # a reader is not as quick as this: it is stored by then
                    wait_for(lambda asked=command: '"cleared"' in system.run(asked).stdout)
                done = system.run(command)
                said = done.stdout
                all_said += said
                failed = done.returncode != any(word in command for word in FAILS)
                assert not failed, f"{command}\n{done.stdout}\n{done.stderr}"
                if '"voltage":252' in command:
                    watch_the_alert(page)
        look(page, heading, all_said)
    visitor.close()


def test_each_section_is_looked_at_or_has_nothing_to_see():
    assert [heading for heading, _ in sections()] == [
        "Start",
        "One reading",
        "More of it",
        "An alert",
        "A message that cannot be read",
        "Where next",
    ]
