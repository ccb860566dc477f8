"""The API as a process: its start, its end, what it says."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from api.serve import listening
from flows.errors import ConfigError
from tests.api.conftest import Filled, wait_for
from tests.brokers import free_port
from tests.filled import fill


@contextmanager
def served(*arguments: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "flows.cli.app", "api", "--port", str(port), *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def health(port: int) -> httpx.Response | None:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/api/health", trust_env=False, timeout=60)
    except httpx.TransportError:
        return None


def ended_by(process: subprocess.Popen[bytes], number: signal.Signals) -> int:
    """Send a signal; return the exit code. Whoever waits for those who are connected, who stay, fails."""
    process.send_signal(number)
    return process.wait(60)


@pytest.mark.slow
def test_it_waits_for_the_store_that_the_flow_will_create(tmp_path: Path):
    port = free_port()
    with served("--data", str(tmp_path), port=port) as process:
        wait_for(lambda: health(port) is not None, "the API to answer")
        away = health(port)
        assert away.status_code == 503
        assert away.json()["status"] == "unhealthy"
        devices = httpx.get(f"http://127.0.0.1:{port}/api/devices", trust_env=False, timeout=60)
        assert devices.status_code == 503
        assert "there is no store at" in devices.json()["detail"]
        fill(tmp_path / "store.sqlite", [1_770_000_000_000])
        assert health(port).json()["status"] == "degraded"
        assert httpx.get(f"http://127.0.0.1:{port}/api/devices", trust_env=False, timeout=60).status_code == 200
        assert ended_by(process, signal.SIGINT) == 0


@pytest.mark.slow
def test_it_ends_whoever_is_connected(tmp_path: Path):
    path = tmp_path / "other" / "replayed.sqlite"
    path.parent.mkdir()
    fill(path, range(1_770_000_000_000, 1_770_000_600_000, 10_000))
    port = free_port()
    with served("--data", str(tmp_path), "--store", str(path), port=port) as process:
        wait_for(lambda: health(port) is not None, "the API to answer")
        assert health(port).json()["status"] == "degraded"
        with connect(f"ws://127.0.0.1:{port}/ws", close_timeout=0.1) as ws:
            ws.send("?")
            assert json.loads(ws.recv(60))["type"] == "pong"
            assert ended_by(process, signal.SIGTERM) == 0


@pytest.mark.slow
def test_a_file_that_is_served_by_itself_is_the_store_whatever_is_set(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("INFLUXDB_URL", "http://127.0.0.1:1")  # without a token
    path, port = tmp_path / "replayed.sqlite", free_port()
    fill(path, [1_770_000_000_000])
    with served("--data", str(tmp_path / "data"), "--store", str(path), port=port):
        wait_for(lambda: health(port) is not None, "the API to answer")
        assert (health(port).json()["store"], health(port).json()["influxdb_connected"]) == ("sqlite", True)


def test_a_busy_port_is_named_with_the_option_that_changes_it():
    with listening("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"HEATPUMP_API_PORT: {port} cannot be used .*--api-port"):
            listening("127.0.0.1", port)


@pytest.mark.slow
def test_a_store_that_is_not_there_is_named(tmp_path: Path):
    with served("--store", str(tmp_path / "none.sqlite"), port=free_port()) as process:
        assert process.wait(60) == 2
        said = process.stderr.read().decode()
    assert "none.sqlite" in said
    assert "Traceback" not in said


def test_another_programs_file_is_said_to_be_one(filled: Filled, tmp_path: Path):
    from flows.settings import load_settings
    from tests.api.conftest import running

    other = tmp_path / "store.sqlite"
    other.write_bytes(b"no database at all" * 100)
    with running(load_settings(data=tmp_path), other) as api:
        answer = api.get("/api/stats")
        assert answer.status_code == 503
        assert str(other) in answer.json()["detail"]
        assert api.get("/api/health").json()["status"] == "unhealthy"
