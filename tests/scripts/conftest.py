"""The simulator as a process."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from flows.demo.simulated import SCRIPT


@pytest.fixture
def simulate() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the script as a process."""
    started: list[subprocess.Popen[str]] = []

    def start(*args: str, **env: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), "--device-id", "site1", *args],
            env={"PATH": os.environ["PATH"], **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
