"""What the ledger publishes: numbered full readings of several devices, disturbed on the way, from one seed.

Event times lie in the past and advance by 10 s a reading however fast they are sent, so that a short run closes
many minutes, some hours and a UTC day.
"""

import json
import random
from collections.abc import Iterator
from typing import NamedTuple

from tests.oracle.readings import Published

STEP_MS = 10_000
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
GAP_MS = 1_200_000
"""Longer than any value is held."""


class Message(NamedTuple):
    """One MQTT message. reading: of a `data` message its event time, else None. [ms since 1970, UTC]"""

    device_id: str
    topic: str
    payload: bytes
    retain: bool = False
    reading: int | None = None


class Event(NamedTuple):
    """An alert that a device raised itself."""

    device_id: str
    at: int
    value: float


class Excursion:
    """A quantity that is well most of the time, and now and then beyond its thresholds."""

    def __init__(self, rng: random.Random, well: float, spread: float, beyond: tuple[float, ...]) -> None:
        self._rng, self._well, self._spread, self._beyond = rng, well, spread, beyond
        self._left, self._around = 0, well

    def next(self) -> float:
        """The next value."""
        if self._left:
            self._left -= 1
        else:
            out = self._rng.random() < 0.01
            self._left = self._rng.randint(3, 40) if out else 0
            self._around = self._rng.choice(self._beyond) if out else self._well
        spread = self._spread if self._around == self._well else 1.5 * self._spread
        return round(self._around + self._rng.uniform(-spread, spread), 2)


class Device:
    """A machine that makes plausible readings of 20 fields. kind: what it measures heat with.

    0: counters; 1: a flow meter; 2: nothing, its heat is estimated; 3: counters, and many a field is missing.
    """

    def __init__(self, device_id: str, kind: int, seed: str) -> None:
        self.device_id, self.kind = device_id, kind
        rng = self._rng = random.Random(f"{seed}/{device_id}")
        self._boot = "b1" if rng.random() < 0.5 else None
        self._voltage = Excursion(rng, 230, 4, (212.0, 209.0, 246.0, 251.0))
        self._current = Excursion(rng, 8, 2, (12.2, 15.1))
        self._hot = Excursion(rng, 70, 6, (85.5, 95.5))
        self._high = Excursion(rng, 280, 40, (402.0, 452.0))
        self._low = Excursion(rng, 70, 12, (41.0, 21.0))
        self._ambient = 20.0 if kind == 1 else 4.0
        self._state, self._left = "space", 30
        self._heat, self._electric = 1000.0, 400.0
        self._number = 0

    def reading(self, at: int) -> dict:
        """Make the reading of one moment."""
        rng = self._rng
        self._next_state()
        running = self._state != "standby"
        inlet = round(rng.uniform(28, 34), 2)
        lift = {"space": 5.0, "dhw": 6.0, "cooling": -4.0, "defrost": -7.0, "standby": 0.2}[self._state]
        outlet = round(inlet + lift + rng.uniform(-1, 1), 2)
        power = round(rng.uniform(900, 3500) if running else rng.uniform(8, 30), 1)
        flow = round(rng.uniform(15, 25), 2) if running else 0.0
        self._count(power, flow / 60 * 4186 * (outlet - inlet))
        payload = {
            "device": self.device_id,
            "timestamp": at,
            "version": "1.0.0",
            "seq": self._number,
            "temperature": {
                "inlet": inlet,
                "outlet": outlet,
                "ambient": round(self._ambient + rng.uniform(-3, 3), 2),
                "compressor": self._hot.next(),
                "indoor": round(rng.uniform(19, 22), 2),
                "dhw": round(rng.uniform(42, 52), 2),
            },
            "electrical": {"voltage": self._voltage.next(), "current": self._current.next(), "power": power},
            "pressure": {"high": self._high.next(), "low": self._low.next()},
            "status": {
                "compressor": running,
                "fan": running and rng.random() < 0.95,
                "defrost": self._state == "defrost",
                "dhw": self._state == "dhw",
            },
            "hydraulic": {"flow": flow, "pressure": round(rng.uniform(1.2, 1.9), 2)},
            "setpoint": {"flow": 35.0},
            "energy": {"heat": round(self._heat, 4), "electric": round(self._electric, 4)},
            "alerts": dict.fromkeys(("voltage", "compressor_temp", "pressure_high", "pressure_low", "current"), 0),
        }
        self._number += 1
        if self._boot:
            payload["boot_id"] = self._boot
        if rng.random() < 0.01:
            payload["alerts"][rng.choice(list(payload["alerts"]))] = rng.choice((1, 2))
        return self._of_kind(payload)

    def amended(self, payload: dict) -> dict:
        """The same moment once more, with other values in some fields."""
        rng, again = self._rng, {"timestamp": payload["timestamp"], "seq": self._number}
        self._number += 1
        if self._boot:
            again["boot_id"] = self._boot
        for group in rng.sample(("temperature", "electrical", "status", "hydraulic"), 2):
            again[group] = {key: value for key, value in payload[group].items() if rng.random() < 0.5}
        again["electrical"] = {"voltage": round(rng.uniform(225, 235), 2)}
        return again

    def _next_state(self) -> None:
        self._left -= 1
        if self._left <= 0:
            busy = ("space", "space", "dhw", "defrost", "cooling" if self.kind == 1 else "space")
            self._state = (
                self._rng.choice(busy) if self._state == "standby" or self._rng.random() < 0.5 else "standby"
            )
            self._left = self._rng.randint(5, 25) if self._state == "defrost" else self._rng.randint(15, 90)

    def _count(self, power: float, heat: float) -> None:
        hours = STEP_MS / HOUR_MS
        self._electric += power / 1000 * hours
        self._heat += heat / 1000 * hours
        if self._rng.random() < 0.001:
            self._electric, self._heat = 1.0, 20.0

    def _of_kind(self, payload: dict) -> dict:
        if self.kind in (1, 2):
            del payload["energy"]
            payload["setpoint"] |= {"indoor": 20.5, "dhw": 48.0}
        if self.kind == 2:
            del payload["hydraulic"]["flow"]
            payload["electrical"]["backup"] = round(self._rng.uniform(0, 100), 1)
        if self.kind == 3:
            for group in ("temperature", "electrical", "pressure", "status", "hydraulic", "energy"):
                for key in payload[group]:
                    if self._rng.random() < 0.3:
                        payload[group][key] = None
        return payload


class Load:
    """All messages of a run, in order; the same for the same seed and now.

    now    : of its making; all event times lie before it. [ms since 1970, UTC]
    first  : the first event time, two hours before a UTC midnight. [ms since 1970, UTC]
    events : alerts that devices raise themselves.
    """

    def __init__(self, seed: str, devices: int, messages: int, now: int, name: str = "ledger") -> None:
        self.devices = [Device(f"{name}{n + 1}", n % 4, seed) for n in range(devices)]
        self._rng = random.Random(seed)
        self.now = now
        self._each = max(1, int(messages / devices / 1.03))
        span = self._each * (STEP_MS + GAP_MS // 400) + HOUR_MS
        self.first = (now - span) // DAY_MS * DAY_MS - 2 * HOUR_MS
        self.events: list[Event] = []

    def messages(self) -> Iterator[Message]:
        """Everything to publish, devices interleaved."""
        for device in self.devices:
            yield Message(device.device_id, f"heatpump/{device.device_id}/status/online", b"true", retain=True)
        streams = [self._stream(device) for device in self.devices]
        while streams:
            for stream in list(streams):
                message = next(stream, None)
                if message is None:
                    streams.remove(stream)
                else:
                    yield message

    def _stream(self, device: Device) -> Iterator[Message]:
        """One device's messages: some late, shuffled, doubled, amended.

        A message is sent once its place has come; disturbing it moves its place.
        """
        rng = self._rng
        places: list[tuple[float, int, Message]] = []
        at = self.first
        for n in range(self._each):
            at += STEP_MS if rng.random() > 1 / 500 else GAP_MS
            payload = device.reading(at + rng.randint(0, 400))
            message = _reading(device, payload)
            place = n + self._delay(n)
            places.append((place, n, message))
            kind = rng.random()
            if kind < 0.02:
                places.append((place + rng.randint(0, 50), n, message))
            elif kind < 0.03:
                places.append((place + rng.randint(0, 50), n, _reading(device, device.amended(payload))))
            if n % 400 == 100:
                places.append((place, n, self._event(device, at)))
                rssi = f"heatpump/{device.device_id}/status/rssi"
                places.append((place, n, Message(device.device_id, rssi, str(-40 - n % 30).encode())))
        yield from (message for _, _, message in sorted(places, key=lambda entry: entry[:2]))

    def _delay(self, n: int) -> float:
        """By how many readings the n-th comes late."""
        rng = self._rng
        if n % 200 < 20:
            return rng.randint(0, 20)
        kind = rng.random()
        return rng.randint(20, 200) if kind < 0.01 else rng.randint(200, 2000) if kind < 0.011 else 0

    def _event(self, device: Device, at: int) -> Message:
        event = Event(device.device_id, at, round(self._rng.uniform(1, 9), 3))
        self.events.append(event)
        body = {"type": "leak", "level": "warning", "value": event.value, "message": "as found", "timestamp": at}
        return Message(device.device_id, f"heatpump/{device.device_id}/alerts", json.dumps(body).encode())


def _reading(device: Device, payload: dict) -> Message:
    topic = f"heatpump/{device.device_id}/data"
    return Message(device.device_id, topic, json.dumps(payload).encode(), reading=payload["timestamp"])


def published(messages: list[Message], device_id: str) -> list[Published]:
    """One device's readings in the order in which they were sent."""
    return [
        Published(device_id, message.reading, json.loads(message.payload))
        for message in messages
        if message.device_id == device_id and message.reading is not None
    ]
