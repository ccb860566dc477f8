#!/usr/bin/env python
"""What a scrape of the flow's metrics costs: processor time of the flow for one, with a fleet that it knows.

    .venv/bin/python scripts/bench_metrics.py
    .venv/bin/python scripts/bench_metrics.py --devices 100 --scrapes 200

The flow's own process_cpu_seconds_total before and after, less what it spends in the same time unasked.
"""

import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).parent.parent))

from prometheus_client.parser import text_string_to_metric_families as parsed

from scripts.lib.watching import console
from tests.brokers import Mosquitto, free_port
from tests.flows import Device, Flow, wait_for

TOKEN = "0123456789abcdef-of-the-metrics"
EVERY_S = 15.0
"""How often Prometheus asks."""


def main(
    devices: Annotated[
        int, typer.Option(min=1, help="Devices that the flow knows, each with one reading.")
    ] = 1000,
    scrapes: Annotated[int, typer.Option(min=10, help="How often the metrics are asked for.")] = 100,
) -> None:
    """Scrape as fast as it answers; print processor time a scrape, and its share of a core at one each 15 s."""
    with tempfile.TemporaryDirectory(prefix="metrics-") as name:
        folder, port = Path(name), free_port()
        broker = Mosquitto(folder / "broker")
        flow = Flow(folder / "data", broker.port, metrics_port=port, metrics_token=TOKEN, epoch_ms=5000)
        try:
            broker.start()
            flow.start()
            fleet = Device(broker.port)
            for number in range(devices):
                fleet.device_id = f"pump{number}"
                fleet.reading()
            fleet.close()
            wait_for(lambda: scrape(port)["heatpump_devices"], lambda known: known == devices, 60.0)
            began, before = time.monotonic(), scrape(port)
            for _ in range(scrapes):
                found = scrape(port)
            took, spent = time.monotonic() - began, cpu(found) - cpu(before)
            time.sleep(took)
            idle = cpu(scrape(port)) - cpu(found)
        finally:
            flow.kill()
            broker.stop()
    each = max(0.0, spent - idle) / scrapes
    console.print(
        f"{devices} devices, {len(found)} series: {each * 1000:.1f} ms of processor time a scrape;"
        f" at one each {EVERY_S:.0f} s {each / EVERY_S:.3%} of a core"
    )


def scrape(port: int) -> dict[str, float]:
    """Ask for all metrics; the values of those without labels by name, of others by name and labels."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read().decode()
    samples = [sample for family in parsed(text) for sample in family.samples]
    return {" ".join((sample.name, *sample.labels.values())): sample.value for sample in samples}


def cpu(found: dict[str, float]) -> float:
    """Processor time of the flow since its start. [s]"""
    return found["process_cpu_seconds_total"]


if __name__ == "__main__":
    typer.run(main)
