#!/usr/bin/env python
"""How many readings a second go from MQTT into the store, everything on, and what each process spends on one.

    .venv/bin/python scripts/bench_ingest.py
    .venv/bin/python scripts/bench_ingest.py --influxd /usr/bin/influxd
    .venv/bin/python scripts/bench_ingest.py --per-message 30 --readings 900000
    .venv/bin/python scripts/bench_ingest.py --broker-only

Real Mosquitto, journal with fdatasync, recovery, every shipped node, the api beside it; flow and api with the
settings that scripts/up ships, or it refuses to run. 1 000 devices send QoS 1, their event times 10 s apart and up
to now. The packets are made beforehand and pushed by a process that costs next to nothing; the broker never holds
more than a window of them. Exit code 1 if the store does not hold exactly what was published.
"""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, NamedTuple

import psutil
import typer
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))

from flows.store import StoreAddress
from scripts.lib import firehose
from scripts.lib.fleet import Fleet, Payload
from scripts.lib.holding import Progress, differences, rows_of
from scripts.lib.watching import Used, Watched, check_shipped, console, folder_mb, show_settings
from tests.influxd import Influxd
from tests.ledger.processes import ProductionMosquitto, Site, wait_until
from tests.ledger.runner import influx_address, influx_settings

LOOK_EVERY_S, ASK_EVERY_S = 0.1, 0.5
"""How often the store is looked into: a file; a server, which takes milliseconds of CPU for a question. [s]"""

PATIENCE_S = 900.0
MEMORY_DISK = Path("/dev/shm")


class Measured(NamedTuple):
    """What was measured.

    seconds  : from the first publish to the last reading stored.
    healed_s : from there until nothing is dirty.
    used     : by process.
    others   : what other processes took meanwhile, or the host of this machine. [cores]
    """

    seconds: float
    healed_s: float
    used: dict[str, Used]
    others: float


def main(
    readings: Annotated[int, typer.Option(min=1000, help="How many, all devices together.")] = 300_000,
    per_message: Annotated[int, typer.Option(min=1, max=1000, help="Readings in one message.")] = 1,
    devices: Annotated[int, typer.Option(min=1, max=10_000, help="How many devices.")] = 1000,
    payload: Annotated[
        Payload, typer.Option(help="20 measured quantities, or the contract's full reading.")
    ] = Payload.measured,
    window: Annotated[
        int, typer.Option(min=1, help="Readings published and not yet stored; at least two messages a device.")
    ] = 60_000,
    broker_only: Annotated[
        bool, typer.Option("--broker-only", help="Only what Mosquitto passes on to mosquitto_sub: the ceiling.")
    ] = False,
    influxd: Annotated[str, typer.Option(help="Binary of an InfluxDB 2 server that is the store then.")] = "",
    folder: Annotated[Path | None, typer.Option(help="Where the data go; else a temporary folder.")] = None,
) -> None:
    """Publish, wait until all is stored, compare, print."""
    # Each device's first message is sent beforehand and not counted: afterwards it is known.
    turns = max(1, round(readings / devices / per_message))
    fleet = Fleet(devices, (turns + 1) * per_message, time.time_ns() // 1_000_000, payload)
    options = {
        "readings": turns * per_message * devices,
        "per message": per_message,
        "devices": devices,
        "window": window,
    }
    with ExitStack() as stack:
        where = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ingest-", dir=folder)))
        memory = MEMORY_DISK if MEMORY_DISK.is_dir() else where
        packets = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ingest-packets-", dir=memory)))
        broker = ProductionMosquitto(where / "broker")
        broker.start()
        stack.callback(broker.stop)
        show_settings(
            {
                **options,
                "payload": payload.value,
                "data on": file_system(where),
                "mosquitto.conf": broker.config.strip(),
            }
        )
        firehose.prepare(packets, fleet.messages(per_message))
        size = (packets / "packets").stat().st_size
        console.print(f"{size / (fleet.rounds * devices):.0f} bytes a reading on the wire", style="dim")
        if broker_only:
            measure_broker(broker, packets, fleet, per_message)
            return
        server = Influxd(where / "influxdb", influxd) if influxd else None
        if server is not None:
            server.start()
            stack.callback(server.stop)
        site = Site(where, broker.port, **influx_settings(server))
        store = influx_address(server) if server is not None else site.store
        stack.callback(site.stop)
        site.start()
        check_shipped(site.children["flow"].pid)
        watched = [Watched(name, child.pid) for name, child in site.children.items()]
        watched += [Watched("mosquitto", broker.pid), Watched("this script", os.getpid())]
        if server is not None:
            watched.append(Watched("influxd", server.pid))
        measured = measure(site, store, broker.port, packets, fleet, per_message, window, watched)
        store_mb = folder_mb(where / "influxdb") if server is not None else size_of(site.store)
        show(measured, options["readings"], watched, site, rows_of(store, fleet), store_mb)
        wrong = differences(store, fleet)
        if unexplained := site.get("/api/pipeline")["conservation"]["unexplained"]:
            wrong.append(f"{unexplained} readings of the conservation sum are unexplained")
    for sentence in wrong[:20]:
        console.print(sentence, style="red", highlight=False)
    if wrong:
        raise typer.Exit(1)
    console.print("The store holds exactly what was published.")


def measure(
    site: Site,
    store: StoreAddress,
    port: int,
    packets: Path,
    fleet: Fleet,
    per_message: int,
    window: int,
    watched: list[Watched],
) -> Measured:
    """Send the fleet's first messages, wait; send the others and time them."""
    ahead = max(window // fleet.devices // per_message, 2)
    gate = firehose.Gate(packets)
    publisher = firehose.start(port, packets)
    try:
        gate.open(fleet.devices)
        with Progress(store, fleet) as progress:
            wait_until("every device is known", lambda: progress.rounds() >= per_message)
            wait_until("the flow is idle", site.is_idle)
            before = {process.name: process.used() for process in watched}
            publishing = psutil.Process(publisher.pid).cpu_times()
            busy_before = busy_s()
            began = time.monotonic()
            while (stored := progress.rounds()) < fleet.rounds:
                gate.open((stored // per_message + ahead) * fleet.devices)
                if publisher.poll() or time.monotonic() - began > PATIENCE_S:
                    raise SystemExit(f"{stored} of {fleet.rounds} readings a device are stored, and no more come")
                time.sleep(LOOK_EVERY_S if isinstance(store, Path) else ASK_EVERY_S)
        seconds = time.monotonic() - began
        used = {process.name: process.used().since(before[process.name]) for process in watched}
        busy = busy_s() - busy_before
        wait_until("nothing is dirty", site.is_idle)
        healed = time.monotonic() - began - seconds
        total, _ = publisher.communicate(timeout=10)
        used["publisher"] = Used(float(total) - publishing.user - publishing.system, {})
    finally:
        publisher.kill()
        publisher.wait()
    others = busy - sum(process.cpu_s for process in used.values())
    return Measured(seconds, healed, used, max(0.0, others / seconds))


def busy_s() -> float:
    """What all processes of this machine have used since its start. [s]"""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait)


def measure_broker(broker: ProductionMosquitto, packets: Path, fleet: Fleet, per_message: int) -> None:
    """Print what the broker alone moves: firehose → Mosquitto → mosquitto_sub, QoS 1."""
    messages = fleet.rounds // per_message * fleet.devices
    subscribe = ["mosquitto_sub", "-p", str(broker.port), "-i", "sink", "-c", "-q", "1", "-t", "heatpump/#"]
    subprocess.run([*subscribe, "-E"], check=True)  # the session stands before anything is sent
    subscriber = subprocess.Popen(
        [*subscribe, "-C", str(messages)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    watched = Watched("mosquitto", broker.pid)
    try:
        wait_until("mosquitto_sub is connected", lambda: psutil.Process(subscriber.pid).net_connections())
        before = watched.used()
        publisher = firehose.start(broker.port, packets)
        began = time.monotonic()
        firehose.Gate(packets).open(messages)
        if subscriber.wait(PATIENCE_S):
            raise SystemExit(f"mosquitto_sub ended with {subscriber.returncode}")
        seconds = time.monotonic() - began
        spent = watched.used().since(before).cpu_s
        publisher.wait(10)
    finally:
        subscriber.kill()
        subscriber.wait()
    console.print(
        f"the broker alone: {messages / seconds:,.0f} messages/s, "
        f"{messages * per_message / seconds:,.0f} readings/s; "
        f"Mosquitto {spent / messages * 1e6:.1f} µs a message"
    )


def size_of(store: Path) -> float:
    """Size of the embedded store with its log. [MB]"""
    return sum(file.stat().st_size for file in store.parent.glob(f"{store.name}*")) / 1e6


def show(
    measured: Measured, readings: int, watched: list[Watched], site: Site, rows: dict[str, int], store_mb: float
) -> None:
    """Print the figures."""
    table = Table("process", "CPU µs a reading", "of a core", "by thread", "peak MB", title="What a reading costs")
    peaks = {process.name: f"{process.peak_mb:.0f}" for process in watched}
    for name, used in measured.used.items():
        busy = sorted((spent for spent in used.threads.values() if spent / measured.seconds > 0.02), reverse=True)
        threads = " + ".join(f"{spent / readings * 1e6:.1f}" for spent in busy)
        share = used.cpu_s / measured.seconds
        table.add_row(name, f"{used.cpu_s / readings * 1e6:.1f}", f"{share:.0%}", threads, peaks.get(name, ""))
    console.print(table)
    pipeline = site.get("/api/pipeline")
    journal, conservation = pipeline["journal"], pipeline["conservation"]
    figures = Table("figure", "value", title="Result")
    figures.add_row("readings/s, first publish to last stored", f"{readings / measured.seconds:,.0f}")
    figures.add_row("cores taken by others", f"{measured.others:.2f}")
    figures.add_row("nothing dirty after [s]", f"{measured.healed_s:.2f}")
    figures.add_row("dirty, backlog", f"{pipeline['dirty']}, {pipeline['backlog']}")
    figures.add_row("fdatasync p50, p99 [ms]", f"{journal['sync_ms_p50']}, {journal['sync_ms_p99']}")
    figures.add_row("rows", ", ".join(f"{name} {count:,}" for name, count in rows.items()))
    figures.add_row("conservation", ", ".join(f"{name} {count:,}" for name, count in conservation.items()))
    figures.add_row("p99 of a batch [ms]", ", ".join(f"{n['step']} {n['p99_ms']:.1f}" for n in pipeline["nodes"]))
    sizes = (folder_mb(site.data / name) for name in ("journal", "recovery"))
    figures.add_row("journal, recovery, store [MB]", ", ".join(f"{size:.1f}" for size in (*sizes, store_mb)))
    console.print(figures)


def file_system(folder: Path) -> str:
    """Name the kind of disk. Raises SystemExit where nothing is durable."""
    mounts = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    around = [str(parent) for parent in (folder.resolve(), *folder.resolve().parents) if str(parent) in mounts]
    kind = mounts[around[0]]
    if kind in ("tmpfs", "ramfs"):
        raise SystemExit(f"{folder} is in memory, where fdatasync costs nothing: choose another --folder")
    return f"{folder} ({kind})"


if __name__ == "__main__":
    typer.run(main)
