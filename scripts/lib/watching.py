"""What processes use, and what a measurement depends on: printed by every benchmark."""

import importlib.metadata
import os
import platform
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import psutil
from rich.console import Console
from rich.table import Table

from flows.settings import Settings

PACKAGES = ("heat-pump-monitor", "bytewax", "paho-mqtt", "msgspec", "numpy", "iotcore")
OWN_PLACE = {"data", "mqtt_broker", "mqtt_port", "mqtt_user", "mqtt_password", "api_port"} | {
    "influxdb_url",
    "influxdb_token",
}
"""Settings that say where, not how: they may differ from what is shipped."""

console = Console()


def show_settings(options: dict[str, object]) -> None:
    """Print all that a run depends on."""
    table = Table("setting", "value", title="This run, the settings as shipped, versions")
    for name, value in options.items():
        table.add_row(name, str(value))
    for name, field in Settings.model_fields.items():
        if not name.startswith(("mqtt_", "api_", "panel", "command", "data", "lan")):
            table.add_row(f"flow: {name}", str(field.default))
    for name in PACKAGES:
        table.add_row(name, version_of(name))
    mosquitto = subprocess.run(["/usr/sbin/mosquitto", "-h"], capture_output=True, text=True, check=False).stdout
    table.add_row("mosquitto", mosquitto.partition("\n")[0].removeprefix("mosquitto version "))
    table.add_row("Python, SQLite", f"{platform.python_version()}, {sqlite3.sqlite_version}")
    table.add_row("machine", f"{cpu_model()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}")
    console.print(table)


def version_of(package: str) -> str:
    """Say which version is installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "–"


def cpu_model() -> str:
    """Name the processor (Linux); elsewhere its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def check_shipped(pid: int) -> None:
    """Hold a running flow's environment against what scripts/up ships. Raises SystemExit naming what differs."""
    environment = psutil.Process(pid).environ()
    for name, field in Settings.model_fields.items():
        choices = getattr(field.validation_alias, "choices", [])
        differing = [f"{choice}={environment[choice]}" for choice in choices if environment.get(choice)]
        if differing and name not in OWN_PLACE:
            raise SystemExit(f"the flow runs with {differing[0]}; scripts/up ships {field.default}")


class Used(NamedTuple):
    """cpu_s: user and system since its start; threads: of them each thread's, by id. [s]"""

    cpu_s: float
    threads: dict[int, float]

    def since(self, before: "Used") -> "Used":
        """What was used in between."""
        threads = {tid: spent - before.threads.get(tid, 0.0) for tid, spent in self.threads.items()}
        return Used(self.cpu_s - before.cpu_s, threads)


class Watched:
    """One process."""

    def __init__(self, name: str, pid: int) -> None:
        self.name, self._process = name, psutil.Process(pid)

    def used(self) -> Used:
        """Read its CPU time."""
        times = self._process.cpu_times()
        threads = {thread.id: thread.user_time + thread.system_time for thread in self._process.threads()}
        return Used(times.user + times.system, threads)

    @property
    def rss_mb(self) -> float:
        """Memory it holds now. [MB]"""
        return self._process.memory_info().rss / 1e6

    @property
    def peak_mb(self) -> float:
        """The most memory that it ever held (Linux). [MB]"""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024 / 1e6

    @property
    def age_s(self) -> float:
        """Since its start. [s]"""
        return time.time() - self._process.create_time()

    @property
    def handles(self) -> int:
        """Open file handles."""
        return self._process.num_fds()


def folder_mb(folder: Path) -> float:
    """Size of all files in a folder, those that vanish meanwhile aside. [MB]"""
    size = 0
    for file in folder.rglob("*") if folder.is_dir() else ():
        try:
            size += file.stat().st_size
        except FileNotFoundError:
            continue
    return size / 1e6
