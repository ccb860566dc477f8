"""One ledger run: publish at a steady rate, kill, wait until all is stored, compare."""

import random
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from flows.model.influx_address import InfluxAddress
from flows.proof.kills import Kills, send
from tests.brokers import Mosquitto, Rumqttd
from tests.influxd import ORG, TOKEN, Influxd
from tests.ledger import answers
from tests.ledger.compare import Expected, Verdict, compare, expected_of
from tests.ledger.load import Load, Message
from tests.ledger.processes import OrdinaryMosquitto, Publisher, Site, wait_until
from tests.ledger.stored import StoredSqlite
from tests.ledger.stored_influx import StoredInflux

AUTOSAVED_S = 1.5
"""Mosquitto acknowledges before it saves, at most a second later: it is killed only when that is over."""

MEMORY_DISK = Path("/dev/shm")
"""Mosquitto writes all that it holds at every change; on a disk that alone would hold up 500 messages a second.

What a process has written to it survives that process's kill -9, which is all that is tried here.
"""

MOST_ALERTS = 500
"""The most alerts one request gives."""

Say = Callable[[str], None]


class Options(NamedTuple):
    """What to do.

    rate         : messages a second.
    kills        : of flow and api; broker_kills: between bursts.
    broker       : mosquitto or rumqttd.
    influxd      : binary of the server store, "" for the embedded one; influx_kills: how often it is killed.
    """

    seconds: int = 300
    rate: int = 500
    devices: int = 8
    kills: int = 25
    broker_kills: int = 5
    broker: str = "mosquitto"
    seed: str = "1"
    influxd: str = ""
    influx_kills: int = 0


class Outcome(NamedTuple):
    """verdict: of the comparison; killed: how often what was; seconds: publishing and settling."""

    verdict: Verdict
    killed: dict[str, int]
    messages: int
    publishing_s: float
    settling_s: float


def run(folder: Path, options: Options, say: Say) -> Outcome:
    """Do all of it in a folder of its own; the broker's is in memory where there is such a disk."""
    folder.mkdir(parents=True, exist_ok=True)
    disk = MEMORY_DISK if MEMORY_DISK.is_dir() else folder
    with TemporaryDirectory(prefix="ledger-broker-", dir=disk) as memory:
        return _run(folder, Path(memory), options, say)


def _run(folder: Path, memory: Path, options: Options, say: Say) -> Outcome:
    load = Load(options.seed, options.devices, options.seconds * options.rate, time.time_ns() // 1_000_000)
    messages = [*load.messages(), last_message(load.now)]
    broker = (OrdinaryMosquitto if options.broker == "mosquitto" else Rumqttd)(memory)
    broker.start()
    influxd = Influxd(folder / "influxdb", options.influxd) if options.influxd else None
    if influxd is not None:
        influxd.start()
    site = Site(folder, broker.port, **influx_settings(influxd))
    publisher, killer = None, KillsInflux(influxd, options, say)
    try:
        site.start()
        publisher = Publisher(broker.port)
        say(f"{len(messages)} messages of {options.devices} devices, event times from {load.first} ms")
        began = time.monotonic()
        killer.start()
        kills = kills_of(options, site, say)
        for number, burst in enumerate(bursts(messages, options.broker_kills + 1)):
            if number:
                publisher.wait_acknowledged()
                kill_broker(broker)
                publisher.wait_connected(number + 1)
                kills.note("broker")
            send(publisher, burst, options.rate, kills)
        publisher.wait_acknowledged()
        killer.join()
        published = time.monotonic()
        say("published and acknowledged; waiting until everything is stored and healed")
        settle(site, say)
        settled = time.monotonic()
        expected = expected_of(messages)
        rest = compare_rest(site, expected, load.first)
    finally:
        if publisher is not None:
            publisher.close()
        site.stop()
        broker.stop()
    try:
        address = influx_address(influxd) if influxd is not None else site.store
        stored = StoredInflux(influxd.url, TOKEN) if influxd is not None else StoredSqlite(site.store)
        with closing(stored):
            verdict = compare(stored, expected, load.events)
        verdict.differences += [*rest, *answers.differences(address, expected)]
    finally:
        if influxd is not None:
            influxd.stop()
    killed = {**kills.killed, **({"influxd": killer.killed} if influxd is not None else {})}
    return Outcome(verdict, killed, len(messages), published - began, settled - published)


class KillsInflux(threading.Thread):
    """Kills the server store with -9 at moments spread over the run, and starts it again after some seconds."""

    def __init__(self, influxd: Influxd | None, options: Options, say: Say) -> None:
        super().__init__(name="kills-influxd", daemon=True)
        self._influxd, self._options, self._say = influxd, options, say
        self.killed = 0

    def run(self) -> None:
        if self._influxd is None or not self._options.influx_kills:
            return
        rng, pause = random.Random(self._options.seed), self._options.seconds / (self._options.influx_kills + 1)
        began = time.monotonic()
        for number in range(self._options.influx_kills):
            time.sleep(max(0.0, began + pause * (number + rng.uniform(0.5, 1.0)) - time.monotonic()))
            self._influxd.kill()
            self.killed += 1
            self._say(f"{time.monotonic() - began:6.1f} s  killed influxd")
            time.sleep(rng.uniform(0.0, 2.0))
            self._influxd.start()


def influx_settings(influxd: Influxd | None) -> dict[str, str]:
    """Settings of a site whose store is this server."""
    return {} if influxd is None else {"INFLUXDB_URL": influxd.url, "INFLUXDB_TOKEN": TOKEN}


def influx_address(influxd: Influxd) -> InfluxAddress:
    """Where our own readers find it."""
    return InfluxAddress(influxd.url, TOKEN, ORG)


def kill_broker(broker: Mosquitto | Rumqttd) -> None:
    """Kill it once it has saved what it acknowledged, and start it again."""
    time.sleep(AUTOSAVED_S)
    broker.kill()
    broker.start()


def last_message(now: int) -> Message:
    """What is sent last: when it is stored, so is everything before it."""
    payload = f'{{"timestamp":{now},"temperature":{{"inlet":45}},"electrical":{{"voltage":230}}}}'
    return Message("last", "heatpump/last/data", payload.encode(), reading=now)


def bursts(messages: list[Message], count: int) -> list[list[Message]]:
    """Cut the messages into about equal parts."""
    size = -(-len(messages) // count)
    return [messages[first : first + size] for first in range(0, len(messages), size)]


def kills_of(options: Options, site: Site, say: Say) -> Kills:
    """Kill flow and api at moments drawn before the run, and say so."""
    told = lambda at, name: say(f"{at:6.1f} s  killed {name}")  # noqa: E731
    return Kills(options.seed, options.seconds, options.kills, site, told)


def settle(site: Site, say: Say) -> None:
    """Wait until the last message is stored and nothing is left to heal; says if it takes too long."""
    try:
        wait_until("the last message is stored", lambda: site.get("/api/devices/last/readings/latest"), 120)
        wait_until("nothing is dirty", lambda: site.is_idle(), 120)
    except TimeoutError as error:
        say(f"{error}; comparing what there is")


def compare_rest(site: Site, expected: dict[str, Expected], first: int) -> list[str]:
    """Count through the REST API what the store file is compared for row by row."""
    found = []
    start = datetime.fromtimestamp(first / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for device_id, wanted in expected.items():
        count = site.pages(f"/api/devices/{device_id}/readings?start={start}&limit=1000")
        if count != len(wanted.samples):
            found.append(f"{device_id}: REST gives {count} readings, expected {len(wanted.samples)}")
        states = [change.state for changes in wanted.transitions.values() for change in changes]
        raised = min(states.count("raised"), MOST_ALERTS)
        count = site.pages(f"/api/alerts?device_id={device_id}&start={start}&limit={MOST_ALERTS}")
        if count < raised:
            found.append(f"{device_id}: REST gives {count} alerts, expected at least {raised}")
    return found
