#!/usr/bin/env python
"""Soak: hours of a fleet that comes and goes, with kills, and at the end every row held against an oracle.

    .venv/bin/python scripts/soak.py
    .venv/bin/python scripts/soak.py --minutes 600 --kill-every 120

Two fleets send at once. One comes in waves: every few minutes other devices arrive, send thousands of readings
with gaps, late, shuffled, doubled and amended, and leave; the ledger's oracle says which rows must be there. The
other is rough: each device has a connection of its own that breaks, it reboots, counts milliseconds since boot or
has no clock, sends bursts of what it kept, and dirt; every reading must be stored once and every refusal counted.
Meanwhile flow, api and broker are killed with -9. Flow and api run with the settings that scripts/up ships. Exit
code 1 if anything differs or grows.
"""

import shutil
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

sys.path.insert(0, str(Path(__file__).parent.parent))

from flows.proof.kills import Kills, send
from scripts.lib.fleet import Pump
from scripts.lib.growth import HISTORY, Growth, Sample, fill, flat
from scripts.lib.site import shipped_site
from scripts.lib.watching import console, show_settings
from tests.brokers import Mosquitto
from tests.ledger.compare import compare, expected_of
from tests.ledger.load import Load, Message
from tests.ledger.processes import OrdinaryMosquitto, Publisher, Site
from tests.ledger.rough import Rough, differences
from tests.ledger.runner import MEMORY_DISK, Options, kill_broker, kills_of, last_message, settle
from tests.ledger.stored import StoredSqlite

WAVE_S = 300.0
FEWEST_WAVES = 3
SAMPLES = 60
SHORTEST_S = 2.0
MOST_GROWTH = 0.1
FILLED = 100
"""Devices that have been there before and send no more."""

DIFFERENCES_SHOWN = 20


class Wave(NamedTuple):
    """A fleet that comes and leaves; all it sends follows from this. now: of its coming [ms since 1970, UTC]"""

    number: int
    seed: str
    devices: int
    readings: int
    now: int

    def load(self) -> Load:
        """Its devices and messages."""
        return Load(f"{self.seed}/{self.number}", self.devices, self.readings, self.now, f"wave{self.number}-")

    @property
    def device_ids(self) -> set[str]:
        """Who belongs to it."""
        return {f"wave{self.number}-{n + 1}" for n in range(self.devices)}


def main(
    minutes: Annotated[float, typer.Option(min=0.3, help="How long to publish. [min]")] = 60.0,
    rate: Annotated[int, typer.Option(min=10, help="Messages a second of the waves together.")] = 200,
    devices: Annotated[int, typer.Option(min=1, help="Devices of a wave.")] = 20,
    rough: Annotated[int, typer.Option(min=0, help="Rough devices, each about one message a second.")] = 15,
    kill_every: Annotated[float, typer.Option(help="Flow or api is killed with -9 this often. [s]")] = 60.0,
    broker_every: Annotated[int, typer.Option(help="Waves between kills of the broker.")] = 2,
    history: Annotated[int, typer.Option(min=0, help="Readings stored before, more than caches hold.")] = HISTORY,
    seed: Annotated[str, typer.Option(help="What is sent and when is killed follows from it.")] = "1",
    folder: Annotated[Path | None, typer.Option(help="Keep everything here; else a temporary folder.")] = None,
) -> None:
    """Publish, kill, watch it grow, compare."""
    seconds = minutes * 60
    show_settings(
        {"minutes": minutes, "rate": rate, "devices a wave": devices, "rough devices": rough}
        | {"kill every [s]": kill_every, "broker every [waves]": broker_every, "history": history, "seed": seed}
    )
    where = folder or Path(tempfile.mkdtemp(prefix="soak-"))
    where.mkdir(parents=True, exist_ok=True)
    options = Options(int(seconds), rate, devices, int(seconds / kill_every), seed=seed)
    with ExitStack() as stack:
        memory = MEMORY_DISK if MEMORY_DISK.is_dir() else where
        of_broker = stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-broker-", dir=memory))
        broker = OrdinaryMosquitto(Path(of_broker))
        site, publisher = stack.enter_context(shipped_site(broker, where))
        fill(site, publisher, [Pump(number) for number in range(FILLED)], history)
        field = [Rough(number, broker.port, seed) for number in range(rough)]
        for device in field:
            stack.callback(device.close)
        growth = Growth(site)
        waves, killed = publish(options, broker, site, publisher, field, growth, broker_every)
        settle(site, say)
        growth.sample()
        conservation = site.get("/api/pipeline")["conservation"]
        starts = {name: child.starts for name, child in site.children.items()}
    found = held_against(site.store, waves, field)
    for word in ("in_flight", "unexplained"):
        if conservation[word]:
            found.append(f"{conservation[word]} readings are {word} at the end")
    for name, count in starts.items():
        if count != killed[name] + 1:
            found.append(f"{name} was started {count} times and killed {killed[name]} times: it ended by itself")
    growth.show()
    console.print(flat(MOST_GROWTH), highlight=False)
    troubles = growth.troubles(MOST_GROWTH)
    console.print(", ".join(f"kill -9 of {name}: {count}" for name, count in killed.items()), highlight=False)
    for sentence in [*found[:DIFFERENCES_SHOWN], *troubles]:
        console.print(sentence, style="red", highlight=False)
    console.print(f"ledger {'differs' if found else 'clean'}; memory and handles {'grow' if troubles else 'flat'}")
    if found or troubles:
        console.print(f"Everything is in {where}")
        raise typer.Exit(1)
    if folder is None:
        shutil.rmtree(where)


def publish(
    options: Options,
    broker: Mosquitto,
    site: Site,
    publisher: Publisher,
    field: list[Rough],
    growth: Growth,
    broker_every: int,
) -> tuple[list[Wave], dict[str, int]]:
    """Send wave after wave; between some of them the broker is killed."""
    count = max(FEWEST_WAVES, round(options.seconds / WAVE_S))
    readings = options.seconds * options.rate // count
    waves = []
    meanwhile = Meanwhile(kills_of(options, site, say), field, growth, max(options.seconds / SAMPLES, SHORTEST_S))
    for number in range(1, count + 1):
        if number > 1 and (number - 1) % broker_every == 0:
            publisher.wait_acknowledged()
            for device in field:
                device.finish()
            connections = publisher.connections
            kill_broker(broker)
            publisher.wait_connected(connections + 1)
            meanwhile.kills.note("broker")
        wave = Wave(number, options.seed, options.devices, readings, now_ms())
        say(f"wave {number} of {count}: {len(wave.device_ids)} devices come")
        send(publisher, [*wave.load().messages(), *map(leave, sorted(wave.device_ids))], options.rate, meanwhile)
        waves.append(wave)
    for device in field:
        device.finish()
    publisher.send(last_message(now_ms()))
    publisher.wait_acknowledged()
    return waves, meanwhile.kills.killed


class Meanwhile:
    """What goes on while waves are sent: kills, the rough devices, samples."""

    def __init__(self, kills: Kills, field: list[Rough], growth: Growth, sample_every_s: float) -> None:
        self.kills, self._field, self._growth = kills, field, growth
        self._every_s, self._sample_at = sample_every_s, 0.0

    def strike(self) -> None:
        """Do what is due."""
        self.kills.strike()
        now = time.monotonic()
        for device in self._field:
            device.step(now)
        if now >= self._sample_at:
            self._sample_at = now + self._every_s
            tell(self._growth.sample())


def held_against(store: Path, waves: list[Wave], field: list[Rough]) -> list[str]:
    """Compare all of it; every difference in a sentence."""
    everybody = {"last", *(Pump(number).device_id for number in range(FILLED))}
    everybody = everybody.union(*(wave.device_ids for wave in waves), (device.device_id for device in field))
    found = differences(store, field)
    readings = sum(len(device.numbers) for device in field)
    letters = sum(device.refused.total() for device in field)
    say(
        f"rough: {readings} readings, {letters} dead letters, {sum(device.connections for device in field)} "
        f"connections, {sum(device.cuts for device in field)} cut, "
        f"{sum(device.reboots for device in field)} reboots"
    )
    for wave in waves:
        load = wave.load()
        expected = expected_of(list(load.messages()))
        with closing(StoredSqlite(store)) as stored:
            others = everybody - wave.device_ids
            verdict = compare(stored, expected, load.events, others=others, left=True)
        counts = verdict.counts
        say(
            f"wave {wave.number}: {counts['published']} readings, {counts['distinct']} different, "
            f"{counts['stored']} stored, {counts['lost']} lost, {counts['doubled']} doubled, "
            f"{counts['wrong']} wrong; {counts['1m rows']} minutes, "
            f"{counts['transitions']} alert transitions compared"
        )
        found += verdict.differences
    return found


def leave(device_id: str) -> Message:
    """What a device says at last."""
    return Message(device_id, f"heatpump/{device_id}/status/online", b"false", retain=True)


def tell(sample: Sample | None) -> None:
    """Say a sample in one line."""
    if sample is None:
        return
    memory = ", ".join(f"{name} {mb:.0f} MB {sample.handles[name]} handles" for name, mb in sample.memory.items())
    sizes = ", ".join(f"{name} {mb:.1f} MB" for name, mb in sample.sizes.items())
    say(f"{sample.at_s:6.0f} s  {memory}; {sizes}; dirty {sample.dirty}, backlog {sample.backlog}")


def say(sentence: str) -> None:
    """Print a line of what goes on."""
    console.print(sentence, style="dim", highlight=False, soft_wrap=True)


def now_ms() -> int:
    """Now. [ms since 1970, UTC]"""
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    typer.run(main)
