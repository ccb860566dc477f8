"""A server store as text: every point of it, gathered by measurement, tags and time."""

import json
from collections.abc import Iterator

from flows.physics.derive import DERIVED
from flows.store.influx.address import InfluxAddress
from flows.store.influx.answers import Block
from flows.store.influx.checking import END_OF_TIME
from flows.store.influx.names import READING
from flows.store.influx.server import InfluxServer, moment

_ALL = """
from(bucket: p_bucket)
  |> range(start: p_start, stop: p_end)
"""
_OURS = frozenset(("", "result", "table", "_start", "_stop", "_time", "_value", "_field", "_measurement"))

Key = tuple[str, tuple[tuple[str, str], ...], str]
"""Measurement, tags, time."""


def dump(address: InfluxAddress) -> Iterator[str]:
    """Give every row of every bucket as one line; what derives from a reading alone is left out."""
    server = InfluxServer(address)
    try:
        for bucket in address.retentions:
            rows: dict[Key, dict[str, str]] = {}
            for block in server.ask(_ALL, bucket=bucket, start=moment(0), end=moment(END_OF_TIME)):
                _gather(block, rows)
            for measurement, tags, time in sorted(rows):
                if measurement == "fence" or (bucket == address.bucket and measurement != READING):
                    continue
                values = {**dict(tags), "at": time, **rows[measurement, tags, time]}
                kind = "" if bucket == address.meta else bucket.removeprefix(address.bucket)
                yield f"{measurement}{kind} {json.dumps(values, sort_keys=True)}"
    finally:
        server.close()


def _gather(block: Block, rows: dict[Key, dict[str, str]]) -> None:
    own = [block.column(name) for name in ("_measurement", "_field", "_time", "_value")]
    names = sorted(set(block.names) - _OURS)
    columns = [block.column(name) for name in names]
    for (measurement, field, time, value), *tags in zip(zip(*own, strict=True), *columns, strict=True):
        if field not in DERIVED:
            key = measurement, tuple(zip(names, tags, strict=True)), time
            rows.setdefault(key, {})[field] = value
