"""Measure reading over HTTP from InfluxDB: python scripts/bench_influx_query.py [--devices 1000] [--hours 24].

INFLUXDB_URL and INFLUXDB_TOKEN name the server. Fills buckets of their own with synthetic rows, by the flow's own
line protocol, in the order of time, all devices interleaved, as a flow would: for every device readings every 10 s
over the hours, an hour of minutes and a day of hours; for ten of them 168 h of readings and minutes, and 400 d of
hours and days, in Berlin, so that their days are composed of hours. Then serves them as `heatpump api` does, in a
process of its own, and asks each of the ten in turn on one connection. The table is that of bench_query.py.
Filled once, buckets are used again; --forget deletes them.
"""

import argparse
import itertools
import math
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version

from bench_query import ASKED as MOST_ASKED
from bench_query import COLUMNS, DAY, HOUR, MINUTE, QUESTIONS, SECOND, SENT, measure

from flows.model.device import DeviceMetadata
from flows.model.influx_address import InfluxAddress
from flows.model.quantities import FLAGS
from flows.model.rows import DeviceRow, LatestRow, RawRow, StoreItem
from flows.store import open_writer
from flows.store.influx import buckets, tally
from flows.store.influx.lines import fields_of, series_of
from flows.store.influx.names import READING, ROLLUP
from flows.store.influx.rowreading import raw_times
from flows.store.influx.server import InfluxServer

LINES = 5_000
STEP = 10 * SECOND
ROWS_A_DAY = DAY // STEP
AT_ONCE = 5 * MINUTE
"""Of each device so much is written together: its lines are neighbours, which costs the server less."""

ASKED = {
    "24 h of readings, 1 000 newest": "readings?hours=24&limit=1000",
    "168 h of readings, 1 000 newest": "readings?hours=168&limit=1000",
    **QUESTIONS,
    "stats": "/api/stats",
    "devices": "/api/devices",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--hours", type=int, default=24, help="of readings of every device")
    parser.add_argument("--requests", type=int, default=200, help="of each question")
    parser.add_argument("--bucket", default="bench", help="name of the raw bucket; the others are named after it")
    parser.add_argument("--forget", action="store_true", help="delete the buckets and do nothing else")
    options = parser.parse_args()
    if not os.environ.get("INFLUXDB_URL"):
        sys.exit("INFLUXDB_URL names no server to fill")
    address = InfluxAddress(
        os.environ["INFLUXDB_URL"],
        os.environ.get("INFLUXDB_TOKEN", ""),
        bucket=options.bucket,
        raw_ms=30 * DAY,
        minute_ms=90 * DAY,
    )
    server = InfluxServer(address)
    if options.forget:
        forget(server)
        return
    names = [f"site{n:04}" for n in range(options.devices)]
    asked = names[:: max(1, options.devices // MOST_ASKED)][:MOST_ASKED]
    if address.bucket not in buckets.existing(server):
        now = time.time_ns() // 1_000_000 // HOUR * HOUR
        Filler(server, names, asked, now).fill(options.hours)
    now = newest(server, asked[0])
    report(server)
    os.environ["INFLUXDB_BUCKET"] = options.bucket
    with tempfile.TemporaryDirectory() as folder:
        measure(["--data", folder], asked, now, options.requests, ASKED)


class Filler:
    """Writes rows as lines; what a flow would know by heart is written by its own writer at the end."""

    def __init__(self, server: InfluxServer, names: list[str], asked: list[str], now: int) -> None:
        self.server, self.names, self.asked, self.now = server, names, asked, now
        self.orders = itertools.count(1)
        self.rng = random.Random(1)
        self.day = fields_of([self._reading(place) for place in range(ROWS_A_DAY)])
        self.rollups = fields_of([{name: self.rng.uniform(0.01, 1.0) for name in COLUMNS} for _ in range(100)])

    def fill(self, hours: int) -> None:
        """Fill every bucket."""
        buckets.prepare(self.server)
        bucket = self.server.address.rollups
        now, asked, names = self.now, self.asked, self.names
        self._send(
            bucket("1d"), self._rollup_lines(asked, range(now // DAY * DAY - 400 * DAY, now // DAY * DAY, DAY))
        )
        self._send(bucket("1h"), self._rollup_lines(asked, range(now - 400 * DAY, now - DAY, HOUR)))
        self._send(bucket("1h"), self._rollup_lines(names, range(now - DAY, now, HOUR)))
        self._send(bucket("1m"), self._rollup_lines(asked, range(now - 7 * DAY, now - HOUR, MINUTE)))
        self._send(bucket("1m"), self._rollup_lines(names, range(now - HOUR, now, MINUTE)))
        for start in range(now - 7 * DAY, now, AT_ONCE):
            some = names if start >= now - hours * HOUR else asked
            self._send(self.server.address.bucket, self._raw_lines(some, start))
            if start % HOUR == 0 and some is names:
                print(f"readings: {(now - start) // HOUR} h to go", file=sys.stderr)
        self._finish()

    def _reading(self, place: int) -> dict[str, float | bool]:
        swing = math.sin(2 * math.pi * place / 360)
        return {
            q.name: swing > 0 if q.name in FLAGS else round(40 + 10 * swing + self.rng.gauss(0, 0.2), 1)
            for q in SENT
        }

    def _raw_lines(self, names: list[str], start: int) -> Iterator[bytes]:
        for number, name in enumerate(names):
            series = series_of(READING, name)
            for at in range(start, start + AT_ONCE, STEP):
                fields = self.day[(at // STEP + 7 * number) % ROWS_A_DAY]
                yield b"%b %blate_ms=40,order=%d %d" % (series, fields, next(self.orders), at)

    def _rollup_lines(self, names: list[str], starts: range) -> Iterator[bytes]:
        for name in names:
            series = series_of(ROLLUP, name)
            for start in starts:
                fields = self.rng.choice(self.rollups)
                yield b'%b %bcount=6,order=%d,heat_source="measured" %d' % (
                    series,
                    fields,
                    next(self.orders),
                    start,
                )

    def _send(self, bucket: str, lines: Iterator[bytes]) -> None:
        while some := list(itertools.islice(lines, LINES)):
            self.server.write(bucket, b"\n".join(some))

    def _finish(self) -> None:
        reading = self._reading(0)
        last = self.now
        batch: list[StoreItem] = []
        for name in self.names:
            order = next(self.orders)
            metadata = [DeviceMetadata(timezone="Europe/Berlin")] if name in self.asked else []
            batch.append(DeviceRow(name, order, online=True, last_seen=last, metadata=metadata))
            batch.append(RawRow.of(name, last, order, last, "device", reading))
            batch.append(LatestRow(name, order, {quantity: (last, value) for quantity, value in reading.items()}))
        writer = open_writer(self.server.address)
        writer.apply(batch)
        writer.close()


def newest(server: InfluxServer, device_id: str) -> int:
    """Find where a device's readings end. [ms since 1970, UTC]"""
    return int(raw_times(server, device_id, 0, time.time_ns() // 1_000_000, 1, newest_first=True)[-1])


def report(server: InfluxServer) -> None:
    """Say what was measured on what."""
    stored = tally.read(server)
    packages = ", ".join(f"{name} {version(name)}" for name in ("influxdb-client", "fastapi", "uvicorn"))
    print(
        f"{stored.readings} readings, {len(SENT)} quantities and {len(COLUMNS)} rollup columns a row (synthetic), "
        f"in InfluxDB {server.client.version()}; Python {platform.python_version()}, {packages}; "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n"
    )


def forget(server: InfluxServer) -> None:
    """Delete the buckets."""
    api = server.client.buckets_api()
    for name in server.address.retentions:
        if found := api.find_bucket_by_name(name):
            api.delete_bucket(found)


if __name__ == "__main__":
    main()
