"""A private InfluxDB server for tests, where HEATPUMP_TEST_INFLUXD names its binary: start, freeze, kill -9."""

import os
import signal
import subprocess
import time
from pathlib import Path

import httpx

from flows.proof.brokers import free_port

BINARY = "HEATPUMP_TEST_INFLUXD"
TOKEN = "test-token"
ORG = "heatpump"
PATIENCE_S = 120.0


class Influxd:
    """`influxd` on a folder of its own, set up with an organisation and TOKEN."""

    def __init__(self, folder: Path, binary: str | None = None) -> None:
        self.folder, self.port = folder, free_port()
        self._binary = binary or os.environ[BINARY]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start, wait until it answers, set it up the first time. Raises TimeoutError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "influxd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._binary,
                    *("--bolt-path", str(self.folder / "bolt"), "--sqlite-path", str(self.folder / "sqlite")),
                    *("--engine-path", str(self.folder / "engine")),
                    *("--http-bind-address", f"127.0.0.1:{self.port}", "--reporting-disabled"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE_S
        while not self._answers():
            if time.monotonic() > deadline:
                raise TimeoutError(f"influxd did not answer within {PATIENCE_S:.0f} s; see {self.folder}")
            time.sleep(0.05)
        body = {"username": "admin", "password": TOKEN * 2, "org": ORG, "bucket": "unused", "token": TOKEN}
        httpx.post(f"{self.url}/api/v2/setup", json=body, trust_env=False)  # 422 once it is set up

    def kill(self) -> None:
        """End it with -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(60)

    def freeze(self, frozen: bool) -> None:
        """Hold it, or let it go on."""
        os.kill(self.pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    def stop(self) -> None:
        """End it politely."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()

    def _answers(self) -> bool:
        try:
            answer = httpx.get(f"{self.url}/health", timeout=1.0, trust_env=False, verify=False)
            return answer.status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False
