"""A private site: flow and api as children that are killed and come back, and a publisher of a device fleet."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import httpx
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from flows.child import PARENT
from flows.mqtt import leave
from flows.proof.brokers import free_port

PATIENCE_S = 120.0


class Sendable(Protocol):
    """One MQTT message."""

    @property
    def topic(self) -> str:
        """Where to."""

    @property
    def payload(self) -> bytes:
        """What."""

    @property
    def retain(self) -> bool:
        """Whether the broker keeps it for those who come later."""


class Child:
    """A process that is started again whenever it ends, as `heatpump up` does. starts: how often."""

    RESTART_AFTER_S = 0.2

    def __init__(self, name: str, environment: dict[str, str], log: Path) -> None:
        self.name, self.starts = name, 0
        self._environment, self._log = environment, log
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._killed: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, name=f"keep-{name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def kill(self) -> bool:
        """End it with -9; False if it is not running at this moment, or was just killed."""
        process = self._process
        if process is None or process is self._killed or process.poll() is not None:
            return False
        process.kill()
        self._killed = process
        return True

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        """End it for good, politely. Raises TimeoutError."""
        self._stopping.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
        if self._thread.ident is not None:
            self._thread.join(15)
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            raise TimeoutError(f"{self.name} did not end within 15 s of SIGTERM; see {self._log}")

    def _keep(self) -> None:
        with self._log.open("ab") as log:
            while not self._stopping.is_set():
                self.starts += 1
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "flows.cli.app", self.name],
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C is for us: we stop them in order
                )
                if self._stopping.is_set():
                    self._process.terminate()
                self._process.wait()
                self._stopping.wait(self.RESTART_AFTER_S)


class Site:
    """Flow and api on one data folder, with the settings that are shipped, and nothing of our environment.

    settings : further ones, as environment variables.
    """

    def __init__(self, folder: Path, mqtt_port: int, **settings: str) -> None:
        self.data, self.mqtt_port, self.api_port = folder / "data", mqtt_port, free_port()
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | {
            "HEATPUMP_DATA": str(self.data),
            "MQTT_BROKER": "127.0.0.1",
            "MQTT_PORT": str(mqtt_port),
            "HEATPUMP_API_PORT": str(self.api_port),
            PARENT: str(os.getpid()),
            **settings,
        }
        self.children = {name: Child(name, environment, folder / f"{name}.log") for name in ("flow", "api")}
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{self.api_port}", timeout=10.0, trust_env=False)

    @property
    def store(self) -> Path:
        """The store's file."""
        return self.data / "store.sqlite"

    def start(self) -> None:
        """Start both and wait until the broker holds the flow's session. Raises TimeoutError with last words."""
        for child in self.children.values():
            child.start()
        try:
            wait_until("the API is subscribed", lambda: self.get("/api/health").get("mqtt_connected"))
            wait_until("the flow is subscribed", self._flow_is_subscribed)
        except TimeoutError as error:
            logs = "".join((self.data.parent / f"{name}.log").read_text()[-2000:] for name in self.children)
            raise TimeoutError(f"{error}:\n{logs}") from None

    def stop(self) -> None:
        """End both."""
        self._http.close()
        for child in self.children.values():
            child.stop()

    def get(self, path: str) -> Any:
        """Ask the api; {} while it does not answer."""
        try:
            answer = self._http.get(path)
        except httpx.HTTPError:
            return {}
        return answer.json() if answer.status_code == httpx.codes.OK else {}

    def pages(self, path: str) -> int:
        """Count the rows of all pages from one on."""
        count, url = 0, path
        while url:
            answer = self._http.get(url)
            answer.raise_for_status()
            count += len(answer.json())
            url = answer.links.get("next", {}).get("url", "")
        return count

    def is_idle(self) -> bool:
        """Whether all that was journaled is stored and no minute is left to be folded again."""
        pipeline = self.get("/api/pipeline")
        return (
            bool(pipeline)
            and pipeline["backlog"] == pipeline["dirty"] == 0
            and pipeline["stored_seq"] == pipeline["read_seq"]
        )

    def _flow_is_subscribed(self) -> bool:
        return bool(self.get("/api/pipeline").get("journal", {}).get("connected"))


class Publisher:
    """Sends messages with QoS 1; counts what was sent, acknowledged, and its connections.

    paho sends a message given to it in the middle of a reconnection before those that waited for it, so nothing
    is sent while there is no connection.
    """

    def __init__(self, port: int) -> None:
        self.sent = self.acknowledged = self.connections = 0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="ledger", clean_session=False)
        self._client.max_queued_messages_set(0)
        self._client.max_inflight_messages_set(1000)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_publish, self._client.on_connect = self._acknowledged, self._connected
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self.wait_connected(1)

    def send(self, message: Sendable) -> None:
        """Send one."""
        self._client.publish(message.topic, message.payload, qos=1, retain=message.retain)
        self.sent += 1

    def wait_acknowledged(self) -> None:
        """Wait until the broker has acknowledged everything. Raises TimeoutError."""
        wait_until("everything is acknowledged", lambda: self.acknowledged == self.sent, 300)

    def wait_connected(self, connection: int) -> None:
        """Wait for the n-th connection. Raises TimeoutError."""
        wait_until("the publisher is connected", lambda: self.connections >= connection)

    def close(self) -> None:
        """Leave the broker."""
        leave(self._client)

    def _acknowledged(self, *_: Any) -> None:
        self.acknowledged += 1

    def _connected(self, *_: Any) -> None:
        self.connections += 1


def wait_until(what: str, condition: Callable[[], Any], patience_s: float = PATIENCE_S) -> None:
    """Look again and again. Raises TimeoutError that says what did not happen."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"it did not happen within {patience_s:.0f} s that {what}")
        time.sleep(0.05)
