"""heatpump migrate as people run it."""

import signal
from pathlib import Path

import pytest

from flows.model.times import now_ms
from flows.store.dump import dump
from flows.store.protocol import Fence
from tests.cli.heatpump import HEATPUMP, Running, heatpump
from tests.filled import fill
from tests.flows import wait_for
from tests.migration.conftest import Pair
from tests.store.conftest import DAY, MINUTE, StoreUnderTest

pytestmark = pytest.mark.slow


def named(store: StoreUnderTest) -> str:
    return str(store.path) if hasattr(store, "path") else "influxdb"


def test_a_migration_that_is_killed_goes_on_and_ends_with_all_of_it(pair: Pair, server, tmp_path: Path) -> None:
    source, target = pair
    now = now_ms()
    for device in ("site1", "site2", "site3", "site4"):
        fill(source.address, range(now - DAY // 8, now, 10_000), device)
    source.reopen()
    source.writer.commit_fence(Fence("journal", 5))
    settings = {"HEATPUMP_DATA": tmp_path, **server(source if named(source) == "influxdb" else target)}
    way = ["migrate", "--from", named(source), "--to", named(target)]
    file = next(store for store in pair if named(store) != "influxdb")
    progress = file.path.with_name("store.sqlite.migration")

    first = Running([*HEATPUMP, *way], tmp_path / "first.log", **settings)
    wait_for(lambda: target.reader.stats().total_readings)
    assert first.end(signal.SIGKILL) == -signal.SIGKILL
    assert progress.exists()
    assert target.writer.fence() != Fence("journal", 5)

    second = heatpump(*way, **settings)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "site4" in second.stdout and "≠" not in second.stdout
    assert target.content() == source.content()
    assert target.reader.fence() == Fence("journal", 5)
    assert not progress.exists()

    third = heatpump(*way, **settings)
    assert third.returncode == 2 and "holds data already" in third.stderr


def test_what_cannot_be_migrated_is_told_in_a_sentence(tmp_path: Path) -> None:
    absent = heatpump("migrate", "--from", tmp_path / "no.sqlite", "--to", tmp_path / "new.sqlite")
    assert absent.returncode == 2 and "--from" in absent.stderr and "is not there" in absent.stderr
    unset = heatpump("migrate", "--from", tmp_path / "no.sqlite", "--to", "influxdb")
    assert unset.returncode == 2 and "INFLUXDB_URL, which is not set" in unset.stderr
    same = heatpump("migrate", "--from", tmp_path / "no.sqlite", "--to", tmp_path / "no.sqlite")
    assert same.returncode == 2 and "is the source itself" in same.stderr
    assert not [*tmp_path.iterdir()]
    fill(tmp_path / "store.sqlite", range(0, 10 * MINUTE, 1_000))
    done = heatpump("migrate", "--from", tmp_path / "store.sqlite", "--to", tmp_path / "new.sqlite")
    assert done.returncode == 0, done.stderr
    assert list(dump(tmp_path / "new.sqlite")) == list(dump(tmp_path / "store.sqlite"))
