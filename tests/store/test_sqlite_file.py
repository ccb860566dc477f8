"""What only the embedded store promises: its file, its migrations, its log, its durability."""

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path

import pytest

from flows.errors import RetryableStoreError, StoreError
from flows.store import open_reader, open_writer
from flows.store.dump import dump
from flows.store.protocol import Fence
from flows.store.sqlite import connection, migrations
from flows.store.sqlite.reader import SqliteReader
from flows.store.sqlite.writer import SqliteWriter

from .conftest import FOREVER, NOW, raw


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "store.sqlite"


def wal_bytes(path: Path) -> int:
    return Path(f"{path}-wal").stat().st_size


def test_the_folder_is_made_and_the_files_are_their_owners_alone(path):
    with closing(open_writer(path)) as writer:
        writer.apply([raw(NOW, 1, voltage=1.0)])
        files = sorted(path.parent.iterdir())
        assert [file.name for file in files] == ["store.sqlite", "store.sqlite-shm", "store.sqlite-wal"]
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_path_with_odd_characters_is_a_path(tmp_path):
    path = tmp_path / "a b?mode=memory#%41 ü" / "store.sqlite"
    with closing(open_writer(path)) as writer, closing(open_reader(path)) as reader:
        writer.apply([raw(NOW, 1, voltage=1.0)])
        assert reader.stats().total_readings == 1
    assert path.exists()


def test_a_store_that_does_not_exist_yet_can_be_asked_for_until_it_does(path):
    with closing(open_reader(path)) as reader:
        with pytest.raises(RetryableStoreError, match="no store at"):
            reader.ping()
        with closing(open_writer(path)):
            reader.ping()


def test_a_reader_notices_that_another_file_was_put_in_place(path, tmp_path):
    for place, count in ((path, 1), (tmp_path / "other.sqlite", 3)):
        with closing(open_writer(place)) as writer:
            writer.apply([raw(NOW + n, n + 1, voltage=1.0) for n in range(count)])
    with closing(open_reader(path)) as reader:
        assert reader.stats().total_readings == 1
        os.replace(tmp_path / "other.sqlite", path)
        assert reader.stats().total_readings == 3


def test_a_store_of_a_newer_build_is_refused_with_a_sentence(path):
    open_writer(path).close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO migration VALUES (99, 'colder_water')")
    with pytest.raises(StoreError, match=r"newer build \(it has 'colder_water'\): update this one"):
        open_writer(path)
    with closing(open_reader(path)) as reader, pytest.raises(StoreError, match="newer build"):
        reader.ping()


def test_a_store_of_an_older_build_is_migrated_by_the_flow_and_waited_for_by_readers(path, monkeypatch):
    with closing(open_writer(path)) as writer:
        writer.apply([raw(NOW, 1, voltage=1.0)])

    def warmer_water(db: sqlite3.Connection) -> None:
        db.execute("CREATE TABLE warmth (degrees REAL)")

    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, warmer_water))
    with closing(open_reader(path)) as reader:
        with pytest.raises(RetryableStoreError, match="older than this build: start the flow"):
            reader.ping()
        with closing(open_writer(path)):
            assert reader.stats().total_readings == 1
    with closing(sqlite3.connect(path)) as db:
        names = [name for (name,) in db.execute("SELECT name FROM migration ORDER BY position")]
    assert names == [step.__name__ for step in migrations.MIGRATIONS]
    assert (names[0], names[-1]) == ("first_tables", "warmer_water")


def test_a_migration_that_fails_leaves_nothing_of_itself(path, monkeypatch):
    open_writer(path).close()

    def half(db: sqlite3.Connection) -> None:
        db.execute("CREATE TABLE half (a)")
        db.execute("CREATE TABLE half (a)")

    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, half))
    with pytest.raises(StoreError, match="half already exists"):
        open_writer(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT name FROM sqlite_schema WHERE name = 'half'").fetchall() == []


def test_another_programs_database_is_refused(path):
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE songs (title TEXT)")
    with pytest.raises(StoreError, match=r"another program's file \(it has 'songs'\)"):
        open_writer(path)


@pytest.mark.parametrize("statement", [1, 2, 3])
def test_a_reader_that_looks_while_the_store_is_made_never_takes_it_for_another_programs(path, statement):
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")
    begun = 0

    def make_meanwhile(_: str) -> None:
        nonlocal begun
        begun += 1
        if begun == statement:
            open_writer(path).close()

    with closing(connection.connect_reader(path, 5000)) as db:
        db.set_trace_callback(make_meanwhile)
        with suppress(RetryableStoreError):
            migrations.check_current(db, path)
    assert begun >= statement


@pytest.mark.parametrize(
    "head", [b"not a database, but longer than a header of one hundred bytes " * 4, b"x" * 5000]
)
def test_a_file_that_is_no_database_is_refused_with_what_to_do(path, head):
    path.parent.mkdir()
    path.write_bytes(head)
    with pytest.raises(StoreError, match=r"is damaged .*put a copy in its place"):
        open_writer(path)
    with closing(open_reader(path)) as reader, pytest.raises(StoreError, match="is damaged"):
        reader.ping()


def test_a_damaged_page_stops_the_writer_and_is_not_tried_for_ever(path):
    with closing(open_writer(path)) as writer:
        writer.apply([raw(NOW + n, n + 1, voltage=1.0) for n in range(5000)])
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    with pytest.raises(StoreError) as caught, closing(open_writer(path)) as writer:
        writer.apply([raw(NOW + n, n + 9000, power=1.0) for n in range(5000)])
    assert not isinstance(caught.value, RetryableStoreError)


def test_a_store_locked_at_the_start_can_be_tried_again(path):
    open_writer(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RetryableStoreError, match="locked"):
            SqliteWriter(path, busy_ms=20)
    open_writer(path).close()


def test_at_its_page_limit_the_store_says_that_there_is_no_room(path):
    with closing(SqliteWriter(path)) as writer:
        writer.apply([raw(NOW, 1, voltage=1.0)])
        before = list(dump(path))
        writer._db.execute("PRAGMA max_page_count=40")
        with pytest.raises(RetryableStoreError, match="no room left: free disk space"):
            writer.apply([raw(NOW + n, n, voltage=1.0) for n in range(1, 5000)])
        assert list(dump(path)) == before
        writer._db.execute("PRAGMA max_page_count=1000000")
        writer.apply([raw(NOW + n, n, voltage=1.0) for n in range(1, 5000)])


def test_a_slow_paged_reader_holds_no_checkpoint_up(path, monkeypatch):
    """A thousand pages are written between any two of the reader's pages: the log must start over again and again."""
    monkeypatch.setattr(connection, "CHECKPOINT_PAGES", 200)
    with closing(open_writer(path)) as writer, closing(open_reader(path)) as reader:
        writer.apply([raw(NOW + n, n + 1, voltage=1.0) for n in range(1000)])
        start, largest, order = NOW, 0, 10_000
        while page := reader.readings("site1", start, NOW + 1000, 100, newest_first=False):
            start = page[-1].at + 1
            for _ in range(20):
                order += 1000
                writer.apply(
                    [raw(NOW + order + n, order + n, device_id="site2", voltage=1.0) for n in range(1000)]
                )
                largest = max(largest, wal_bytes(path))
    assert path.stat().st_size > 3 * largest


def test_a_log_that_grew_behind_a_lingering_reader_starts_over_at_the_first_fence_without_it(path, monkeypatch):
    monkeypatch.setattr(connection, "CHECKPOINT_PAGES", 50)
    monkeypatch.setattr("flows.store.sqlite.writer.LONGEST_LOG_BYTES", 1_000_000)
    with closing(SqliteWriter(path)) as writer, closing(SqliteReader(path)) as reader:
        writer.apply([raw(NOW, 1, voltage=1.0)])
        entered, leave = threading.Event(), threading.Event()

        def hold() -> None:
            with reader._reading() as db:
                db.execute("SELECT * FROM raw").fetchall()
                entered.set()
                leave.wait(60)

        holder = threading.Thread(target=hold)
        holder.start()
        assert entered.wait(60)
        for n in range(1, 30):
            writer.apply([raw(NOW + 1000 * n + m, n, voltage=1.0) for m in range(1000)])
        assert wal_bytes(path) > 1_000_000
        writer.commit_fence(Fence("a", 1))
        assert writer.fence() == Fence("a", 1)
        leave.set()
        holder.join()
        writer.commit_fence(Fence("a", 2))
        assert wal_bytes(path) == 0


KILLED = """
import sys
from flows.store import open_writer
from flows.store.protocol import Fence
from tests.store.conftest import NOW, raw
writer = open_writer(sys.argv[1])
for batch in range(1, 100_000):
    writer.apply([raw(NOW + 10 * batch + n, batch, voltage=float(batch)) for n in range(10)])
    if batch % 5 == 0:
        writer.commit_fence(Fence("journal", batch))
        print(batch, flush=True)
"""


@pytest.mark.slow
def test_what_a_fence_covers_is_there_after_kill_9_and_batches_are_whole(path):
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    fenced = 0
    while fenced < 200:
        fenced = int(child.stdout.readline())
    child.send_signal(signal.SIGKILL)
    said = [fenced, *map(int, child.stdout.read().split())]
    child.stdout.close()
    child.wait()
    with closing(open_reader(path)) as reader:  # before any writer has repaired anything
        rows = reader.readings("site1", 0, FOREVER, 10**6)
    with closing(open_writer(path)) as writer:
        fence = writer.fence()
    assert fence is not None
    assert fence.seq >= said[-1]
    assert len(rows) % 10 == 0
    assert len(rows) >= 10 * fence.seq


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_a_fence_syncs_the_log_and_a_batch_does_not(path):
    """Watched from outside, by strace: what the operating system was asked to make durable, and when."""
    script = KILLED.replace("range(1, 100_000)", "range(1, 16)").replace("print(batch", "print('fenced', batch")
    trace = path.parent.parent / "trace"
    command = ["strace", "-f", "-o", str(trace), "-e", "trace=fsync,fdatasync,write", sys.executable, "-c", script]
    subprocess.run([*command, str(path)], check=True, capture_output=True)
    calls = trace.read_text().splitlines()
    fences = [n for n, call in enumerate(calls) if 'write(1, "fenced' in call]
    assert len(fences) == 3
    between = [[call for call in calls[a:b] if "sync(" in call] for a, b in pairwise(fences)]
    assert [len(syncs) for syncs in between] == [1, 1]


def test_a_dump_orders_rows_by_device_id_and_time_and_hides_integer_keys(path, tmp_path):
    other = tmp_path / "other.sqlite"
    rows = [raw(NOW + n % 3, n + 1, device_id=f"site{n % 2}", voltage=n / 3) for n in range(6)]
    with closing(open_writer(path)) as one, closing(open_writer(other)) as two:
        one.apply(rows)
        for row in reversed(rows):
            two.apply([row])
    lines = list(dump(path))
    assert lines == list(dump(other))
    assert (
        lines[2]
        == f'raw {{"arrived": {NOW + 5}, "at": {NOW}, "clock": 0, "device_id": "site0", "ord": 1, "voltage": 0.0}}'
    )
    assert len(lines) == 9
