#!/usr/bin/env python
"""Ledger: publish, kill with -9, and hold every stored row against an oracle that shares no code with us.

    .venv/bin/python scripts/ledger.py
    .venv/bin/python scripts/ledger.py --seconds 30 --kills 5 --broker-kills 1 --devices 4
    .venv/bin/python scripts/ledger.py --influxd /usr/bin/influxd --influx-kills 10

Flow and api run with the settings that scripts/up ships. Exit code 1 if anything differs.
"""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))

from scripts.lib.site import Broker
from scripts.lib.watching import console, show_settings
from tests.ledger.runner import Options, Outcome, run

DIFFERENCES_SHOWN = 20


def main(
    seconds: Annotated[int, typer.Option(min=5, help="How long to publish. [s]")] = 300,
    rate: Annotated[int, typer.Option(min=1, help="Messages a second, all devices together.")] = 500,
    devices: Annotated[int, typer.Option(min=1, help="How many devices.")] = 8,
    kills: Annotated[int, typer.Option(min=0, help="How often flow or api is killed with -9, at random.")] = 25,
    broker_kills: Annotated[int, typer.Option(min=0, help="How often the broker is, between bursts.")] = 5,
    broker: Annotated[
        Broker, typer.Option(help="rumqttd keeps sessions in memory: never killed.")
    ] = Broker.mosquitto,
    influxd: Annotated[str, typer.Option(help="Binary of an InfluxDB 2 server that is the store then.")] = "",
    influx_kills: Annotated[int, typer.Option(min=0, help="How often that is killed with -9.")] = 0,
    seed: Annotated[str, typer.Option(help="What is published and when is killed follows from it.")] = "1",
    folder: Annotated[Path | None, typer.Option(help="Keep everything here; else a temporary folder.")] = None,
) -> None:
    """Publish, kill, compare."""
    broker_kills = broker_kills if broker is Broker.mosquitto else 0
    options = Options(seconds, rate, devices, kills, broker_kills, broker.value, seed, influxd, influx_kills)
    show_settings(options._asdict())
    where = folder or Path(tempfile.mkdtemp(prefix="ledger-"))
    outcome = run(where, options, lambda sentence: console.print(sentence, style="dim", highlight=False))
    show(outcome)
    if outcome.verdict.equal:
        if folder is None:
            shutil.rmtree(where)
        return
    console.print(f"[red]The store differs from the oracle.[/red] Everything is in {where}")
    raise typer.Exit(1)


def show(outcome: Outcome) -> None:
    """Print what was compared and the first differences."""
    counts, killed = outcome.verdict.counts, outcome.killed
    table = Table("ledger", "count", title="Result")
    rows = {
        "messages published": outcome.messages,
        "readings published": counts["published"],
        "of different device and time": counts["distinct"],
        "stored": counts["stored"],
        "lost": counts["lost"],
        "doubled": counts["doubled"],
        "stored with another value": counts["wrong"],
        **{f"rollup rows compared, {name}": counts[f"{name} rows"] for name in ("1m", "1h", "1d")},
        "alert transitions compared": counts["transitions"],
        "alerts of devices compared": counts["events"],
        "differences": len(outcome.verdict.differences),
        **{f"kill -9 of {name}": count for name, count in killed.items()},
        "published and acknowledged in [s]": f"{outcome.publishing_s:.1f}",
        "all stored and healed after [s]": f"{outcome.settling_s:.1f}",
    }
    for name, value in rows.items():
        table.add_row(name, str(value))
    console.print(table)
    for difference in outcome.verdict.differences[:DIFFERENCES_SHOWN]:
        console.print(difference, style="red", highlight=False)


if __name__ == "__main__":
    typer.run(main)
