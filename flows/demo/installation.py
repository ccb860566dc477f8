"""The running installation that the demo is loaded into: its flow, its store, its broker."""

import secrets
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from flows.demo.sites import FINE_MS
from flows.errors import FlowDown, HeatPumpError
from flows.flow_port import FlowPort
from flows.history.client import Client, Progress
from flows.model.command import CommandRequest
from flows.model.device import DeviceMetadata
from flows.model.history import Standing
from flows.model.table import Table
from flows.model.times import DAY_MS
from flows.mqtt import enter, leave, login_of
from flows.settings import Settings
from flows.store import open_reader
from flows.store.protocol import StoredDevice

MINUTE_MS, MINUTES_KEPT_MS = 60_000, 80 * DAY_MS

PATIENCE_S = 60.0
"""How long the effect of a command, or the broker, is waited for. [s]"""


class DemoFailed(HeatPumpError):
    """Something that the demo needs has ended or does not answer; the next start may go better."""


class Installation:
    """Talks to the flow of a data folder. Everything may raise FlowDown, StoreError."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._flow = FlowPort(settings)

    def standing(self, device_id: str, import_id: str) -> Progress:
        """Ask how far an import has come; a flow under `up` is waited for."""
        return self._client(device_id, import_id).standing()

    def send(self, device_id: str, import_id: str, source: str, tables: Iterator[Table]) -> Standing:
        """Import what is new of tables; back when it is stored."""
        client = self._client(device_id, import_id)
        return client.send(tables, source, client.standing(), lambda readings, newest: None)

    def device(self, device_id: str) -> StoredDevice | None:
        """Read what is stored of a device."""
        with closing(open_reader(self._settings.store)) as reader:
            return reader.device(device_id)

    def whole_until(self, device_id: str, since: int, now: int) -> int:
        """Find the first minute that lacks readings, such as where the demo stood still. [ms since 1970, UTC]

        since : where to begin to look; minutes older than their retention are taken as whole.
        """
        start = max(since, now - MINUTES_KEPT_MS) // MINUTE_MS * MINUTE_MS
        with closing(open_reader(self._settings.store)) as reader:
            rows = reader.rollup_columns(device_id, "1m", start, now, ["count"], (now - start) // MINUTE_MS + 1)
        counts = dict(zip(rows.time, rows.values["count"], strict=True))
        minutes = range(start, now, MINUTE_MS)
        return next((at for at in minutes if (counts.get(at) or 0) < MINUTE_MS // FINE_MS), now)

    def describe(self, device_id: str, metadata: DeviceMetadata) -> None:
        """Store metadata of a device, unless that is what is known of it."""
        known = self.device(device_id)
        if known is None or known.metadata != [metadata]:
            self._command("device_put", {**msgspec.to_builtins(metadata), "device_id": device_id})

    def forget(self, device_id: str) -> None:
        """Delete everything of a device, if there is one."""
        if self.device(device_id) is not None:
            self._command("device_forget", {"device_id": device_id})

    def mark_simulated(self, device_ids: list[str]) -> None:
        """Say of devices that they are simulated, before anything is shown of them. Raises DemoFailed."""
        settings = self._settings
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="heatpump-demo", protocol=mqtt.MQTTv311)
        enter(client, login_of(settings))
        where = f"{settings.mqtt_host}:{settings.mqtt_port}"
        try:
            client.connect(settings.mqtt_host, settings.mqtt_port, keepalive=30)
            client.loop_start()
            for device_id in device_ids:
                told = client.publish(f"heatpump/{device_id}/status/simulated", "true", qos=1, retain=True)
                told.wait_for_publish(PATIENCE_S)
                if not told.is_published():
                    raise TimeoutError(f"for {PATIENCE_S:.0f} s")
        except (OSError, ValueError, RuntimeError) as error:
            raise DemoFailed(f"the broker at {where} takes no message ({error}); see `heatpump status`") from None
        finally:
            leave(client)

    def _client(self, device_id: str, import_id: str) -> Client:
        return Client(self._settings, device_id, import_id, lambda why: None)

    def _command(self, name: str, body: dict[str, Any]) -> None:
        """Have a command done; back when its effect is stored."""
        asked = secrets.token_hex(16)
        self._flow.submit(CommandRequest(asked, "demo", name, body))
        deadline = time.monotonic() + PATIENCE_S
        with closing(open_reader(self._settings.store)) as reader:
            while (outcome := reader.command(asked)) is None:
                if time.monotonic() > deadline:
                    raise FlowDown(f"has not done {name} for {PATIENCE_S:.0f} s", "see `heatpump status`")
                time.sleep(0.02)
        if outcome.outcome == "refused":
            raise FlowDown(f"refuses {name} of {body['device_id']}: {outcome.detail}")
