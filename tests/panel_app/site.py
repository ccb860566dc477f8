"""A whole installation as people run it, `heatpump up`, and a browser that looks at its pages."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from flows.mqtt import leave
from tests.brokers import free_port
from tests.flows import wait_for

DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
OPENED_WITHIN_MS = 180_000
"""Opening a page is most of what a busy machine has to do for it. [ms]"""
FORGOTTEN_S = 180
"""A page that was left before its WebSocket was open is waited for two minutes. [s]"""
_OWN = ("blob:", "data:")


class Installation:
    """`heatpump up` on free ports; `publish` is a device."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._ports = dict(zip(("mqtt", "mqtt_ws", "api", "panel"), [free_port() for _ in range(4)], strict=True))
        self.url = f"http://127.0.0.1:{self._ports['panel']}"
        self.api_url = f"http://127.0.0.1:{self._ports['api']}"
        self.api = httpx.Client(base_url=self.api_url, trust_env=False, timeout=20)
        self._device = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="tests")
        own = {name: value for name, value in os.environ.items() if not name.startswith(("HEATPUMP_", "MQTT_"))}
        ports = {f"HEATPUMP_{name.upper()}_PORT": str(port) for name, port in self._ports.items()}
        self.environment = {**own, **ports, "HEATPUMP_DATA": str(data), "HEATPUMP_MIN_FREE_MB": "1"}

    def start(self) -> None:
        """Start all and wait until the pages can be opened."""
        with (self.data.parent / f"{self.data.name}.log").open("w") as log:
            self._up = subprocess.Popen(
                [sys.executable, "-m", "flows.cli.app", "up"],
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        wait_for(lambda: self.health().get("live"), seconds=180)
        self._device.connect("127.0.0.1", self._ports["mqtt"])
        self._device.loop_start()
        wait_for(self._device.is_connected)

    def stop(self) -> None:
        """Stop all."""
        leave(self._device)
        self.api.close()
        self._up.terminate()
        self._up.wait(60)

    @property
    def mqtt_port(self) -> int:
        """Where devices connect."""
        return self._ports["mqtt"]

    def pid_of(self, name: str) -> int:
        """Pid of one of its processes."""
        status = json.loads((self.data / "run" / "status.json").read_text())
        return int(next(each["pid"] for each in status["processes"] if each["name"] == name))

    @contextmanager
    def held(self) -> Iterator[None]:
        """What dies meanwhile is started again afterwards only."""
        self._up.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._up.send_signal(signal.SIGCONT)

    def heatpump(self, *words: str, said: str = "") -> str:
        """Run a command of ours against it."""
        command = [sys.executable, "-m", "flows.cli.app", *words]
        done = subprocess.run(
            command, env=self.environment, input=said, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def devices(self) -> list[dict[str, Any]]:
        """All devices it knows."""
        return list(self.api.get("/api/devices").json())

    def health(self) -> dict[str, Any]:
        """What the pages' process says of itself, nothing while it does not answer."""
        try:
            # Asked again and again: reading the certificates that are trusted would take longer than all else.
            answer = httpx.get(f"{self.url}/health", trust_env=False, verify=False, timeout=5)
        except httpx.HTTPError:
            return {}
        return dict(answer.json())

    def report(self) -> dict[str, Any]:
        """What the pages' process says of itself, once it answers."""
        return wait_for(self.health)

    def ask_pages(self, path: str, **headers: str) -> httpx.Response:
        """Ask the pages' server as a program would."""
        return httpx.get(self.url + path, headers=headers, trust_env=False, timeout=30)

    def send(self, topic: str, payload: bytes | str, retain: bool = False) -> None:
        """Publish, and wait until the broker has it."""
        self._device.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)

    def publish(self, device_id: str, at: int | None = None, **groups: Any) -> int:
        """Send a reading made of payload groups; its time. [ms since 1970, UTC]"""
        at = at or time.time_ns() // 1_000_000
        self.send(f"heatpump/{device_id}/data", json.dumps({"timestamp": at, **groups}))
        return at

    def stored(self, device_id: str, at: int) -> None:
        """Wait until a reading of this time is stored."""
        wait_for(lambda: (self._newest(device_id) or 0) >= at)

    def _newest(self, device_id: str) -> int | None:
        from datetime import datetime

        answer = self.api.get(f"/api/devices/{device_id}/readings/latest")
        return (
            round(datetime.fromisoformat(answer.json()["time"]).timestamp() * 1000) if answer.is_success else None
        )


class Visitor:
    """One reader with a page; remembers what a clean page has none of."""

    def __init__(
        self, browser: Browser, url: str, viewport: dict[str, int] = DESKTOP, theme: str = "light", **more: Any
    ) -> None:
        self.url = url
        self.context: BrowserContext = browser.new_context(
            viewport=viewport,  # type: ignore[arg-type]
            color_scheme=theme,  # type: ignore[arg-type]
            ignore_https_errors=True,  # a certificate that the test made
            **more,
        )
        self.context.set_default_timeout(60_000)
        self.context.set_default_navigation_timeout(OPENED_WITHIN_MS)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(f"{error} {error.stack}"))
        self.page.on("request", lambda request: self._asked(request.url))

    def open(self, path: str) -> Page:
        """Open a page of the site."""
        self.page.goto(self.url + path)
        return self.page

    def close(self) -> None:
        """Leave; a page that complained, or asked elsewhere, fails."""
        self.context.close()
        assert not self.complaints, self.complaints

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _asked(self, url: str) -> None:
        if not url.startswith((self.url, re.sub("^http", "ws", self.url), *_OWN)):
            self.complaints.append(f"asked {url}")
