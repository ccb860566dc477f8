"""The real promtool: that on PATH, else Debian's, unpacked into a cache folder without installing Prometheus."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

from tests.deploy.helm import cache_folder

SKIPPED = "no promtool on PATH and `apt-get download prometheus` gives none: what the alerts do was not tried"


@cache
def find() -> Path | str:
    """Give the program, or why there is none."""
    if found := shutil.which("promtool"):
        return Path(found)
    folder = cache_folder() / "promtool"
    program = folder / "usr" / "bin" / "promtool"
    if program.exists():
        return program
    unpacked = folder.with_name(f"promtool.{os.getpid()}")
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir(parents=True)
    get = "apt-get download -q prometheus || { apt-get update -q && apt-get download -q prometheus; }"
    made = f"({get}) && dpkg-deb -x prometheus_*.deb . && rm prometheus_*.deb usr/bin/prometheus"
    done = subprocess.run(["sh", "-c", made], cwd=unpacked, capture_output=True, text=True, timeout=110)
    if done.returncode:
        return f"{SKIPPED}: {done.stderr.strip()[-300:]}"
    try:
        unpacked.rename(folder)
    except OSError:  # another one was first
        shutil.rmtree(unpacked)
    return program
