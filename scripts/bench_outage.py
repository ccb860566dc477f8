#!/usr/bin/env python
"""An outage of the server store: what waits meanwhile, whether all of it comes, and how fast it is caught up with.

    .venv/bin/python scripts/bench_outage.py --influxd /usr/bin/influxd
    .venv/bin/python scripts/bench_outage.py --influxd /usr/bin/influxd --minutes 10 --devices 1000 --every 1

A fleet sends for two minutes, so that the store knows its series. Then influxd is killed with -9; what the fleet
sends in an outage of that length is published as fast as the journal takes it, and influxd is started again. Flow
and api run with the settings that scripts/up ships. Exit code 1 if the store does not hold exactly what was
published, or catching up is slower than 15 times the live rate.
"""

import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))

from flows.flow_port import FlowPort
from flows.settings import load_settings
from scripts.bench_ingest import file_system
from scripts.lib import firehose
from scripts.lib.fleet import Fleet, Payload
from scripts.lib.holding import differences
from scripts.lib.watching import Watched, check_shipped, console, show_settings
from tests.influxd import Influxd
from tests.ledger.processes import ProductionMosquitto, Site, wait_until
from tests.ledger.runner import influx_address, influx_settings

TIMES_LIVE = 15
"""How much faster than the fleet sends the rest must be caught up with."""

BEFORE_S = 130
LOOK_EVERY_S = 0.5
WINDOW = 60_000
PATIENCE_S = 3600.0


def main(
    influxd: Annotated[str, typer.Option(help="Binary of an InfluxDB 2 server.")],
    minutes: Annotated[float, typer.Option(min=0.5, help="How long the outage lasts. [min]")] = 60.0,
    devices: Annotated[int, typer.Option(min=10, help="How many send.")] = 10_000,
    every: Annotated[int, typer.Option(min=1, max=60, help="How far a device's readings are apart. [s]")] = 10,
    payload: Annotated[Payload, typer.Option(help="What a reading holds.")] = Payload.contract,
    folder: Annotated[Path | None, typer.Option(help="Where the data go; else a temporary folder.")] = None,
) -> None:
    """Kill, publish, start, wait, compare."""
    turns, turns_before = round(minutes * 60 / every), BEFORE_S // every
    fleet = Fleet(devices, turns_before + turns, time.time_ns() // 1_000_000, payload, every * 1000)
    with ExitStack() as stack:
        where = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="outage-", dir=folder)))
        fleets = {"devices": devices, "every [s]": every, "live rate": f"{devices / every:,.0f} readings/s"}
        show_settings({"minutes": minutes, **fleets, "payload": payload.value, "data on": file_system(where)})
        packets = where / "packets-of-the-fleet"
        packets.mkdir()
        messages = firehose.prepare(packets, fleet.messages(1))
        broker, server = ProductionMosquitto(where / "broker"), Influxd(where / "influxdb", influxd)
        for each in (broker, server):
            each.start()
            stack.callback(each.stop)
        site = Site(where, broker.port, **influx_settings(server))
        stack.callback(site.stop)
        site.start()
        check_shipped(site.children["flow"].pid)
        publisher = firehose.start(broker.port, packets)
        stack.callback(publisher.kill)
        gate = firehose.Gate(packets)
        before = devices * turns_before
        store = influx_address(server)
        journal_all(site, gate, before)
        wait_stored(site)
        server.kill()
        journaled = journal_all(site, gate, messages - before)
        waiting = site.get("/api/pipeline")
        health = httpx.get(f"http://127.0.0.1:{site.api_port}/api/health", timeout=60.0, trust_env=False).json()
        flow = Watched("flow", site.children["flow"].pid)
        used, began = flow.used(), time.monotonic()
        server.start()
        up = time.monotonic()
        influx = Watched("influxd", server.pid)
        wait_stored(site)
        seconds = time.monotonic() - up
        spent, theirs = flow.used().since(used).cpu_s, influx.used().cpu_s
        rate = turns * devices / seconds
        table = Table("figure", "value", title="Result")
        table.add_row("readings while it was away", f"{turns * devices:,}, journaled in {journaled:.0f} s")
        table.add_row("told meanwhile", str(waiting["store"]["waiting"]))
        table.add_row("backlog at its end", f"{waiting['backlog']:,} frames")
        table.add_row("health says", f"{health['status']}: {'; '.join(health['problems'])}")
        table.add_row("influxd answers again after [s]", f"{up - began:.1f}")
        table.add_row("caught up after [s]", f"{seconds:.1f}")
        table.add_row("readings/s, times the live rate", f"{rate:,.0f}, {rate / (devices / every):.1f}")
        for name, cpu_s in (("the flow", spent), ("influxd", theirs)):
            table.add_row(f"CPU of {name}, µs a reading", f"{cpu_s / turns / devices * 1e6:.1f}")
        table.add_row("peak memory of the flow [MB]", f"{flow.peak_mb:.0f}")
        console.print(table)
        wrong = differences(store, fleet)
    if rate < TIMES_LIVE * devices / every:
        wrong.append(f"caught up with at less than {TIMES_LIVE} times the live rate")
    for sentence in wrong[:20]:
        console.print(sentence, style="red", highlight=False)
    if wrong:
        raise typer.Exit(1)
    console.print("The store holds exactly what was published.")


def wait_stored(site: Site) -> None:
    """Wait until all that waited is stored. Raises TimeoutError.

    The flow is asked: the api would count the devices in the store each time.
    """
    port = FlowPort(load_settings(data=site.data))

    def stored() -> bool:
        told = json.loads(port.pipeline())
        time.sleep(LOOK_EVERY_S)
        return bool(told["backlog"] == told["dirty"] == 0 and told["stored_seq"] == told["read_seq"])

    wait_until("all that waited is stored", stored, PATIENCE_S)


def journal_all(site: Site, gate: firehose.Gate, messages: int) -> float:
    """Let so many more messages out, never far ahead of the journal; how long that took. [s]"""
    sent, began = gate.messages, time.monotonic()
    first = int(site.get("/api/pipeline")["journal"]["last_seq"])

    def journaled() -> int:
        return int(site.get("/api/pipeline").get("journal", {}).get("last_seq", first)) - first

    def all_of_it() -> bool:
        there = journaled()
        gate.open(min(sent + there + WINDOW, sent + messages))
        return there >= messages

    wait_until("the journal has all", all_of_it, PATIENCE_S)
    return time.monotonic() - began


if __name__ == "__main__":
    typer.run(main)
