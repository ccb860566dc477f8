"""A damaged store, a damaged journal, a store that is locked: each is told, with what to do."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flows.cli import checks
from flows.cli.checks import flow_problem, subscription_problem
from flows.journal.writer import Journal
from flows.main import run_journal
from flows.model.frame import FrameKind
from flows.settings import load_settings
from flows.store import open_writer
from flows.store.protocol import Fence
from tests.brokers import Rumqttd
from tests.cli.heatpump import heatpump
from tests.flows import Device, Flow, wait_for
from tests.recorded import RECORDING

pytestmark = pytest.mark.slow

READINGS = 20


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder whose journal has readings and whose store was made for it."""
    folder, now = tmp_path / "data", time.time_ns() // 1_000_000
    folder.mkdir(mode=0o700)
    with closing(Journal.open(folder / "journal", min_free_bytes=1)) as journal:
        for n in range(READINGS):
            body = b'{"temperature":{"inlet":%d}}' % (30 + n)
            arrived = now - 600_000 + n * 10_000
            journal.append(FrameKind.MESSAGE, arrived, topic="heatpump/site1/data", payload=body)
        journal.commit()
    with closing(open_writer(folder / "store.sqlite")) as writer:
        writer.commit_fence(Fence(journal.journal_id, 0))
    return folder


@pytest.fixture
def flow(data: Path, rumqttd: Rumqttd) -> Iterator[Callable[..., Flow]]:
    """Make `heatpump flow` on the folder."""
    made: list[Flow] = []

    def make(**settings: object) -> Flow:
        made.append(Flow(data, rumqttd.port, **settings))
        return made[-1]

    yield make
    for one in made:
        one.kill()


def damage_header(store: Path) -> None:
    store.write_bytes(b"no database" + store.read_bytes()[11:])


def damage_tables(store: Path) -> None:
    """Overwrite the tables of readings and rollups: such a store still opens."""
    with closing(sqlite3.connect(store)) as db:
        (size,) = db.execute("PRAGMA page_size").fetchone()
        tables = "SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('migration', 'fence')"
        pages = [page for (page,) in db.execute(tables)]
    whole = bytearray(store.read_bytes())
    for page in pages:
        whole[(page - 1) * size : page * size] = b"x" * size
    store.write_bytes(whole)


def flip_a_byte(journal: Path) -> None:
    (segment,) = journal.glob("*.seg")
    raw = bytearray(segment.read_bytes())
    raw[len(raw) // 2] ^= 0x40
    segment.write_bytes(raw)


@pytest.mark.parametrize("damage", [damage_header, damage_tables])
def test_rebuild_keeps_a_damaged_store_aside_and_the_flow_makes_one_from_the_journal(data, flow, damage):
    damage(data / "store.sqlite")
    damaged = (data / "store.sqlite").read_bytes()
    done = heatpump("rebuild", "--data", data)
    assert (done.returncode, done.stderr) == (0, "")
    (aside,) = data.glob("store-aside-*")
    assert (aside / "store.sqlite").read_bytes() == damaged
    assert f"The store was damaged and is kept in {aside}; what arrived before 20" in done.stdout
    again = heatpump("rebuild", "--data", data)
    assert again.returncode == 0 and "damaged" not in again.stdout
    assert list(data.glob("store-aside-*")) == [aside]
    wait_for(flow().start().readings, lambda count: count == READINGS)


def test_a_damaged_store_stops_the_flow_with_what_to_do(data):
    damage_header(data / "store.sqlite")
    done = heatpump("flow", "--data", data)
    assert done.returncode == 2
    assert "is damaged (file is not a database): put a copy in its place, or begin a new one" in done.stderr
    assert "`heatpump rebuild` makes one from the journal" in done.stderr
    doctor = heatpump("doctor", "--data", data, HEATPUMP_MIN_FREE_MB=1)
    assert doctor.returncode == 1 and "`heatpump rebuild` keeps it aside" in doctor.stdout


def test_a_store_whose_tables_are_damaged_ends_the_pipeline_with_a_sentence(data, caplog):
    damage_tables(data / "store.sqlite")
    assert run_journal(data / "journal", data / "store.sqlite") == 1
    (told,) = [record for record in caplog.records if record.name == "heatpump.flow"]
    assert "is damaged" in told.getMessage() and told.getMessage().endswith("goes on from the last epoch")
    assert told.exc_info is None


def test_a_replay_into_no_store_names_it_and_leaves_it_alone(tmp_path):
    (tmp_path / "README.md").write_text("# no store\n" * 100)
    done = heatpump("replay", RECORDING, "--device-id", "site1", "--into", tmp_path / "README.md")
    assert done.returncode == 2
    assert f"--into: '{tmp_path / 'README.md'}' is no store: name a new file" in done.stderr
    assert (tmp_path / "README.md").read_text() == "# no store\n" * 100


def test_doctor_reads_the_whole_journal_and_tells_of_overwritten_bytes(data):
    flip_a_byte(data / "journal")
    done = heatpump("doctor", "--data", data, HEATPUMP_MIN_FREE_MB=1)
    assert done.returncode == 1
    assert f"wrong journal: frames 1 to {READINGS}, but 1 places are damaged (" in done.stdout
    assert "and 1 frames missing\n" in done.stdout


def test_damage_in_the_journal_is_a_problem_of_the_flow_and_keeps_it_from_nothing(data, flow):
    flip_a_byte(data / "journal")
    running = flow().start()
    wait_for(running.readings, lambda count: count == READINGS - 1)
    assert flow_problem(load_settings(data=data)) == "met damage in the journal: 1 places, 1 frames missing"
    assert subscription_problem(load_settings(data=data)) == ""


def test_a_locked_store_and_a_backlog_are_problems_of_the_flow_until_they_are_over(
    data, flow, rumqttd, monkeypatch
):
    monkeypatch.setattr(checks, "LARGE_BACKLOG", 5)
    running = flow().start()
    wait_for(lambda: flow_problem(load_settings(data=data)), lambda problem: problem == "")
    device = Device(rumqttd.port)
    with closing(sqlite3.connect(running.store, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        device.reading()
        wait_for(
            lambda: flow_problem(load_settings(data=data)),
            lambda problem: "waits for the store: store " in problem,
        )
        for _ in range(10):
            device.reading()
        wait_for(lambda: flow_problem(load_settings(data=data)), lambda problem: "; is behind: " in problem)
        assert subscription_problem(load_settings(data=data)) == ""
        other.execute("ROLLBACK")
    wait_for(lambda: flow_problem(load_settings(data=data)), lambda problem: problem == "")
    device.close()


def test_a_full_disk_is_a_problem_of_the_flow(data, flow):
    flow(min_free_mb=10**9).launch()
    wait_for(
        lambda: flow_problem(load_settings(data=data)), lambda problem: problem.startswith("accepts nothing: ")
    )


def test_what_the_flow_writes_is_for_its_user_alone(data, flow):
    flow().start()
    wait_for(lambda: list(data.glob("recovery/*")))
    written = [data / "lock", data / "run" / "flow.json", *data.glob("recovery/*")]
    assert {path: oct(path.stat().st_mode & 0o077) for path in written} == dict.fromkeys(written, "0o0")
