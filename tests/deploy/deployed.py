"""A server set up by ./setup.sh and running, as compose describes it; and who uses it."""

import json
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from flows.mqtt import leave
from tests.deploy.compose_stack import Stack
from tests.deploy.engine import Shell, shell
from tests.deploy.runner import Machine
from tests.deploy.wire import HTTPS
from tests.flows import PATIENCE_S, wait_for

NAME = "heat.example"
PASSWORD = "correct horse 1"


class Deployed:
    """What was set up: `tell` runs a command as in `docker compose exec flow …`, `api` asks through nginx."""

    def __init__(self, sh: Shell, said: str) -> None:
        self.sh, self.machine, self.stack = sh, sh.engine.machine, sh.engine.stack
        self.project, self.said = self.stack.project, said
        self.ca = self.project / "data/tls/ca.crt"
        self.admin = re.findall(r"log in as +admin, password (\S+)", said)[0]
        self.api = self.client(self.secret("HEATPUMP_API_TOKEN"))

    def secret(self, name: str) -> str:
        """Read a secret that setup.sh made."""
        return (self.project / "data/secrets" / name).read_text().strip()

    def client(self, token: str | None = None, base: str = f"https://127.0.0.1:{HTTPS}") -> httpx.Client:
        """Make a client that trusts our CA, with a token or none."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=base, verify=self._trusting(), headers=headers, trust_env=False, timeout=60)

    def _trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))

    def tell(self, *argv: str, service: str = "flow", stdin: str = "") -> str:
        """Run a command in a container."""
        done = self.machine.running[service].run(*argv, stdin=stdin)
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout

    def make_user(self, name: str, *options: str) -> None:
        """Make one who logs in with PASSWORD."""
        self.tell("heatpump", "user", "add", name, "--password-stdin", *options, stdin=f"{PASSWORD}\n")

    def make_token(self, name: str, *options: str) -> str:
        """Make a token."""
        said = self.tell("heatpump", "token", "add", name, *options)
        return re.findall(r"hpm_\S+", said)[0]

    def device(self, device_id: str) -> "Device":
        """Make a device with its own account, connected by TLS."""
        (made,) = json.loads(self.tell("heatpump", "device", "add", device_id, "--json"))
        return Device(device_id, device_id, made["password"], 8883, self.ca)

    def shared(self, device_id: str) -> "Device":
        """Make a device that has the shared account, without TLS, as the original's."""
        return Device(device_id, "heatpump", self.secret("MQTT_PASSWORD"), 1883)

    def readings(self) -> int:
        """Count what is stored; -1 where the API does not answer."""
        try:
            answer = self.api.get("/api/stats")
            return int(answer.json()["total_readings"]) if answer.status_code == 200 else -1
        except (httpx.HTTPError, ValueError):
            return -1

    def until_stored(self, count: int, seconds: float = PATIENCE_S) -> None:
        """Wait for this count of readings."""
        wait_for(self.readings, lambda found: found == count, seconds)

    def close(self) -> None:
        """Let go of what is open."""
        self.api.close()


class Device:
    """Publishes readings of now, QoS 1, and connects again whenever it must."""

    def __init__(self, device_id: str, user: str, password: str, port: int, ca: Path | None = None) -> None:
        self.device_id, self.sent, self._acknowledged, self._at = device_id, 0, 0, 0
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=device_id, clean_session=False)
        self.client.username_pw_set(user, password)
        if ca is not None:
            self.client.tls_set(str(ca))
        self.client.reconnect_delay_set(1, 1)
        self.client.on_publish = self._on_publish
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        wait_for(self.client.is_connected)

    def send(self, **temperature: float) -> int:
        """Publish a reading without waiting; its time. [ms since 1970, UTC]"""
        self._at = max(time.time_ns() // 1_000_000, self._at + 1)
        payload = {
            "timestamp": self._at,
            "temperature": temperature or {"inlet": 30.5},
            "electrical": {"power": 900},
        }
        self.client.publish(f"heatpump/{self.device_id}/data", json.dumps(payload), qos=1)
        self.sent += 1
        return self._at

    def until_acknowledged(self) -> None:
        """Wait until the broker has all."""
        wait_for(lambda: self._acknowledged == self.sent)

    def _on_publish(self, *told: object) -> None:
        self._acknowledged += 1

    def close(self) -> None:
        """Leave."""
        leave(self.client)


@contextmanager
def deployed(folder: Path, *options: str) -> Iterator[Deployed]:
    """Set a server up with ./setup.sh, run it, and leave nothing behind."""
    with Machine(folder) as machine, shell(Stack(machine)) as sh:
        try:
            site = Deployed(sh, sh.run("./setup.sh", "--local", "--domain", NAME, *options))
            yield site
            site.close()
        finally:
            for running in machine.running.values():
                print(f"== {running.container.name} ({running.ended})\n{running.said[-2000:]}")  # noqa: T201
