#!/usr/bin/env python
"""How long from publish to stored: a fleet at a steady rate, one reading in fifty watched in the store file.

    .venv/bin/python scripts/bench_latency.py
    .venv/bin/python scripts/bench_latency.py --broker mosquitto --rate 1000

Flow and api run with the settings that scripts/up ships. A reading counts as stored when another process reads it
from SQLite; that is looked at every 2 ms.
"""

import json
import sqlite3
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).parent.parent))

from scripts.ledger import Broker, console, show_settings
from tests.brokers import Rumqttd
from tests.ledger.compare import TIME_BITS
from tests.ledger.load import Device, Message
from tests.ledger.processes import OrdinaryMosquitto, Publisher, Site, wait_until

LOOK_EVERY_S = 0.002
WATCHED = "watched"
ONE_IN = 50
WARM_UP_S = 5.0


def main(
    rate: Annotated[int, typer.Option(min=50, help="Messages a second, all devices together.")] = 500,
    seconds: Annotated[int, typer.Option(min=5, help="How long to measure, after 5 s of warming up. [s]")] = 30,
    devices: Annotated[int, typer.Option(min=1, help="How many devices send beside the watched one.")] = 50,
    broker: Annotated[Broker, typer.Option(help="scripts/up ships rumqttd.")] = Broker.rumqttd,
) -> None:
    """Publish at a steady rate and print the times from publish to stored."""
    show_settings({"rate": rate, "seconds": seconds, "devices": devices, "broker": broker.value})
    with tempfile.TemporaryDirectory(prefix="latency-") as folder:
        running = (OrdinaryMosquitto if broker is Broker.mosquitto else Rumqttd)(Path(folder) / "broker")
        running.start()
        site = Site(Path(folder), running.port)
        publisher = None
        try:
            site.start()
            publisher = Publisher(running.port)
            latencies = measure(site, publisher, rate, seconds, devices)
        finally:
            if publisher is not None:
                publisher.close()
            site.stop()
            running.stop()
    latencies.sort()
    told = ", ".join(f"p{share} {latencies[len(latencies) * share // 100]:.1f} ms" for share in (50, 90, 99))
    console.print(
        f"publish → stored, {len(latencies)} readings at {rate} msg/s: {told}, most {latencies[-1]:.1f} ms"
    )


def measure(site: Site, publisher: Publisher, rate: int, seconds: int, devices: int) -> list[float]:
    """Publish and watch. [ms]"""
    fleet = [Device(f"fleet{number}", number % 4, "latency") for number in range(devices)]
    watched = Device(WATCHED, 0, "latency")
    publisher.send(message_of(watched, now_ms()))
    wait_until("the first reading is stored", lambda: site.get(f"/api/devices/{WATCHED}/readings/latest"))
    sent: dict[int, float] = {}
    latencies: list[float] = []
    over = threading.Event()
    watcher = threading.Thread(target=watch, args=(site.store, sent, latencies, over))
    watcher.start()
    began = time.monotonic()
    for number in range(int((WARM_UP_S + seconds) * rate)):
        while (ahead := number / rate - (time.monotonic() - began)) > 0:
            time.sleep(min(ahead, 0.005))
        at = now_ms()
        if number % ONE_IN:
            publisher.send(message_of(fleet[number % devices], at))
        else:
            message = message_of(watched, at)
            if number / rate >= WARM_UP_S:
                sent[at] = time.monotonic()
            publisher.send(message)
    publisher.wait_acknowledged()
    try:
        wait_until("every watched reading is stored", lambda: len(latencies) == len(sent))
    finally:
        over.set()
        watcher.join()
    return latencies


def watch(store: Path, sent: dict[int, float], latencies: list[float], over: threading.Event) -> None:
    """Note when each watched reading is first seen in the store."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
        (device,) = db.execute("SELECT device FROM device WHERE device_id = ?", (WATCHED,)).fetchone()
        last, end = 0, device + 1 << TIME_BITS
        while not over.wait(LOOK_EVERY_S):
            query = "SELECT key FROM raw WHERE key > ? AND key < ? ORDER BY key"
            keys = [key for (key,) in db.execute(query, (max(last, device << TIME_BITS), end))]
            seen = time.monotonic()
            for key in keys:
                at, last = key & (1 << TIME_BITS) - 1, key
                if at in sent:
                    latencies.append((seen - sent[at]) * 1000)


def message_of(device: Device, at: int) -> Message:
    """One reading of now."""
    payload = json.dumps(device.reading(at)).encode()
    return Message(device.device_id, f"heatpump/{device.device_id}/data", payload, reading=at)


def now_ms() -> int:
    """Now. [ms since 1970, UTC]"""
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    typer.run(main)
