"""The commands of README, how-to pages and the MQTT reference run as written, against one running system."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers import free_port

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("docs")]

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "docs/reference/mqtt.md", *sorted((ROOT / "docs/how-to").glob("*.md"))]

ENDLESS = ("scripts/simulate_device.py", "heatpump api")
"""Commands that run until they are stopped: `timeout` does that after a few seconds, and says 124."""

ELSEWHERE = ("./scripts/up", "./scripts/test", "heatpump up", "heatpump demo", "heatpump flow", "heatpump rebuild")
"""Commands that tests/cli and tests/pipeline start on folders of their own, or that are this very run."""


def commands(page: Path) -> list[str]:
    """List the commands of a page's sh blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    bare = [re.sub(r"\s+#.*", "", line).strip() for line in lines]
    return [line for line in bare if line and not any(word in line for word in ELSEWHERE)]


def is_endless(command: str) -> bool:
    """Whether a command runs until it is stopped; the simulator does not when it only writes."""
    return any(word in command for word in ENDLESS) and not re.search(r"--csv|--mapping", command)


class System:
    """`heatpump up` on free ports, and commands rewritten for them."""

    def __init__(self, folder: Path) -> None:
        self.mqtt, self.api, ws = free_port(), free_port(), free_port()
        self.environment = {
            **os.environ,
            "HEATPUMP_DATA": str(folder / "data"),
            "MQTT_PORT": str(self.mqtt),
            "HEATPUMP_MQTT_WS_PORT": str(ws),
            "HEATPUMP_API_PORT": str(self.api),
            "HEATPUMP_PANEL_PORT": str(free_port()),
            "HEATPUMP_MIN_FREE_MB": "1",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        self.folder, self.log = folder, folder / "up.log"

    def start(self) -> None:
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [ROOT / "scripts/up"], env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        deadline = time.monotonic() + 90
        while "simulate_device.py" not in self.log.read_text():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        command = command.replace(":8000/", f":{self.api}/")
        command = re.sub(r"mosquitto_(pub|sub) ", rf"mosquitto_\1 -p {self.mqtt} ", command)
        command = command.replace("simulate_device.py ", f"simulate_device.py --port {self.mqtt} ")
        command = re.sub(r"\b(\w+\.hpr)\b", rf"{self.folder}/\1", command)
        command = re.sub(r"--into (\w+\.sqlite)", rf"--into {self.folder}/\1", command)
        command = re.sub(r"--store (\w+\.sqlite)", rf"--store {self.folder}/\1 --port {free_port()}", command)
        command = command.replace("--speed 60", "--speed 1e9").replace("curl ", "curl -sS --fail ")
        if is_endless(command):
            command = f"timeout -s TERM 3 bash -c {shlex.quote(command)}"
        return subprocess.run(
            ["bash", "-c", command], cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=60
        )


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    system = System(tmp_path_factory.mktemp("docs"))
    system.start()
    yield system
    assert system.stop() == 0, system.log.read_text()


def test_there_are_commands_to_run() -> None:
    assert sum(len(commands(page)) for page in PAGES) >= 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
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
