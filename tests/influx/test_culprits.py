"""A batch with lines that InfluxDB never takes, through the sink: all others are stored, these are dead letters."""

import time
from contextlib import closing

import msgspec
import pytest

from flows.build import Piece
from flows.model.reading import ORDER_STEP
from flows.model.rows import RawRow
from flows.model.times import DAY_MS
from flows.sinks.store import StorePartition
from flows.store import open_reader, open_writer
from flows.store.influx.server import InfluxServer
from flows.telemetry.meter import Meter
from tests.influx.real import installation

pytestmark = pytest.mark.slow

COUNT, CULPRIT = 5_000, 3_210


def stored(address, tmp_path, rows: list[RawRow]):
    """Write a batch through the sink; gives how many readings are stored, and the dead letters."""
    meter = Meter()
    meter.progress.arrived = rows[-1].arrived
    opened = lambda: open_writer(address)  # noqa: E731
    with closing(StorePartition(opened, ["a.rows"], "id", 0, meter, tmp_path / "refused.jsonl")) as sink:
        sink.write_batch([Piece(1, "a.rows", rows)])
        sink.snapshot()
    assert not (tmp_path / "refused.jsonl").exists() and meter.progress.fenced == 1
    with closing(open_reader(address)) as reader:
        return reader.stats().total_readings, reader.dead_letters(None, None, None, 10)


def rows(now: int) -> list[RawRow]:
    """What fifty devices send in 100 ms."""
    return [
        RawRow(f"site{n % 50}", now + n // 50, n * ORDER_STEP, now + 5, "device", {"power": 1000.0 + n})
        for n in range(COUNT)
    ]


def test_one_line_whose_type_another_program_fixed_is_the_only_one_that_is_refused(tmp_path):
    now = time.time_ns() // 1_000_000 - 60_000
    with installation() as address:
        open_writer(address).close()
        with closing(InfluxServer(address)) as server:
            server.write(address.bucket, f'sensor_reading,device_id=other setpoint_dhw="warm" {now}'.encode())
        batch = rows(now)
        batch[CULPRIT] = msgspec.structs.replace(batch[CULPRIT], values={"setpoint_dhw": 52.0})
        count, letters = stored(address, tmp_path, batch)
    assert count >= COUNT - 1
    (letter,) = letters
    assert (letter.reason, letter.device_id) == ("store_refused", batch[CULPRIT].device_id)
    assert 'field type conflict: input field "setpoint_dhw"' in letter.detail
    assert msgspec.json.decode(letter.body)["values"] == {"setpoint_dhw": 52.0}


def test_one_line_that_is_too_old_for_the_bucket_is_the_only_one_that_is_refused(tmp_path):
    now = time.time_ns() // 1_000_000 - 60_000
    with installation() as address:
        batch = rows(now)
        batch[CULPRIT] = msgspec.structs.replace(batch[CULPRIT], at=now - 40 * DAY_MS)
        count, letters = stored(address, tmp_path, batch)
    assert count == COUNT - 1
    (letter,) = letters
    assert (letter.reason, letter.device_id) == ("store_refused", batch[CULPRIT].device_id)
    assert "dropped 1 points outside retention policy of duration 720h0m0s" in letter.detail
