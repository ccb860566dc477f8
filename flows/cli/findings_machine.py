"""What `heatpump doctor` finds of the machine: Python, data folder, disk, ports, clock."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from flows.cli.finding import Finding
from flows.settings import Settings

MB = 1_000_000
EARLIEST_S = 1_735_689_600
"""2025-01-01: a clock before that was never set. [s since 1970]"""
FUTURE_S = 5.0
LATE_TICK_S = 10.0
"""Every second is journaled while the flow is subscribed. [s]"""

_TIMEX_BYTES = 208
_STATUS_AT = 40
_UNSYNCHRONISED = 0x40
"""Of Linux' struct timex on 64-bit machines: its size, the place of `status`, and STA_UNSYNC in it."""


def python() -> Finding:
    """Look at the interpreter that runs us."""
    import platform
    import sys

    found = platform.python_version()
    if (3, 11) <= sys.version_info < (3, 13):
        return Finding("Python", found)
    return Finding("Python", found, "Install Python 3.11 or 3.12, delete .venv and run ./scripts/up.")


def data_folder(settings: Settings) -> Iterator[Finding]:
    """Look at the folder, who may read it, and the disk below it."""
    import shutil

    data = settings.data
    if not data.exists():
        yield Finding("data folder", f"{data} is not there yet; the first start makes it")
        return
    if not data.is_dir() or not os.access(data, os.R_OK | os.W_OK | os.X_OK):
        yield Finding(
            "data folder", f"{data} cannot be written", "Give this user the folder, or choose one: --data."
        )
        return
    open_to = _open_to(data)
    if open_to:
        yield Finding("data folder", f"{data} is open to {open_to}", f"chmod 700 {data}")
    else:
        yield Finding("data folder", f"{data}, mode {data.stat().st_mode & 0o777:o}")
    yield from _secrets(data)
    free = shutil.disk_usage(data).free // MB
    if free < 2 * settings.min_free_mb:
        limit = f"Free some space: below {settings.min_free_mb} MB (HEATPUMP_MIN_FREE_MB) nothing is accepted."
        yield Finding("disk", f"{free} MB free", limit)
    else:
        yield Finding("disk", f"{free} MB free")


def _secrets(data: Path) -> Iterator[Finding]:
    """Look who may read tokens and passwords."""
    folder = data / "secrets"
    secrets = [folder, *sorted(folder.glob("*")), data / "run" / "broker.toml"]
    there = [path for path in secrets if path.exists()]
    open_ones = [path for path in there if _open_to(path)]
    for path in open_ones:
        remedy = f"chmod {700 if path.is_dir() else 600} {path}"
        if path.is_file():
            remedy += "; who could read it may have: delete it and start again for a new one"
        yield Finding("secrets", f"{path} is open to {_open_to(path)}", f"{remedy}.")
    if there and not open_ones:
        yield Finding("secrets", "for this user alone")


def _open_to(path: Path) -> str:
    mode = path.stat().st_mode & 0o777
    if mode & 0o007:
        return f"everyone ({mode:o})"
    return f"its group ({mode:o})" if mode & 0o070 else ""


def ports(settings: Settings, ours: set[str]) -> Iterator[Finding]:
    """Look whether what `up` would listen on is free. ours: options of ports that something of ours holds."""
    from flows.cli.ports import Wanted, bind_problem, wanted_ports

    def look(port: Wanted) -> Finding:
        problem = bind_problem(port.host, port.number)
        remedy = f"Stop that, or choose another port with {port.option} or {port.variable}." if problem else ""
        return Finding(f"port {port.number}", problem or "free", remedy)

    yield from (look(port) for port in wanted_ports(settings) if port.option not in ours)


def clock(last_arrived: int | None, ticking: bool) -> Iterator[Finding]:
    """Look at the clock, against what was journaled and what the kernel knows of it.

    last_arrived : of the journal's newest frame. [ms since 1970, UTC]
    ticking      : the flow runs and is subscribed, so a second was just journaled.
    """
    now = time.time()
    shown = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S} UTC"
    last = last_arrived / 1000 if last_arrived else 0.0
    if now < max(EARLIEST_S, last - FUTURE_S):
        yield Finding(
            "clock", f"{shown} is in the past", "Set the clock; let chrony or systemd-timesyncd keep it."
        )
        return
    if ticking and last and now - last > LATE_TICK_S:
        remedy = "Was the clock set forward? Else the flow hangs: see its log, and start it again."
        yield Finding("clock", f"{shown}, {now - last:.0f} s after the newest journaled second", remedy)
        return
    synchronised = is_synchronised()
    if synchronised is False:
        remedy = "It may drift: devices' readings are dated by it. Let chrony or systemd-timesyncd keep it."
        yield Finding("clock", f"{shown}; the kernel says that nothing keeps it", remedy, mere=True)
        return
    yield Finding("clock", f"{shown}{', kept by NTP' if synchronised else ''}")


def is_synchronised() -> bool | None:
    """Ask the kernel whether something (NTP, a hypervisor's clock) keeps the clock; None where it cannot tell."""
    import ctypes
    import struct
    import sys

    if sys.platform != "linux" or struct.calcsize("P") != 8:
        return None
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)
    try:
        if ctypes.CDLL(None).adjtimex(timex) < 0:
            return None
    except (OSError, AttributeError):
        return None
    (status,) = struct.unpack_from("i", timex.raw, _STATUS_AT)
    return not status & _UNSYNCHRONISED
