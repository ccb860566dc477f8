"""The `heatpump` command as people run it, for tests."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.brokers import free_port
from tests.flows import PATIENCE_S

HEATPUMP = [sys.executable, "-m", "flows.cli.app"]


def clean_environment(**settings: Any) -> dict[str, str]:
    """Our environment without settings of whoever runs the tests."""
    ours = ("HEATPUMP_", "MQTT_", "INFLUXDB_", "DEVICE_ONLINE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, **{name: str(value) for name, value in settings.items()}}


def heatpump(*arguments: Any, cwd: Path | None = None, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    environment = clean_environment(**settings)
    if cwd is not None:
        environment["PYTHONPATH"] = str(Path(__file__).parent.parent.parent)
    command = [*HEATPUMP, *map(str, arguments)]
    return subprocess.run(
        command, env=environment, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300
    )


class Running:
    """A command that goes on: what it says, line by line, until it is stopped."""

    def __init__(self, command: list[str], log: Path, **settings: Any) -> None:
        self._log, self.began = log, time.monotonic()
        with open(log, "w") as out:
            self.process = subprocess.Popen(
                command, env=clean_environment(**settings), stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    @property
    def said(self) -> str:
        """Everything so far."""
        return self._log.read_text()

    def until_it_says(self, pattern: str, seconds: float = PATIENCE_S) -> None:
        """Wait for a line; fail with what was said instead."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.said, re.MULTILINE):
            over = self.process.poll() is not None or time.monotonic() > deadline
            assert not over, f"not said ({pattern}), exit code {self.process.returncode}:\n{self.said}"
            time.sleep(0.02)

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; return the exit code. Whoever does not end fails."""
        self.process.send_signal(how)
        return self.process.wait(PATIENCE_S)

    def clean_up(self) -> None:
        """Leave nothing behind after a test."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE_S)
            finally:
                self.process.kill()
                self.process.wait(PATIENCE_S)


class Up(Running):
    """`heatpump up` on free ports."""

    def __init__(self, data: Path, *arguments: str, **settings: Any) -> None:
        self.data = data
        self.mqtt_port, self.ws_port = free_port(), free_port()
        self.api_port, self.panel_port = free_port(), free_port()
        ports = ["--mqtt-port", self.mqtt_port, "--mqtt-ws-port", self.ws_port]
        ports += ["--api-port", self.api_port, "--panel-port", self.panel_port]
        command = [*HEATPUMP, "up", "--data", str(data), *map(str, ports), *arguments]
        super().__init__(command, data.with_suffix(".log"), HEATPUMP_MIN_FREE_MB=1, **settings)

    def until_ready(self) -> list[str]:
        """Wait for the closing lines; return the last three."""
        self.until_it_says(r"simulate_device\.py .*\n")
        return self.said.splitlines()[-3:]


def alive(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the second where it ends between opening and reading
        return False
