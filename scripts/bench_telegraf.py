#!/usr/bin/env python
"""What Telegraf needs for the same messages from the same broker: a yardstick for a machine whose speed varies.

    .venv/bin/python scripts/bench_telegraf.py --telegraf /usr/bin/telegraf
    .venv/bin/python scripts/bench_telegraf.py --telegraf /usr/bin/telegraf --influxd /usr/bin/influxd
    .venv/bin/python scripts/bench_telegraf.py --telegraf /usr/bin/telegraf --per-message 30 --readings 900000

The fleet, payload, broker and publisher of bench_ingest.py. Telegraf copies what is a number (no flags, nothing
derived, no rollups, no alerts) into InfluxDB, or into nothing; batches of 5 000, persistent session, QoS 1. All is
published at once, so its broker's queue is long; the clock stops when Telegraf has been idle for three seconds.
"""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))

from scripts.lib import firehose
from scripts.lib.fleet import Fleet, Payload
from scripts.lib.watching import Watched, console, cpu_model
from tests.influxd import ORG, TOKEN, Influxd
from tests.ledger.processes import ProductionMosquitto, wait_until

DEVICES = 1_000
LOOK_EVERY_S, IDLE_LOOKS, IDLE_CPU_S = 0.5, 6, 0.03

CONFIG = """
[agent]
  flush_interval = "500ms"
  metric_batch_size = 5000
  metric_buffer_limit = 500000
  omit_hostname = true
  logfile = "{folder}/telegraf.log"
[[inputs.mqtt_consumer]]
  servers = ["tcp://127.0.0.1:{port}"]
  topics = ["heatpump/+/data"]
  qos = 1
  persistent_session = true
  client_id = "telegraf"
  max_undelivered_messages = 50000
  topic_tag = ""
  data_format = "json"
  json_time_key = "timestamp"
  json_time_format = "unix_ms"
  [[inputs.mqtt_consumer.topic_parsing]]
    topic = "heatpump/+/data"
    tags = "_/device_id/_"
{output}
"""
NOTHING = "[[outputs.discard]]"
INFLUXDB = """[[outputs.influxdb_v2]]
  urls = ["{url}"]
  token = "{token}"
  organization = "{org}"
  bucket = "unused"
"""


def main(
    telegraf: Annotated[Path, typer.Option(exists=True, help="Its binary.")],
    influxd: Annotated[str, typer.Option(help="Binary of an InfluxDB 2 server; else into nothing.")] = "",
    readings: Annotated[int, typer.Option(min=1000, help="How many, all devices together.")] = 300_000,
    per_message: Annotated[int, typer.Option(min=1, max=1000, help="Readings in one message.")] = 1,
    payload: Annotated[Payload, typer.Option(help="As in bench_ingest.py.")] = Payload.contract,
) -> None:
    """Publish, wait until Telegraf is idle, print."""
    turns = max(1, round(readings / DEVICES / per_message))
    fleet = Fleet(DEVICES, turns * per_message, time.time_ns() // 1_000_000, payload)
    with ExitStack() as stack:
        where = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="telegraf-")))
        broker = ProductionMosquitto(where / "broker")
        broker.start()
        stack.callback(broker.stop)
        firehose.prepare(where, fleet.messages(per_message))
        output = NOTHING
        watched = [Watched("mosquitto", broker.pid)]
        if influxd:
            server = Influxd(where / "influxdb", influxd)
            server.start()
            stack.callback(server.stop)
            output = INFLUXDB.format(url=server.url, token=TOKEN, org=ORG)
            watched.append(Watched("influxd", server.pid))
        config = where / "telegraf.conf"
        config.write_text(CONFIG.format(folder=where, port=broker.port, output=output))
        version = subprocess.run(
            [telegraf, "--version"], capture_output=True, text=True, check=True
        ).stdout.strip()
        process = subprocess.Popen([telegraf, "--config", config], stdin=subprocess.DEVNULL)
        stack.callback(process.wait)
        stack.callback(process.kill)
        log = where / "telegraf.log"
        wait_until("Telegraf is subscribed", lambda: log.exists() and "Connected [tcp" in log.read_text())
        watched.insert(0, Watched("telegraf", process.pid))
        before = {each.name: each.used() for each in watched}
        publisher = firehose.start(broker.port, where)
        began = time.monotonic()
        firehose.Gate(where).open(turns * DEVICES)
        ended = last_busy(watched[0])
        publisher.communicate(timeout=10)
        count = turns * per_message * DEVICES
        table = Table("process", "CPU µs a reading", "peak MB", title=f"{count / (ended - began):,.0f} readings/s")
        for each in watched:
            used = each.used().since(before[each.name]).cpu_s
            table.add_row(each.name, f"{used / count * 1e6:.1f}", f"{each.peak_mb:.0f}")
    into = "InfluxDB" if influxd else "nothing"
    console.print(f"{version}; {count} readings, {per_message} a message, payload {payload.value}, into {into}")
    console.print(f"{cpu_model()}, {os.cpu_count()} cores")
    console.print(table)


def last_busy(process: Watched) -> float:
    """Wait until a process has been idle for a while; returns when it last was not. [s, monotonic]"""
    at, used, idle = time.monotonic(), process.used().cpu_s, 0
    while idle < IDLE_LOOKS:
        time.sleep(LOOK_EVERY_S)
        now = process.used().cpu_s
        at, idle = (at, idle + 1) if now - used < IDLE_CPU_S else (time.monotonic(), 0)
        used = now
    return at


if __name__ == "__main__":
    typer.run(main)
