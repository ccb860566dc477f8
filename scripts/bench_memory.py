#!/usr/bin/env python
"""Memory, file handles and files of a running system over time: a fleet that sends every 10 s.

    .venv/bin/python scripts/bench_memory.py
    .venv/bin/python scripts/bench_memory.py --devices 10000 --minutes 10

Flow and api with the settings that scripts/up ships, real Mosquitto, QoS 1. Exit code 1 if the flow takes more
than 300 MB (600 MB above 1 000 devices) or anything grows.
"""

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).parent.parent))

from scripts.lib.fleet import STEP_MS, Pump
from scripts.lib.growth import HISTORY, Growth, fill, flat
from scripts.lib.site import shipped_site
from scripts.lib.watching import Watched, console, show_settings
from tests.ledger.load import Message
from tests.ledger.processes import ProductionMosquitto, Publisher

MOST_MB = ((1_000, 300.0), (10_000, 600.0))
MOST_GROWTH = 0.05
SAMPLES = 30


def main(
    devices: Annotated[int, typer.Option(min=1, max=10_000, help="How many devices.")] = 1000,
    minutes: Annotated[float, typer.Option(min=0.2, help="How long. [min]")] = 60.0,
    folder: Annotated[Path | None, typer.Option(help="Where the data go; else a temporary folder.")] = None,
) -> None:
    """Send at the fleet's own pace, look now and then, print."""
    show_settings(
        {
            "devices": devices,
            "minutes": minutes,
            "history": HISTORY,
            "readings a second": devices * 1000 // STEP_MS,
        }
    )
    console.print(flat(MOST_GROWTH), highlight=False)
    with ExitStack() as stack:
        where = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="memory-", dir=folder)))
        site, publisher = stack.enter_context(shipped_site(ProductionMosquitto(where / "broker"), where))
        pumps = [Pump(number) for number in range(devices)]
        fill(site, publisher, pumps, HISTORY)
        growth = Growth(site)
        send(publisher, pumps, minutes * 60, growth)
        publisher.wait_acknowledged()
        peaks = {name: Watched(name, child.pid).peak_mb for name, child in site.children.items()}
    growth.show()
    troubles = growth.troubles(MOST_GROWTH)
    console.print(", ".join(f"{name} at most {peak:.0f} MB" for name, peak in peaks.items()), highlight=False)
    most = next(mb for count, mb in MOST_MB if devices <= count)
    if peaks["flow"] > most:
        troubles.append(f"flow: {peaks['flow']:.0f} MB, more than {most:.0f}")
    for trouble in troubles:
        console.print(trouble, style="red", highlight=False)
    raise typer.Exit(bool(troubles))


def send(publisher: Publisher, pumps: list[Pump], seconds: float, growth: Growth) -> None:
    """Every device sends every 10 s, one after the other; samples are taken between."""
    began = time.monotonic()
    sample_at = 0.0
    number = 0
    while (passed := time.monotonic() - began) < seconds:
        if passed >= sample_at:
            growth.sample()
            sample_at += seconds / SAMPLES
        while number * STEP_MS / 1000 / len(pumps) <= passed:
            pump, at = pumps[number % len(pumps)], time.time_ns() // 1_000_000
            topic = f"heatpump/{pump.device_id}/data"
            publisher.send(Message(pump.device_id, topic, pump.text(at).encode(), reading=at))
            number += 1
        time.sleep(0.01)
    growth.sample()


if __name__ == "__main__":
    typer.run(main)
