#!/usr/bin/env python
"""How long from publish to stored and to a WebSocket: a fleet at a steady rate, watched at both ends.

    .venv/bin/python scripts/bench_latency.py
    .venv/bin/python scripts/bench_latency.py --broker rumqttd --rate 500

Flow and api run with the settings that scripts/up ships. A reading counts as stored when another process reads it
from SQLite; that is looked at every 2 ms, for one device that sends every 50 ms. At the WebSocket every reading of
the fleet counts; each of its devices sends less often than once a second, because no device is shown more often.
"""

import sqlite3
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

sys.path.insert(0, str(Path(__file__).parent.parent))

from scripts.lib.fleet import Pump
from scripts.lib.site import Broker, shipped_site
from scripts.lib.watching import console, show_settings
from tests.brokers import Rumqttd
from tests.ledger.load import Message
from tests.ledger.processes import ProductionMosquitto, Publisher, Site, wait_until
from tests.ledger.stored import TIME_BITS

LOOK_EVERY_S = 0.002
WATCHED_EVERY_S = 0.05
BETWEEN_S = 2.0
"""How often a device of the fleet sends."""

WARM_UP_S = 5.0

Sent = dict[tuple[str, int], float]


def main(
    rate: Annotated[int, typer.Option(min=50, help="Messages a second, all devices together.")] = 1000,
    seconds: Annotated[int, typer.Option(min=2, help="How long to measure, after 5 s of warming up. [s]")] = 30,
    broker: Annotated[Broker, typer.Option(help="scripts/up ships rumqttd.")] = Broker.mosquitto,
) -> None:
    """Publish at a steady rate and print the times from publish to both ends."""
    show_settings({"rate": rate, "seconds": seconds, "devices": fleet_size(rate) + 1, "broker": broker.value})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="latency-")))
        before = (ProductionMosquitto if broker is Broker.mosquitto else Rumqttd)(folder / "broker")
        site, publisher = stack.enter_context(shipped_site(before, folder))
        stored, shown = measure(site, publisher, rate, seconds)
    for end, latencies in (("stored", stored), ("WebSocket", shown)):
        latencies.sort()
        told = ", ".join(f"p{share} {latencies[len(latencies) * share // 100]:.1f} ms" for share in (50, 90, 99))
        most = latencies[-1]
        console.print(f"publish → {end}, {len(latencies)} readings at {rate} msg/s: {told}, most {most:.1f} ms")


def fleet_size(rate: int) -> int:
    """How many devices send the rest of the rate."""
    return round((rate - 1 / WATCHED_EVERY_S) * BETWEEN_S)


def measure(site: Site, publisher: Publisher, rate: int, seconds: int) -> tuple[list[float], list[float]]:
    """Publish and watch both ends. [ms]"""
    watched, *fleet = (Pump(number) for number in range(fleet_size(rate) + 1))
    one_in = round(rate * WATCHED_EVERY_S)
    publisher.send(message_of(watched, now_ms()))
    wait_until(
        "the first reading is stored", lambda: site.get(f"/api/devices/{watched.device_id}/readings/latest")
    )
    store_sent: Sent = {}
    fleet_sent: Sent = {}
    stored: list[float] = []
    shown: list[float] = []
    newest: dict[str, int] = {}
    over = threading.Event()
    with connect(f"ws://127.0.0.1:{site.api_port}/ws") as socket:
        watchers = [
            threading.Thread(target=watch_store, args=(site.store, watched.device_id, store_sent, stored, over)),
            threading.Thread(target=watch_socket, args=(socket, fleet_sent, shown)),
        ]
        for watcher in watchers:
            watcher.start()
        began = time.monotonic()
        for number in range(int((WARM_UP_S + seconds) * rate)):
            while (ahead := number / rate - (time.monotonic() - began)) > 0:
                time.sleep(min(ahead, 0.005))
            pump = fleet[number % len(fleet)] if number % one_in else watched
            # After a hold-up several are sent at once, and no device says one time twice.
            at = newest[pump.device_id] = max(now_ms(), newest.get(pump.device_id, 0) + 1)
            message = message_of(pump, at)
            if number / rate >= WARM_UP_S:
                (fleet_sent if number % one_in else store_sent)[pump.device_id, at] = time.monotonic()
            publisher.send(message)
        publisher.wait_acknowledged()
        try:
            wait_until("every watched reading is stored", lambda: len(stored) == len(store_sent))
            wait_until("every reading was shown", lambda: len(shown) == len(fleet_sent))
        finally:
            over.set()
            socket.close()
            for watcher in watchers:
                watcher.join()
    return stored, shown


def watch_store(store: Path, device_id: str, sent: Sent, latencies: list[float], over: threading.Event) -> None:
    """Note when each watched reading is first seen in the store."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
        (device,) = db.execute("SELECT device FROM device WHERE device_id = ?", (device_id,)).fetchone()
        last, end = 0, device + 1 << TIME_BITS
        while not over.wait(LOOK_EVERY_S):
            query = "SELECT key FROM raw WHERE key > ? AND key < ? ORDER BY key"
            keys = [key for (key,) in db.execute(query, (max(last, device << TIME_BITS), end))]
            seen = time.monotonic()
            for key in keys:
                at, last = key & (1 << TIME_BITS) - 1, key
                if (device_id, at) in sent:
                    latencies.append((seen - sent[device_id, at]) * 1000)


class Measured(msgspec.Struct):
    """The payload as the device sent it; of it only its time."""

    timestamp: int


class Shown(msgspec.Struct):
    """What the WebSocket says of a reading."""

    device_id: str = ""
    data: Measured | None = None


def watch_socket(socket: ClientConnection, sent: Sent, latencies: list[float]) -> None:
    """Note when each reading of the fleet comes out of the WebSocket, until that is closed."""
    decoder = msgspec.json.Decoder(Shown)
    try:
        for text in socket:
            seen, shown = time.monotonic(), decoder.decode(text)
            began = sent.get((shown.device_id, shown.data.timestamp)) if shown.data else None
            if began is not None:
                latencies.append((seen - began) * 1000)
    except ConnectionClosed:
        return


def message_of(pump: Pump, at: int) -> Message:
    """One reading of now."""
    return Message(pump.device_id, f"heatpump/{pump.device_id}/data", pump.text(at).encode(), reading=at)


def now_ms() -> int:
    """Now. [ms since 1970, UTC]"""
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    typer.run(main)
