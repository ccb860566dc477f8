#!/usr/bin/env python
"""An outage of the server store: what waits meanwhile, whether all of it comes, and how fast it is caught up with.

    .venv/bin/python scripts/bench_outage.py --influxd /usr/bin/influxd
    .venv/bin/python scripts/bench_outage.py --influxd /usr/bin/influxd --minutes 10 --devices 1000

influxd is killed with -9. What a fleet sends in an outage of that length is published as fast as the journal takes
it; then influxd is started again. Flow and api run with the settings that scripts/up ships. Exit code 1 if the
store does not hold exactly what was published, or catching up is slower than 15 times the live rate.
"""

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))

from scripts.bench_ingest import file_system, start_publisher
from scripts.lib import firehose
from scripts.lib.fleet import Fleet, Payload
from scripts.lib.holding import Progress, differences
from scripts.lib.watching import Watched, check_shipped, console, show_settings
from tests.influxd import Influxd
from tests.ledger.processes import ProductionMosquitto, Site, wait_until
from tests.ledger.runner import influx_address, influx_settings

TIMES_LIVE = 15
"""How much faster than the fleet sends the rest must be caught up with."""

STEP_S = 10
WINDOW = 60_000
PATIENCE_S = 3600.0


def main(
    influxd: Annotated[str, typer.Option(help="Binary of an InfluxDB 2 server.")],
    minutes: Annotated[float, typer.Option(min=0.5, help="How long the outage lasts. [min]")] = 60.0,
    devices: Annotated[int, typer.Option(min=10, help="Devices, each with a reading every 10 s.")] = 10_000,
    payload: Annotated[Payload, typer.Option(help="What a reading holds.")] = Payload.contract,
    folder: Annotated[Path | None, typer.Option(help="Where the data go; else a temporary folder.")] = None,
) -> None:
    """Kill, publish, start, wait, compare."""
    turns = round(minutes * 60 / STEP_S)
    fleet = Fleet(devices, turns + 1, time.time_ns() // 1_000_000, payload)
    with ExitStack() as stack:
        where = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="outage-", dir=folder)))
        settings = {"minutes": minutes, "devices": devices, "live rate": f"{devices / STEP_S:,.0f} readings/s"}
        show_settings({**settings, "payload": payload.value, "data on": file_system(where)})
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
        publisher = start_publisher(broker.port, packets)
        stack.callback(publisher.kill)
        gate = firehose.Gate(packets)
        gate.open(devices)
        store = influx_address(server)
        with Progress(store, fleet) as progress:
            wait_until("every device is known", lambda: progress.rounds() >= 1)
        wait_until("the flow is idle", site.is_idle)
        first = int(site.get("/api/pipeline")["journal"]["last_seq"])
        server.kill()
        journaled = journal_all(site, gate, first, messages - devices)
        waiting = site.get("/api/pipeline")
        flow = Watched("flow", site.children["flow"].pid)
        before, began = flow.used(), time.monotonic()
        server.start()
        up = time.monotonic()
        wait_until("all that waited is stored", site.is_idle, PATIENCE_S)
        seconds = time.monotonic() - up
        spent = flow.used().since(before).cpu_s
        rate = turns * devices / seconds
        table = Table("figure", "value", title="Result")
        table.add_row("readings while it was away", f"{turns * devices:,}, journaled in {journaled:.0f} s")
        table.add_row("told meanwhile", str(waiting["store"]["waiting"]))
        table.add_row("backlog at its end", f"{waiting['backlog']:,} frames")
        table.add_row("influxd answers again after [s]", f"{up - began:.1f}")
        table.add_row("caught up after [s]", f"{seconds:.1f}")
        table.add_row("readings/s, times the live rate", f"{rate:,.0f}, {rate / (devices / STEP_S):.1f}")
        table.add_row("CPU of the flow, µs a reading", f"{spent / turns / devices * 1e6:.1f}")
        table.add_row("peak memory of the flow [MB]", f"{flow.peak_mb:.0f}")
        console.print(table)
        wrong = differences(store, fleet)
    if rate < TIMES_LIVE * devices / STEP_S:
        wrong.append(f"caught up with at less than {TIMES_LIVE} times the live rate")
    for sentence in wrong[:20]:
        console.print(sentence, style="red", highlight=False)
    if wrong:
        raise typer.Exit(1)
    console.print("The store holds exactly what was published.")


def journal_all(site: Site, gate: firehose.Gate, first: int, messages: int) -> float:
    """Let all messages out, never far ahead of the journal; how long that took. [s]"""
    sent, began = gate.messages, time.monotonic()

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
