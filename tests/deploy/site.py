"""A server to be set up by setup.sh: a folder with what an administrator has, and a PATH with a stand-in docker."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FILES = ("docker-compose.yml", ".env.example", "setup.sh", "Dockerfile")
STAND_IN = Path(__file__).parent / "stand_in_docker.py"


class Site:
    """One server. `folder` is where setup.sh is run; `state` what the stand-in keeps."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state, self.bin = folder / "server", folder / "state", folder / "bin"
        for each in (self.folder, self.state / "access", self.state / "accounts", self.bin):
            each.mkdir(parents=True)
        for name in FILES:
            shutil.copy(ROOT / name, self.folder / name)
        shutil.copytree(ROOT / "deploy", self.folder / "deploy")
        docker = self.bin / "docker"
        # -IS: what it imports is Python's own, and it is started some twenty times a run.
        docker.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{STAND_IN}" "$@"\n')
        docker.chmod(0o755)

    def run(self, *options: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run setup.sh, without a terminal."""
        env = {
            "PATH": path or f"{self.bin}:{os.environ['PATH']}",
            "HOME": str(self.folder.parent),
            "STAND_IN": str(self.state),
            "LC_ALL": "C.UTF-8",
        }
        return subprocess.run(
            ["bash", "setup.sh", *options],
            cwd=self.folder,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def set_up(self, *options: str) -> str:
        """Run setup.sh; give back what it said. Raises AssertionError where it fails."""
        done = self.run(*(options or ("--local",)))
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def secret(self, name: str) -> str:
        """Read a secret."""
        return (self.folder / "data/secrets" / name).read_text().strip()

    def secrets(self) -> dict[str, str]:
        """Read all of them."""
        return {
            path.name: path.read_text().strip() for path in sorted((self.folder / "data/secrets").glob("[A-Z]*"))
        }

    def asked(self) -> list[list[str]]:
        """List what docker was asked, in order."""
        return [json.loads(line)["argv"] for line in (self.state / "asked.jsonl").read_text().splitlines()]

    def forget_asked(self) -> None:
        """Begin the list anew."""
        (self.state / "asked.jsonl").write_text("")

    def hashes(self) -> dict[str, str]:
        """Everything there is: content, mode and owner of each file of the server, and of its volumes."""
        found = {}
        for top in (self.folder, self.state / "access", self.state / "accounts"):
            for path in sorted(top.rglob("*")):
                stat = path.lstat()
                content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
                found[str(path)] = f"{stat.st_mode:o} {stat.st_uid} {content}"
        return found

    def env(self) -> dict[str, str]:
        """Read .env."""
        lines = [
            line for line in (self.folder / ".env").read_text().splitlines() if "=" in line and line[0] != "#"
        ]
        return dict(line.split("=", 1) for line in lines)
