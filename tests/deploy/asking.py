"""What tests ask of the chart's installation once it runs: devices, API, probes, commands inside."""

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

import httpx

from tests.deploy.kubelet import Cluster

TOKEN = "for-tests-alone-api-0000000000000000"
SECONDS = 120.0


def until(passes: Callable[[], object], what: str, seconds: float = SECONDS) -> object:
    """Wait until something is true; give it."""
    deadline = time.monotonic() + seconds
    while not (found := passes()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


def probed(cluster: Cluster, kind: str, but: tuple[str, ...] = ()) -> None:
    """Wait until each container's probe of a kind succeeds, but those of some parts."""
    for pod in (pod for pod in cluster.pods.values() if pod.part not in but):
        for container in pod.spec["containers"]:
            if kind in container:
                said = ["not asked"]
                name = container["name"]
                deadline = time.monotonic() + SECONDS
                while said := cluster.probe(pod.part, name, kind):
                    log = cluster.machine.running[f"{pod.name}-{name}"].said
                    assert time.monotonic() < deadline, f"{kind} of {name}: {said}\n{log[-3000:]}"
                    time.sleep(0.1)


def exec_(cluster: Cluster, name: str, *command: str) -> str:
    """As `kubectl exec … -c NAME -- COMMAND`."""
    done = cluster.machine.running[name].run(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Device:
    """A device with its own account, publishing at QoS 1."""

    def __init__(self, name: str, password: str) -> None:
        self._command = [
            "mosquitto_pub",
            "-h",
            "127.0.0.1",
            "-i",
            name,
            "-u",
            name,
            "-P",
            password,
            "-q",
            "1",
            "-l",
        ]
        self._command += ["-t", f"heatpump/{name}/data"]

    def publish(self, *readings: dict[str, object]) -> bool:
        """Send readings; tell whether the broker let it in and acknowledged them."""
        lines = "\n".join(json.dumps(each) for each in readings)
        try:
            done = subprocess.run(self._command, input=lines, text=True, capture_output=True, timeout=60)
        except subprocess.TimeoutExpired:  # it was let in once, and then tries for ever
            return False
        return done.returncode == 0


def get(address: str, **more: Any) -> httpx.Response:
    """Ask patiently: beside everything else that starts, an answer may take seconds."""
    return httpx.get(address, timeout=60, **more)


def api(path: str, token: str = TOKEN, method: str = "GET", **more: Any) -> httpx.Response:
    bearer = {"Authorization": f"Bearer {token}"}
    return httpx.request(method, f"http://127.0.0.1:8000{path}", headers=bearer, timeout=60, **more)


def times(device: str) -> set[str]:
    try:
        answer = api(f"/api/devices/{device}/readings?hours=24&limit=1000")
    except httpx.ConnectError:
        return set()
    return {each["time"] for each in answer.json()} if answer.status_code == 200 else set()


def reading(at_ms: int, inlet: float = 45.0) -> dict[str, object]:
    return {
        "timestamp": at_ms,
        "temperature": {"inlet": inlet, "outlet": inlet + 5},
        "electrical": {"voltage": 230},
    }
