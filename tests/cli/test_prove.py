"""heatpump prove: it kills, compares, tells what is missing, and leaves nothing behind."""

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from flows.proof.books import Books, Found
from flows.store import open_reader
from tests.cli.heatpump import HEATPUMP, Running, alive, heatpump
from tests.filled import fill
from tests.flows import wait_for


@pytest.fixture
def prove(tmp_path: Path):
    """Start a proof that is kept in tmp_path/proof."""
    started: list[Running] = []

    def start(*arguments: str) -> Running:
        command = [*HEATPUMP, "prove", "--keep", str(tmp_path / "proof"), *arguments]
        started.append(Running(command, tmp_path / "prove.log", COLUMNS="80"))
        return started[-1]

    yield start
    for one in started:
        one.clean_up()


@pytest.mark.slow
def test_killed_while_readings_come_in_the_site_loses_and_doubles_nothing(prove):
    proof = prove("--seconds", "3", "--rate", "100", "--kills", "2")
    assert proof.process.wait(300) == 0, proof.said
    assert "Nothing lost, nothing doubled. 285 readings of 5 devices, 15 of them" in proof.said
    assert re.search(r"kill -9 flow\n", proof.said) and re.search(r"killed with -9 +2", proof.said)
    assert max(map(len, proof.said.splitlines())) <= 80 + len("Everything of it is in ")


@pytest.mark.slow
def test_a_row_that_is_taken_from_its_store_is_lost_and_ends_it_with_code_1(prove, tmp_path):
    proof, store = prove("--seconds", "3", "--rate", "100", "--kills", "0"), tmp_path / "proof/data/store.sqlite"
    wait_for(store.exists)
    wait_for(lambda: taken(store))
    assert proof.process.wait(300) == 1, proof.said
    assert "The store is not what was published." in proof.said
    assert re.search(r"284 stored, 1\s+lost, 0\s+doubled\.", proof.said)
    assert f"Everything of it is in {tmp_path / 'proof'}" in proof.said


def taken(store: Path) -> bool:
    """Take the first row of a store that has some."""
    with closing(sqlite3.connect(store, timeout=60, isolation_level=None)) as db:
        if not db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'raw'").fetchone()[0]:
            return False
        if db.execute("SELECT count(*) FROM raw").fetchone()[0] < 20:
            return False
        return db.execute("DELETE FROM raw WHERE key = (SELECT min(key) FROM raw)").rowcount == 1


@pytest.mark.slow
def test_its_own_kill_leaves_no_process_behind(prove, tmp_path):
    proof = prove("--seconds", "60")
    proof_of = psutil.Process(proof.process.pid)
    wait_for(lambda: (tmp_path / "proof/data/store.sqlite").exists())
    children = wait_for(lambda: [child.pid for child in proof_of.children()], lambda pids: len(pids) == 3)
    os.kill(proof.process.pid, 9)
    wait_for(lambda: any(map(alive, children)), lambda some: not some)


@pytest.mark.slow
def test_a_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "precious").touch()
    done = heatpump("prove", "--keep", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--keep: '{tmp_path}' is there already: name a new folder" in done.stderr


@pytest.fixture
def books(tmp_path: Path) -> tuple[Books, Path]:
    """Books of 40 readings of one device, 2 of them twice, and a store of all of them."""
    books = Books(1)
    sent = list(books.messages(40))
    assert len(sent) == 40 and len(set(sent)) == books.distinct == 38 and books.twice == 2
    return books, tmp_path / "store.sqlite"


def stored(books: Books, path: Path, change=lambda rows: rows) -> tuple[Found, Found]:
    """Fill a store with the published readings, changed; what look and audit find."""
    rows = change(dict(books.published["proof1"]))
    fill(path, rows, device_id="proof1", values=lambda at: {"temp_outlet": rows[at]})
    with closing(open_reader(path)) as reader:
        return books.look(reader), books.audit(reader)


def without_the_third(rows):
    del rows[list(rows)[2]]
    return rows


def with_another_value(rows):
    return {**rows, list(rows)[5]: -1.0}


def with_one_more(rows):
    return {**rows, next(iter(rows)) - 1: 30.0}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (dict, Found(38, 0, 0)),
        (without_the_third, Found(37, 1, 0)),
        (with_another_value, Found(38, 1, 0)),
        (with_one_more, Found(39, 0, 1)),
    ],
)
def test_what_is_lost_changed_or_never_published_is_found(books, change, found):
    live, whole = stored(*books, change)
    assert whole == found
    assert live == found


def test_a_reading_that_the_minutes_counted_and_nobody_published_is_doubled(books):
    published, path = books
    begun = next(iter(published.published["proof1"])) - 600_000
    published.published["proof1"] = {begun + second * 1000: 30.0 for second in range(300)}
    assert stored(published, path, with_one_more)[1] == Found(301, 0, 1)
    assert taken(path)
    with closing(open_reader(path)) as reader:
        assert published.audit(reader) == Found(300, 0, 1)


def test_what_is_still_on_its_way_is_not_lost(books):
    def half(rows):
        return dict(list(rows.items())[:20])

    live, whole = stored(*books, half)
    assert (live, whole) == (Found(20, 0, 0), Found(20, 18, 0))
