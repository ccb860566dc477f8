"""A whole installation on free ports, on which the commands of documents are run as written."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.brokers import free_port

ROOT = Path(__file__).parent.parent.parent

ENDLESS = ("scripts/simulate_device.py", "heatpump api", "heatpump tail")
"""Commands that run until they are stopped: `timeout` does that after a few seconds, and says 124."""

ELSEWHERE = ("./scripts/", "heatpump up", "heatpump demo", "heatpump flow", "heatpump rebuild", "heatpump migrate")
"""Commands that tests/cli and tests/pipeline start on folders of their own, or that are this very run."""


def blocks(page: Path, language: str = "sh") -> list[str]:
    """Give a page's blocks of a language."""
    return re.findall(rf"^ *```{language}\n(.*?)^ *```$", page.read_text(), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[str]:
    """List the commands of a page's sh blocks that are run here."""
    found = [command for block in blocks(page) for command in commands_of(block)]
    return [command for command in found if not any(word in command for word in ELSEWHERE)]


def commands_of(block: str) -> list[str]:
    """Split a block: a command goes on while a quote or a loop is open."""
    found, begun = [], ""
    for line in block.replace("\\\n", " ").splitlines():
        begun = f"{begun}\n{line}" if begun else re.sub(r"\s+#.*|^#.*", "", line).strip()
        if begun and _is_whole(begun):
            found.append(begun)
            begun = ""
    assert not begun, f"not whole: {begun}"
    return found


def _is_whole(command: str) -> bool:
    return subprocess.run(["bash", "-n", "-c", command], capture_output=True).returncode == 0


def is_endless(command: str) -> bool:
    """Whether a command runs until it is stopped; the simulator does not when it only writes."""
    return any(word in command for word in ENDLESS) and not re.search(r"--csv|--mapping", command)


class System:
    """`./scripts/up`, and commands rewritten for its ports and folder."""

    def __init__(self, folder: Path) -> None:
        self.mqtt, self.api, self.panel, ws = free_port(), free_port(), free_port(), free_port()
        self.environment = {
            **os.environ,
            "HEATPUMP_DATA": str(folder / "data"),
            "MQTT_PORT": str(self.mqtt),
            "HEATPUMP_MQTT_WS_PORT": str(ws),
            "HEATPUMP_API_PORT": str(self.api),
            "HEATPUMP_PANEL_PORT": str(self.panel),
            "HEATPUMP_MIN_FREE_MB": "1",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        self.folder, self.log = folder, folder / "up.log"

    def start(self, *command: str | Path, cwd: Path = ROOT) -> None:
        """Start by `./scripts/up`, or by another command, and wait for its last line."""
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command or [ROOT / "scripts/up"],
                env=self.environment,
                cwd=cwd,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        deadline = time.monotonic() + 300
        while "simulate_device.py" not in self.log.read_text():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def stop(self) -> int:
        """Stop all; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, an endless one for three seconds."""
        command = self.here(command)
        if is_endless(command):
            command = f"timeout -s TERM 3 bash -c {shlex.quote(command)}"
        return subprocess.run(
            ["bash", "-c", command], cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=300
        )

    def here(self, command: str) -> str:
        """Rewrite a command for this installation."""
        command = command.replace(":8000/", f":{self.api}/").replace(":5006/", f":{self.panel}/")
        command = re.sub(r"mosquitto_(pub|sub) ", rf"mosquitto_\1 -p {self.mqtt} ", command)
        command = command.replace("simulate_device.py ", f"simulate_device.py --port {self.mqtt} ")
        command = re.sub(r"\b(\w+\.hpr)\b", rf"{self.folder}/\1", command)
        command = re.sub(r"(heatpump backup) (\w+)", rf"\1 {self.folder}/\2", command)
        command = re.sub(r"--into (\w+\.sqlite)", rf"--into {self.folder}/\1", command)
        command = re.sub(r"--store (\w+\.sqlite)", rf"--store {self.folder}/\1 --port {free_port()}", command)
        return command.replace("--speed 60", "--speed 1e9").replace("curl ", "curl -sS --fail ")
