"""A store is moved into one of the other kind; the flow goes on there as if nothing had been."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from flows.errors import ConfigError, StartRefused
from flows.main import run_journal
from flows.migration import report
from flows.migration.copies import copy_recovery
from flows.migration.progress import Progress
from flows.migration.run import Migration
from flows.model.influx_address import InfluxAddress
from flows.model.rows import Forget, Retain
from flows.model.times import now_ms
from flows.store import open_reader, open_writer
from flows.store.dump import dump
from flows.store.protocol import Fence
from tests.migration.conftest import Pair
from tests.pipeline.conftest import Recorder
from tests.store.conftest import DAY, KINDS, MINUTE, NOW, minute, outcome, raw
from tests.store.test_export import fill

pytestmark = pytest.mark.slow


def quiet(*_: object) -> None:
    """Nobody is told."""


def more(recorder: Recorder, count: int) -> None:
    """Readings, some late, with a run of the compressor, a message that is none, and what a user asked for."""
    for number in range(count):
        recorder.now += 20_000
        recorder.reading(
            temperature={"inlet": 30 + number / 10, "outlet": 35.0 + number % 7},
            electrical={"power": 100.0 * number, "current": 16.0 if number % 50 > 25 else 8.0},
            status={"compressor": number % 20 > 8},
            hydraulic={"flow": 12.5},
        )
        recorder.tick()
    recorder.reading(at=recorder.now - 200_000, electrical={"voltage": 231.0})
    recorder.message("heatpump/site1/data", "{")
    recorder.command("device_put", f"c{recorder.now}", device_id="site1", refrigerant="R410A", name="Home")
    recorder.tick(3)


def test_the_flow_goes_on_on_the_target_where_the_source_stood(pair: Pair, tmp_path: Path, record) -> None:
    source, target = pair
    recorder: Recorder = record("data/journal")
    data = tmp_path / "data"

    def run(store) -> None:
        assert run_journal(data / "journal", store.address, data / "recovery", epoch_ms=100) == 0

    recorder.start()
    more(recorder, 120)
    run(source)
    copied = copy_recovery(data)
    migration = Migration(source.address, target.address, tmp_path / "migration")
    way = migration.begin()
    assert way.fence is not None and copied is not None and copied <= way.fence.seq

    more(recorder, 60)  # the flow goes on meanwhile, on the source
    run(source)
    with pytest.raises(StartRefused, match="not whole"):
        run(target)

    migration.copy(way, quiet)
    there = migration.count_again(quiet)
    assert [*report.differences(way.tally, there, migration.settled())] == []
    assert there.of("raw", "site1").rows > 120
    migration.end(way)
    assert target.writer.fence() == way.fence

    more(recorder, 60)
    run(target)
    assert [*data.glob("recovery-aside-*")], "what stood ahead of the fence is set aside"
    whole = tmp_path / "whole.sqlite"
    assert run_journal(data / "journal", whole) == 0
    assert target.content() == list(dump(whole))


def test_every_part_of_a_store_is_counted_and_copied(pair: Pair, tmp_path: Path) -> None:
    source, target = pair
    fill(source)
    source.writer.commit_fence(Fence("journal", 9, 4))
    migration = Migration(source.address, target.address, tmp_path / "migration")
    way = migration.begin()
    migration.copy(way, quiet)
    assert target.writer.fence() == way.mark
    there, settled = migration.count_again(quiet), migration.settled()
    assert [*report.differences(way.tally, there, settled)] == []
    assert {section for section in report.TITLES if not there.sums.get(section)} == set()
    migration.end(way)
    assert target.content() == source.content()
    assert target.reader.fence() == Fence("journal", 9, 4)
    assert not (tmp_path / "migration").exists()


def test_a_copy_that_was_interrupted_goes_on_where_it_stood(pair: Pair, tmp_path: Path) -> None:
    source, target = pair
    fill(source)
    source.writer.commit_fence(Fence("journal", 9))
    file = tmp_path / "migration"
    way = Migration(source.address, target.address, file).begin()

    class Killed(Exception):
        pass

    def killed(what: str, *_: int) -> None:
        if what.startswith("alert"):
            raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr("flows.migration.run.SAVED_EVERY_S", 0.0)
        Migration(source.address, target.address, file).copy(way, killed)
    source.apply(raw(NOW + DAY, 9_000, power=5.0))  # written by a flow that goes on: not copied any more

    again = Migration(source.address, target.address, file)
    way, seen = again.begin(), []
    again.copy(way, lambda what, *_: seen.append(what))
    assert seen[0].startswith("alert")
    assert [*report.differences(way.tally, again.count_again(quiet), again.settled())] == []
    with pytest.raises(ConfigError, match="unfinished way"):
        Migration(target.address, source.address, file).begin()


def test_a_copy_that_stood_at_a_device_since_forgotten_counts_nothing_twice(pair: Pair, tmp_path: Path) -> None:
    source, target = pair
    fill(source)
    source.writer.commit_fence(Fence("journal", 9))
    migration = Migration(source.address, target.address, tmp_path / "migration")
    way = migration.begin()
    migration.copy(way, quiet)
    way.done = "raw", "site2"
    source.apply(Forget("site2", 9_000))
    migration.copy(way, quiet)
    assert [*report.differences(way.tally, migration.count_again(quiet), migration.settled())] == []
    assert way.tally.of("raw", "site2").rows == 0 < way.tally.of("raw", "site1").rows


def test_what_differs_is_told_in_counts_and_in_sums(tmp_path: Path) -> None:
    source = KINDS["sqlite"](tmp_path)
    source.apply(*(raw(NOW + n * MINUTE, 1 + n, power=100.0) for n in range(10)), outcome("a", 1))
    source.apply(minute(NOW, 20, temp_inlet_mean=3.0))
    path = tmp_path / "target.sqlite"
    migration = Migration(source.address, path, tmp_path / "migration")
    way = migration.begin()
    migration.copy(way, quiet)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM raw WHERE key IN (SELECT min(key) FROM raw)")
        db.execute("UPDATE command SET detail = 'other'")
    found = [*report.differences(way.tally, migration.count_again(quiet), migration.settled())]
    assert [each.what for each in found] == ["readings site1", "commands"]
    assert "10 (sum 1000)" in str(found[0]) and "9 (sum 900)" in str(found[0])
    source.close()


def shown(migration: Migration, way: Progress) -> list[list[str]]:
    """Give the cells of all tables, row by row."""
    made = report.tables(way.tally, migration.count_again(quiet), migration.settled())
    return [[*row] for table in made for row in zip(*(column.cells for column in table.columns), strict=True)]


def test_rows_of_the_day_in_which_retention_stands_are_shown_though_not_compared(tmp_path: Path) -> None:
    source, path = KINDS["sqlite"](tmp_path), tmp_path / "target.sqlite"
    source.apply(Retain("site1", 1, NOW + MINUTE, NOW + MINUTE, 0))
    source.apply(*(raw(NOW + n * MINUTE, 1 + n, power=100.0) for n in range(1, 11)))
    source.apply(minute(NOW + MINUTE, 20, temp_inlet_mean=3.0))
    migration = Migration(source.address, path, tmp_path / "migration")
    way = migration.begin()
    migration.copy(way, quiet)
    assert ["site1", "10", "1", "0", "0", "0", "0"] in shown(migration, way)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM raw WHERE key IN (SELECT min(key) FROM raw)")
    assert ["site1", "9, 1 let go", "1", "0", "0", "0", "0"] in shown(migration, way)
    assert [*report.differences(way.tally, migration.count_again(quiet), migration.settled())] == []
    source.close()


def test_a_target_that_holds_data_is_refused_and_left_alone(pair: Pair, tmp_path: Path) -> None:
    source, target = pair
    source.apply(raw(NOW, 1, power=1.0))
    target.apply(outcome("only", 1))
    before = target.content()
    with pytest.raises(ConfigError, match="holds data already"):
        Migration(source.address, target.address, tmp_path / "migration").begin()
    assert target.content() == before and not (tmp_path / "migration").exists()


def test_readings_and_minutes_that_the_server_would_let_go_are_left_out(tmp_path: Path) -> None:
    made = KINDS["influx"](tmp_path)
    made.close()
    address = InfluxAddress(
        made.address.url, made.address.token, bucket=made.address.bucket, raw_ms=DAY, minute_ms=DAY
    )
    source, now = KINDS["sqlite"](tmp_path), now_ms() // MINUTE * MINUTE
    times = [now - age for age in (3 * DAY, DAY + MINUTE, DAY // 2, 0)]
    source.apply(*(raw(at, number + 1, power=1.0) for number, at in enumerate(times)))
    source.apply(*(minute(at, 9, temp_inlet_mean=1.0) for at in times))
    migration = Migration(source.address, address, tmp_path / "migration")
    way = migration.begin()
    migration.copy(way, quiet)
    assert way.left_out == {"raw": 2, "1m": 2}
    assert [*report.differences(way.tally, migration.count_again(quiet), migration.settled())] == []
    with closing(open_reader(address)) as reader:
        assert [each.at for each in reader.readings("site1", 0, now + 1, 10)] == times[:1:-1]
        assert len(reader.rollups("site1", "1m", 0, now + 1, 10)) == 2
    made.close()
    source.close()


def test_a_store_that_no_flow_has_fed_has_no_fence_in_the_copy_either(tmp_path: Path) -> None:
    source, path = KINDS["sqlite"](tmp_path), tmp_path / "target.sqlite"
    source.apply(raw(NOW, 1, power=1.0))
    migration = Migration(source.address, path, tmp_path / "migration")
    way = migration.begin()
    migration.copy(way, quiet)
    migration.end(way)
    with closing(open_writer(path)) as writer:
        assert writer.fence() is None
    assert list(dump(path)) == source.content()
    source.close()
