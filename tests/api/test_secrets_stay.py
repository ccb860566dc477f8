"""Secrets stay where they are: in no log, no process list, no answer. The API and the commands as processes."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from tests.api.conftest import wait_for
from tests.api.people import PASSWORD
from tests.brokers import free_port
from tests.filled import fill

pytestmark = pytest.mark.slow

FIRST, KEY, METRICS = "first-token-of-this-test", "session-key-of-this-test", "metrics-token-of-this-test"


def heatpump(data: Path, *words: str, given: str = "") -> tuple[str, str, set[str]]:
    """Run a command; what it said on both sides, and every process list entry it made meanwhile."""
    command = [sys.executable, "-m", "flows.cli.app", *words, "--data", str(data)]
    seen: set[str] = set()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        watch = threading.Thread(target=lambda: watched(process, seen))
        watch.start()
        said, complained = process.communicate(given, timeout=300)
        watch.join()
    assert process.returncode == 0, complained
    return said, complained, seen


def watched(process: subprocess.Popen[str], seen: set[str]) -> None:
    while process.poll() is None:
        seen.add(cmdline(process.pid))


def cmdline(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


@contextmanager
def served(data: Path, port: int) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    environment = {
        **os.environ,
        "HEATPUMP_API_HOST": "0.0.0.0",
        "HEATPUMP_API_TOKEN": FIRST,
        "HEATPUMP_SESSION_KEY": KEY,
        "HEATPUMP_METRICS_TOKEN": METRICS,
    }
    log = data / "api.log"
    command = [sys.executable, "-m", "flows.cli.app", "api", "--port", str(port), "--data", str(data)]
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
    try:
        yield process, log
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def client_of(port: int) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, verify=False, timeout=20)


def test_tokens_passwords_sessions_and_keys_are_in_no_log_and_no_process_list(tmp_path: Path):
    fill(tmp_path / "store.sqlite", [1_770_000_000_000])
    token, complained, lists = heatpump(tmp_path, "token", "add", "office")
    token = token.strip()
    assert re.fullmatch(r"hpm_[\w-]{43}", token) and token not in complained
    made, complained, more = heatpump(tmp_path, "user", "add", "bert")
    made = made.strip()
    assert len(made) >= 20 and made not in complained
    said, complained, others = heatpump(tmp_path, "user", "add", "anna", "--password-stdin", given=f"{PASSWORD}\n")
    assert said == "" and PASSWORD not in complained
    listed = "".join(heatpump(tmp_path, kind, "list", "--json")[0] for kind in ("token", "user"))
    assert "office" in listed and "anna" in listed
    secrets = [token, made, PASSWORD, FIRST, KEY, METRICS]
    port = free_port()
    with served(tmp_path, port) as (process, log), client_of(port) as client:

        def is_up() -> bool:
            try:
                return client.get("/api/health").status_code == 200
            except httpx.TransportError:
                return False

        wait_for(is_up, "the API to answer")
        session = client.post("/login", data={"name": "anna", "password": PASSWORD}).cookies["heatpump_session"]
        client.cookies.clear()
        secrets.append(session)
        for secret in secrets:
            bearer = {"Authorization": f"Bearer {secret}"}
            for path in ("/api/devices", "/api/devices/nobody/status", "/metrics", f"/api/devices?token={secret}"):
                client.get(path, headers=bearer)
            client.put("/api/devices/site1", content=b"{", headers=bearer)
            client.post("/login", data={"name": secret, "password": secret})
            with connect(f"ws://127.0.0.1:{port}/ws", subprotocols=["bearer", token]) as ws:
                ws.send(secret)
                assert '"pong"' in ws.recv(10)
        (tmp_path / "secrets" / "access.json").write_text('{"accounts": "broken"}')

        def is_named() -> bool:
            assert client.get("/api/devices", headers={"Authorization": f"Bearer {token}"}).status_code == 200
            return "is no file of accounts" in log.read_text()

        wait_for(is_named, "the broken file to be named")
        lists |= more | others | {cmdline(process.pid)}
    text = log.read_text()
    assert "log-in as nobody who is known" in text and "Traceback" not in text
    for secret in secrets:
        assert secret not in text
        assert secret not in "".join(lists)
        assert secret not in listed
    digest = re.search(r"[0-9a-f]{64}", text)
    assert digest is None
