"""Devices as they are in the field: connections of their own that break, reboots, clocks of all kinds, dirt.

Every reading carries a number of its own in `energy.electric`, so that each can be found in the store however it was
dated; every message that must be refused is counted with the reason.
"""

import json
import random
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt

from flows.mqtt import leave
from tests.ledger.processes import wait_until
from tests.ledger.stored import TIME_BITS
from tests.packed import columns_of, unpacked

BETWEEN_S = (0.3, 1.5)
REBOOT_S = 10.0
MOST_KEPT = 200
LATE_MS = 600_000
KINDS = ("unix", "uptime", "uptime with boot_id", "no clock", "dirty")

REFUSED: tuple[tuple[str, bytes, str], ...] = (
    ("data", b'{"temperature":{"inlet":4', "not_json"),
    ("data", b"\xff\xfe\x00", "not_json"),
    ("data", b"[" * 3000 + b"]" * 3000, "not_json"),
    ("data", b'"45.2"', "not_an_object"),
    ("data", b"{}", "empty"),
    ("data", b'{"temperature":{"inlet":999,"outlet":"warm","ambient":-127}}', "empty"),
    ("data", b'{"device":"another","electrical":{"power":900}}', "device_mismatch"),
    ("data", b'{"timestamp":1577836800001,"electrical":{"power":900}}', "older_than_retention"),
    ("status/online", b"perhaps", "bad_status"),
    ("alerts", b'{"level":"warning"}', "bad_alert"),
)
"""Sub-topic, payload, and why it becomes a dead letter."""


class Rough:
    """One such device. numbers: of the readings it sent; refused: its dead letters by reason."""

    def __init__(self, number: int, port: int, seed: str) -> None:
        self.device_id, self.kind = f"rough{number + 1}", KINDS[number % len(KINDS)]
        self.numbers: list[int] = []
        self.refused: Counter[str] = Counter()
        self.connections = self.cuts = self.reboots = 0
        self._rng = random.Random(f"{seed}/{self.device_id}")
        self._kept: list[dict[str, Any]] = []
        self._booted = time.monotonic()
        self._boots = 1
        self._due = self._booted + self._rng.uniform(*BETWEEN_S)
        self._sent = self._acknowledged = 0
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=self.device_id, clean_session=False)
        self._client.will_set(self._topic("status/online"), b"false", qos=1, retain=True)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect, self._client.on_publish = self._connected, self._published
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    @property
    def at_rest(self) -> bool:
        """Connected, with everything acknowledged."""
        return self._client.is_connected() and self._acknowledged == self._sent

    def step(self, now: float) -> None:
        """Do what is due; a device that lost its connection goes on measuring. now: monotonic [s]"""
        if now < self._due:
            return
        rng, lot = self._rng, self._rng.random()
        self._due = now + rng.uniform(*BETWEEN_S)
        if lot < 0.03 and self.at_rest:
            self._cut()
        elif lot < 0.05 and self.kind.startswith("uptime"):
            self._reboot(now)
        elif lot < 0.3 and self.kind == "dirty":
            self._send_dirt()
        else:
            self._measure(now)

    def finish(self) -> None:
        """Send what was kept, wait until it is acknowledged, leave."""
        wait_until(f"{self.device_id} is connected", self._client.is_connected)
        self._send_kept()
        wait_until(f"all of {self.device_id} is acknowledged", lambda: self.at_rest)

    def close(self) -> None:
        """Leave the broker."""
        leave(self._client)

    def _topic(self, name: str) -> str:
        return f"heatpump/{self.device_id}/{name}"

    def _publish(self, name: str, payload: bytes, retain: bool = False) -> None:
        self._sent += 1
        self._client.publish(self._topic(name), payload, qos=1, retain=retain)

    def _cut(self) -> None:
        """Lose the connection without a word: the last will tells."""
        connection = self._client.socket()
        if connection is not None:
            self.cuts += 1
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _reboot(self, now: float) -> None:
        """Off for a while; then the uptime begins anew. What it kept is gone, and was never promised."""
        self.reboots += 1
        self._boots += 1
        self._kept.clear()
        self._booted = now + REBOOT_S / 2
        self._due = now + REBOOT_S

    def _measure(self, now: float) -> None:
        reading = self._reading(now)
        self._kept.append(reading)
        if not self._client.is_connected() or (len(self._kept) < MOST_KEPT and self._rng.random() < 0.05):
            return  # kept: sent with the next ones, late and as an array
        again = self._rng.random() < 0.05 and self.kind in ("unix", "dirty", "no clock", "uptime with boot_id")
        self._send_kept()
        if again:
            self._publish("data", json.dumps(reading).encode())
        if self._rng.random() < 0.05:
            self._publish("status/rssi", b"%d" % self._rng.randint(-80, -40))

    def _send_kept(self) -> None:
        kept, self._kept = self._kept, []
        if not kept:
            return
        self.numbers += [round(reading["energy"]["electric"] * 1000) for reading in kept]
        if self.kind == "dirty" and self._rng.random() < 0.2:
            kept.insert(self._rng.randint(0, len(kept)), {})
            self.refused["empty"] += 1
        self._publish("data", json.dumps(kept if len(kept) > 1 else kept[0]).encode())

    def _send_dirt(self) -> None:
        if self._client.is_connected():
            name, payload, reason = self._rng.choice(REFUSED)
            self.refused[reason] += 1
            self._publish(name, payload)

    def _reading(self, now: float) -> dict[str, Any]:
        rng, number = self._rng, (self.numbers[-1] if self.numbers else 0) + len(self._kept) + 1
        reading: dict[str, Any] = {
            "temperature": {"inlet": round(rng.uniform(28, 34), 1), "outlet": round(rng.uniform(33, 39), 1)},
            "electrical": {"voltage": round(rng.uniform(226, 236), 1), "power": round(rng.uniform(900, 2500), 1)},
            "status": {"compressor": rng.random() < 0.8},
            "energy": {"electric": number / 1000},
        }
        if self.kind in ("unix", "dirty"):
            reading["timestamp"] = time.time_ns() // 1_000_000
        elif self.kind.startswith("uptime"):
            reading["timestamp"] = round((now - self._booted) * 1000)
        if self.kind in ("no clock", "uptime with boot_id"):
            reading |= {"boot_id": f"b{self._boots}", "seq": number}
        if self.kind == "dirty":
            reading["temperature"]["ambient"] = rng.choice((412.0, -127, "cold", None, True, 7.5))
            reading["nonsense"] = {"of": ["a", "newer", "firmware"]}
        return reading

    def _connected(self, client: mqtt.Client, *_: Any) -> None:
        self.connections += 1
        self._publish("status/online", b"true", retain=True)

    def _published(self, *_: Any) -> None:
        self._acknowledged += 1


def differences(store: Path, devices: Iterable[Rough]) -> list[str]:
    """Look for every number that was sent, and for every dead letter; each difference in a sentence."""
    found = []
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
        columns = columns_of(db, "raw")
        for device in devices:
            span = "key >= d.device << ? AND key < d.device + 1 << ?"
            query = f"SELECT body FROM raw, device d WHERE d.device_id = ? AND {span}"
            rows = db.execute(query, (device.device_id, TIME_BITS, TIME_BITS))
            stored = Counter(round(unpacked(columns, body)["electric_energy"] * 1000) for (body,) in rows)
            lost = [number for number in device.numbers if not stored[number]]
            more = [number for number, count in stored.items() if count > 1]
            unknown = stored.keys() - set(device.numbers)
            for word, numbers in (("lost", lost), ("stored twice", more), ("never sent", sorted(unknown))):
                if numbers:
                    told = ", ".join(map(str, numbers[:5]))
                    found.append(f"{device.device_id} ({device.kind}): {len(numbers)} readings {word}: {told}")
            query = "SELECT reason, sum(count) FROM dead_letter_count WHERE device_id = ? GROUP BY reason"
            letters = dict(db.execute(query, (device.device_id,)).fetchall())
            if letters != dict(device.refused):
                found.append(f"{device.device_id}: dead letters {letters}, sent were {dict(device.refused)}")
    return found
