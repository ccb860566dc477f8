"""Publishing: when each device's next reading is due, and what is said of it."""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Sequence

from .connection import Connection
from .console import say
from .device import Device
from .row import Row
from .times import iso


class Pace:
    """The simulated clock: this machine's, or from a start on so many times as fast until it reaches now."""

    def __init__(self, speed: float = 1.0, start_ms: int | None = None) -> None:
        self.speed, self.start_ms, self.since_s = speed, start_ms, time.monotonic()

    @property
    def real(self) -> bool:
        return self.start_ms is None

    def now_ms(self) -> int:
        wall = int(time.time() * 1000)
        if self.start_ms is None:
            return wall
        simulated = self.start_ms + int((time.monotonic() - self.since_s) * self.speed * 1000)
        if self.speed > 1.0 and simulated >= wall:
            self.start_ms, self.speed = None, 1.0
            return wall
        return simulated


OWN_CONNECTIONS = 10
"""Up to so many devices have a connection each, with a last will of their own; more share one."""


def publish(
    devices: Sequence[Device], args: argparse.Namespace, pace: Pace, begin_ms: int, stop: threading.Event
) -> str:
    """Publish readings until stopped or --end, each device every interval. Why the broker refused, or ""."""
    count = len(devices)
    groups = [[device] for device in devices] if count <= OWN_CONNECTIONS else [devices]
    links = [Connection(args, group, stop) for group in groups]
    for link in links:
        link.open()
    step_ms, number, told_s = args.interval * 1000.0, 0, time.monotonic()
    while not stop.is_set():
        due = begin_ms + int(number * step_ms / count)
        if due >= args.end_ms:
            break
        late_ms = pace.now_ms() - due
        if late_ms < 0:
            # Many devices are served in bursts of 20 ms: waking for each would cost more than the readings.
            stop.wait(max(-late_ms / 1000.0 / pace.speed, 0.02 if count > OWN_CONNECTIONS else 0.0))
            continue
        if pace.real and late_ms > max(600_000.0, 2.0 * step_ms):
            number += count * int(late_ms / step_ms)  # this machine slept
            continue
        device, link = devices[number % count], links[number % count % len(links)]
        if link.full:
            stop.wait(0.05)
            continue
        number += 1
        reading = device.reading(due)
        if reading is None:
            continue
        link.send(f"heatpump/{device.device_id}/data", json.dumps(reading, separators=(",", ":")))
        if len(links) > 1 or count == 1 or due - device.said_rssi_ms >= 60_000:
            device.said_rssi_ms = due
            link.send(
                f"heatpump/{device.device_id}/status/rssi", str(round(-62.0 + 2.0 * device.noise.slow(due + 1)))
            )
        if count == 1 and pace.speed <= 1.0:
            say(summary(due, reading))
        elif time.monotonic() - told_s >= 5.0:
            told_s = time.monotonic()
            say(f"{iso(due)}  {count} devices, {number} readings")
    stop.set()
    for link in links:
        link.close()
    return next((link.refused for link in links if link.refused), "")


def summary(ms: int, reading: Row) -> str:
    """Say a reading in one line."""
    temperature, status = reading["temperature"], reading["status"]
    doing = "defrost" if status["defrost"] else "hot water" if status.get("dhw") else "heating"
    doing = doing if status["compressor"] or status.get("dhw") else "standby"
    at = time.strftime("%H:%M:%S", time.localtime(ms / 1000))
    water = f"flow {temperature['outlet']:.1f} C  return {temperature['inlet']:.1f} C"
    return (
        f"{at}  {doing}  {water}  outdoor {temperature['ambient']:.1f} C  {reading['electrical']['power']:.0f} W"
    )
