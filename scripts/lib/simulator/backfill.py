"""Backfill: history goes through the import path, by the `heatpump` command."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from .console import say
from .device import Device
from .tables import mapping, write_csv
from .times import iso


def heatpump_command() -> str | None:
    """Find the `heatpump` command: beside this Python, or on the PATH."""
    beside = os.path.join(os.path.dirname(sys.executable), "heatpump")
    return beside if os.access(beside, os.X_OK) else shutil.which("heatpump")


def backfill(device: Device, start_ms: int, end_ms: int, interval_s: float, heatpump: str) -> bool:
    """Import what a device measured in a span; whether that went well. The flow must run."""
    with tempfile.TemporaryDirectory(prefix="heatpump-simulated-") as folder:
        table, fields = os.path.join(folder, device.device_id + ".csv"), os.path.join(folder, "mapping.toml")
        with open(table, "w", encoding="utf-8") as out:
            count = write_csv(device, [(start_ms, end_ms, interval_s)], out)
        with open(fields, "w", encoding="utf-8") as out:
            out.write(mapping(device))
        say(f"{device.device_id}: importing {count} readings from {iso(start_ms)} on")
        command = [heatpump, "import", "csv", table, "--device", device.device_id, "--map", fields]
        return subprocess.call(command) == 0


def bring_history(devices: Sequence[Device], start_ms: int, end_ms: int, interval_s: float) -> str:
    """Import the history of all devices; why it failed, or ""."""
    heatpump = heatpump_command()
    if heatpump is None:
        return (
            "--backfill needs the heatpump command, beside this Python or on the PATH: start this with the"
            " project's .venv/bin/python"
        )

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        for device in devices:
            if not backfill(device, start_ms, end_ms, interval_s, heatpump):
                return f"the history of {device.device_id} could not be imported; does the flow run (scripts/up)?"
    except KeyboardInterrupt:
        return "stopped; the history is imported in part, another start imports it anew"
    return ""
