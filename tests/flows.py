"""A flow as a child process on a real broker, for tests: start, stop, freeze, kill -9, ask."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from flows.mqtt import leave
from flows.store import open_reader
from flows.store.protocol import StoreReader

T = TypeVar("T")
PATIENCE_S = 120.0
"""So long waits only who waits for what does not come: a busy machine takes its time."""


def wait_for(ask: Callable[[], T], until: Callable[[T], bool] = bool, seconds: float = PATIENCE_S) -> T:
    """Ask until the answer is right; fail with the last one."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if until(answer):
            return answer
        assert time.monotonic() < deadline, f"still {answer!r} after {seconds} s"
        time.sleep(0.05)


class Flow:
    """`heatpump flow` on a data folder."""

    def __init__(self, data: Path, broker_port: int, **settings: Any) -> None:
        self.data, self.store = data, data / "store.sqlite"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("HEATPUMP_", "MQTT_"))},
            "HEATPUMP_DATA": str(data),
            "MQTT_BROKER": "127.0.0.1",
            "MQTT_PORT": str(broker_port),
            "HEATPUMP_MIN_FREE_MB": "1",
            "HEATPUMP_EPOCH_MS": "500",
            **{f"HEATPUMP_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self.process: subprocess.Popen[str] | None = None
        self.log = data.parent / f"{data.name}-flow.log"

    def start(self) -> "Flow":
        """Start and wait until it is subscribed."""
        self.launch()
        wait_for(self.health, lambda health: bool(health and health["connected"]))
        return self

    def launch(self) -> None:
        """Start without waiting."""
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flows.cli.app", "flow"],
                env=self._environment,
                stdout=log,
                stderr=log,
                text=True,
            )

    def ended(self, seconds: float = PATIENCE_S) -> int:
        """Wait for its end; the exit code."""
        assert self.process is not None
        return self.process.wait(seconds)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(60)
        if self.log.exists():
            print(self.log.read_text()[-5000:])  # noqa: T201 (pytest shows it where a test failed)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.ended()

    def ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask its private port."""
        port = json.loads((self.data / "run" / "flow.json").read_text())["command_port"]
        token = (self.data / "secrets" / "command-token").read_text().strip()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}",
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Authorization": f"Bearer {token}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return dict(json.load(answer))

    def health(self) -> dict[str, Any] | None:
        """Ask how it is; None while it does not answer. Fails if it has ended."""
        code = self.process.poll() if self.process else None
        assert code is None, f"the flow ended with {code}"
        try:
            return self.ask("/health")
        except (OSError, ValueError):
            return None

    def read(self, question: Callable[[StoreReader], T]) -> T:
        """Ask the store."""
        with closing(open_reader(self.store)) as reader:
            return question(reader)

    def readings(self) -> int:
        """Count what is stored."""
        return self.read(lambda reader: reader.stats().total_readings)

    def alerts(self, alert_type: str) -> list[str]:
        """List the states of the alerts of a type, newest first."""
        found = self.read(lambda reader: reader.alerts(None, 0, 2**62 // 10**6, 100))
        return [alert.last.state for alert in found if alert.last.alert_type == alert_type]


class Device:
    """Publishes as a device does, QoS 1."""

    def __init__(self, port: int, device_id: str = "site1") -> None:
        self.device_id, self._at = device_id, 0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"test-{device_id}")
        self._client.max_inflight_messages_set(1000)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def send(self, payload: dict[str, Any] | bytes, topic: str = "data", retain: bool = False) -> None:
        """Publish and wait for the broker's acknowledgement."""
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        message = self._client.publish(f"heatpump/{self.device_id}/{topic}", data, qos=1, retain=retain)
        message.wait_for_publish(PATIENCE_S)
        assert message.is_published()

    def reading(self, **fields: Any) -> None:
        """Publish a reading of now, no two of the same millisecond."""
        self._at = max(time.time_ns() // 1_000_000, self._at + 1)
        self.send({"timestamp": self._at, "temperature": {"inlet": 30.5}, **fields})

    def close(self) -> None:
        leave(self._client)
