"""A batch with lines that InfluxDB never takes, through the sink: all others are stored, these are dead letters."""

import time
from contextlib import closing

import msgspec
import pytest

from flows.build import Piece
from flows.main import run_journal
from flows.model.cells import cells_of
from flows.model.reading import ORDER_STEP
from flows.model.rows import RawRow
from flows.model.times import DAY_MS
from flows.sinks.store import StorePartition
from flows.store import open_reader, open_writer
from flows.store.influx.server import InfluxServer
from flows.store.influx.writer import InfluxWriter
from flows.telemetry.meter import Meter
from tests.influx.real import installation
from tests.pipeline.conftest import Recorder

pytestmark = pytest.mark.slow

COUNT, CULPRIT, ANOTHER = 5_000, 3_210, 77


class Counting(InfluxWriter):
    """Counts how often a batch is tried."""

    tried = 0

    def apply(self, items):
        Counting.tried += 1
        return super().apply(items)


def stored(address, tmp_path, rows: list[RawRow]):
    """Write a batch through the sink; gives how many readings are stored, and the dead letters."""
    meter = Meter()
    meter.progress.arrived = rows[-1].arrived
    opened = lambda: Counting(address)  # noqa: E731
    Counting.tried = 0
    with closing(StorePartition(opened, ["a.rows"], "id", 0, meter, tmp_path / "refused.jsonl")) as sink:
        sink.write_batch([Piece(1, "a.rows", rows)])
        sink.snapshot()
    assert not (tmp_path / "refused.jsonl").exists() and meter.progress.fenced == 1
    assert Counting.tried <= 5, "each time all that is known of devices is read anew"
    with closing(open_reader(address)) as reader:
        return reader.stats().total_readings, reader.dead_letters(None, None, None, 10)


def rows(now: int) -> list[RawRow]:
    """What five hundred devices send in 10 ms."""
    return [
        RawRow.of(f"site{n % 500}", now + n // 500, n * ORDER_STEP, now + 5, "device", {"power": 1000.0 + n})
        for n in range(COUNT)
    ]


def test_one_line_whose_type_another_program_fixed_is_the_only_one_that_is_refused(tmp_path):
    now = time.time_ns() // 1_000_000 - 60_000
    with installation() as address:
        open_writer(address).close()
        with closing(InfluxServer(address)) as server:
            server.write(address.bucket, f'sensor_reading,device_id=other setpoint_dhw="warm" {now}'.encode())
        batch = rows(now)
        batch[CULPRIT] = msgspec.structs.replace(batch[CULPRIT], cells=cells_of({"setpoint_dhw": 52.0}))
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
    assert (letter.reason, letter.device_id) == ("older_than_retention", batch[CULPRIT].device_id)
    assert "dropped 1 points outside retention policy of duration 720h0m0s" in letter.detail


def test_readings_that_came_in_time_and_are_read_too_late_are_no_mistake_of_ours_and_in_the_rollups(
    tmp_path, caplog
):
    recorder = Recorder(tmp_path / "journal")
    recorder.now = came = (time.time_ns() // 1_000_000 - 40 * DAY_MS) // DAY_MS * DAY_MS
    recorder.start()
    for _ in range(30):
        recorder.reading(electrical={"power": 900.0})
        recorder.tick(10)
    recorder.now += DAY_MS
    recorder.reading(electrical={"power": 900.0})
    recorder.tick(10)
    recorder.close()
    end = came + DAY_MS
    with installation() as address:
        assert run_journal(tmp_path / "journal", address) == 0
        with closing(open_reader(address)) as reader:
            assert reader.stats().total_readings == 0
            letters = reader.dead_letters(None, None, None, 100)
            rollups = {
                resolution: [row.values["power_mean"] for row in reader.rollups("site1", resolution, came, end, 4)]
                for resolution in ("1m", "1h", "1d")
            }
    assert [letter.reason for letter in letters] == ["older_than_retention"] * 31
    assert rollups == {"1m": [900.0] * 4, "1h": [900.0], "1d": [900.0]}
    told = [record for record in caplog.records if record.name == "heatpump.store"]
    assert {record.levelname for record in told} == {"WARNING"} and len(told) < 31
    assert told[0].getMessage().startswith("dead letters, older than the store keeps readings: ")


def test_several_lines_that_are_refused_for_other_reasons_are_told_each_in_its_own_words(tmp_path):
    now = time.time_ns() // 1_000_000 - 60_000
    with installation() as address:
        open_writer(address).close()
        with closing(InfluxServer(address)) as server:
            server.write(address.bucket, f'sensor_reading,device_id=other setpoint_dhw="warm" {now}'.encode())
        batch = rows(now)
        batch[CULPRIT] = msgspec.structs.replace(batch[CULPRIT], cells=cells_of({"setpoint_dhw": 52.0}))
        batch[ANOTHER] = msgspec.structs.replace(batch[ANOTHER], at=now - 40 * DAY_MS)
        count, letters = stored(address, tmp_path, batch)
    assert count >= COUNT - 2
    assert {letter.device_id: letter.detail.partition(": 4")[2][:28] for letter in letters} == {
        batch[CULPRIT].device_id: "22 failure writing points to",
        batch[ANOTHER].device_id: "22 failure writing points to",
    }
    assert ["setpoint_dhw" in letter.detail for letter in letters].count(True) == 1
    assert ["outside retention" in letter.detail for letter in letters].count(True) == 1
    assert {letter.device_id: letter.reason for letter in letters} == {
        batch[CULPRIT].device_id: "store_refused",
        batch[ANOTHER].device_id: "older_than_retention",
    }


def test_of_two_rows_that_make_one_line_the_one_that_is_taken_alone_is_stored(tmp_path):
    now = time.time_ns() // 1_000_000 - 60_000
    with installation() as address:
        open_writer(address).close()
        with closing(InfluxServer(address)) as server:
            server.write(address.bucket, f'sensor_reading,device_id=other setpoint_dhw="warm" {now}'.encode())
        batch = [
            RawRow.of("site1", now, ORDER_STEP, now + 5, "device", {"power": 900.0}),
            RawRow.of("site1", now, 2 * ORDER_STEP, now + 5, "device", {"setpoint_dhw": 52.0}),
        ]
        _, letters = stored(address, tmp_path, batch)
        with closing(open_reader(address)) as reader:
            assert reader.readings("site1", now, now + 1, 2)[0].values == {"power": 900.0}
    assert [msgspec.json.decode(letter.body)["values"] for letter in letters] == [{"setpoint_dhw": 52.0}]
