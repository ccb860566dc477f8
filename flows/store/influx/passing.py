"""What the server store has that is older than it is to be."""

from contextlib import closing

from flows.model.influx_address import InfluxAddress
from flows.store.influx.answers import times_ms
from flows.store.influx.letter_points import LETTER
from flows.store.influx.names import ORDER, READING, ROLLUP
from flows.store.influx.server import InfluxServer, moment
from flows.store.passing import Cutoffs, Passing

_ROWS = """
from(bucket: p_bucket)
  |> range(start: p_start, stop: p_end)
  |> filter(fn: (r) => r._measurement == p_measurement and r._field == p_order)
"""
_COUNT = '  |> count()\n  |> keep(columns: ["_value"])\n'
_END = '  |> {}()\n  |> keep(columns: ["_time"])\n'
FIRST_MS = 1
"""State lies at 0: it is no row."""


def passing(address: InfluxAddress, cutoffs: Cutoffs) -> list[Passing]:
    """Count what is to go. Raises RetryableStoreError, StoreError."""
    with closing(InfluxServer(address)) as server:
        return [
            _of(server, "readings", address.bucket, READING, cutoffs.raw_before),
            _of(server, "minutes", address.rollups("1m"), ROLLUP, cutoffs.minute_before),
            _of(server, "dead letters", address.meta, LETTER, cutoffs.dead_letter_before),
        ]


def _of(server: InfluxServer, what: str, bucket: str, measurement: str, before: int) -> Passing:
    if before <= FIRST_MS:
        return Passing(what, 0, None, None, None)
    bound = {
        "bucket": bucket,
        "measurement": measurement,
        "order": ORDER,
        "start": moment(FIRST_MS),
        "end": moment(before),
    }
    counts = [int(value) for block in server.ask(_ROWS + _COUNT, **bound) for value in block.column("_value")]
    if not sum(counts):
        return Passing(what, 0, None, None, None)
    ends = [
        [at for block in server.ask(_ROWS + _END.format(side), **bound) for at in times_ms(block.column("_time"))]
        for side in ("first", "last")
    ]
    return Passing(what, sum(counts), int(min(ends[0])), int(max(ends[1])), None)
