"""nginx as compose runs it, for its tests: its user, its files, a root nobody may write."""

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.deploy.compose_stack import Stack
from tests.deploy.echo import Echo
from tests.deploy.runner import Machine, Mount, Running

OTHER_NGINX = "HEATPUMP_TEST_NGINX"
"""Names another nginx to be tried instead of this machine's, such as the version of the image."""


class Site:
    """nginx, and what is behind it."""

    backend: Echo
    panel: Echo
    nginx: Running

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.stack = Stack(machine)
        self.tls = self.stack.project / "data/tls/nginx"
        self.certify("first")
        (self.tls / "ca.crt").write_text("stands for our own CA")
        self.start()

    def start(self) -> None:
        container = self.stack.container("dashboard")
        if os.environ.get(OTHER_NGINX):
            container = replace(
                container, mounts=(*container.mounts, Mount(Path(os.environ[OTHER_NGINX]), "/usr/sbin/nginx"))
            )
        self.nginx = self.machine.start(container)
        self.machine.until_healthy("dashboard")

    def certify(self, name: str) -> None:
        """Make a certificate for nginx."""
        self.tls.mkdir(parents=True, exist_ok=True)
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "server.key"]
        made = ["openssl", "req", "-x509", *key, "-out", "server.crt", "-days", "2", "-subj", f"/CN={name}"]
        subprocess.run(made, cwd=self.tls, check=True, capture_output=True)
        shutil.chown(self.tls / "server.key", 101, 101)

    def log(self) -> list[dict[str, Any]]:
        """What it logged of requests."""
        return [json.loads(line) for line in self.nginx.said.splitlines() if line.startswith("{")]
