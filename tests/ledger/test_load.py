"""The ledger's load through the whole graph without a broker; and that its comparison finds what it is there for."""

import random
import sqlite3
from contextlib import closing

import pytest

from flows.journal.writer import Journal
from flows.main import run_journal
from flows.model.frame import FrameKind, tick_payload
from tests.ledger import answers
from tests.ledger.compare import compare, expected_of
from tests.ledger.load import Load
from tests.ledger.stored import StoredSqlite
from tests.packed import teach_raised

NOW = 1_770_000_000_000

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def load():
    load = Load("load", devices=4, messages=4000, now=NOW)
    return load, list(load.messages())


@pytest.fixture(scope="module")
def expected(load):
    return expected_of(load[1])


@pytest.fixture(scope="module")
def store(load, tmp_path_factory):
    """The store that the load gives, with a tick now and then."""
    folder = tmp_path_factory.mktemp("load")
    journal, rng, ticks = Journal.open(folder / "journal", min_free_bytes=1), random.Random(1), 0
    _, messages = load
    for message in [*messages, *[None] * 100]:
        if message is not None:
            retain = {"retain": message.retain}
            journal.append(FrameKind.MESSAGE, NOW, topic=message.topic, payload=message.payload, qos=1, **retain)
        if message is None or rng.random() < 0.002:
            ticks += 1
            journal.append(FrameKind.TICK, NOW, payload=tick_payload(ticks))
    journal.commit()
    journal.close()
    assert run_journal(folder / "journal", folder / "store.sqlite") == 0
    return folder / "store.sqlite"


def test_the_store_holds_what_was_published_and_the_oracles_rollups_and_transitions(load, expected, store):
    with closing(StoredSqlite(store)) as found:
        verdict = compare(found, expected, load[0].events)
    assert verdict.differences == [] == answers.differences(store, expected)
    counts = verdict.counts
    assert counts["stored"] == counts["distinct"] < counts["published"]
    assert min(counts[name] for name in ("1m rows", "1h rows", "1d rows", "transitions", "events")) > 0


def test_a_wrong_derived_value_is_found_though_no_row_keeps_it(expected, store, tmp_path):
    harmed = tmp_path / "harmed.sqlite"
    with closing(sqlite3.connect(store)) as whole, closing(sqlite3.connect(harmed)) as db:
        whole.backup(db)
        teach_raised(db)
        db.execute(
            "UPDATE raw SET body = raised('raw', body, 'temp_outlet', 1e-6) WHERE key = (SELECT max(key) FROM raw)"
        )
        db.commit()
    (difference,) = answers.differences(harmed, expected)
    assert "delta_t" in difference and "carnot_cop" in difference


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        ("DELETE FROM raw WHERE key = (SELECT max(key) FROM raw)", "is lost"),
        (
            "UPDATE raw SET body = raised('raw', body, 'voltage', 1e-6) WHERE key = (SELECT min(key) FROM raw)",
            "has voltage",
        ),
        ("UPDATE raw SET key = key + 1 WHERE key = (SELECT max(key) FROM raw)", "none was published"),
        ("DELETE FROM rollup_1h WHERE key = (SELECT max(key) FROM rollup_1h)", "is missing"),
        ("UPDATE rollup_1d SET body = raised('rollup_1d', body, 'power_mean', 1e-5)", "power_mean is"),
        ("UPDATE rollup_1m SET heat_source = 2 WHERE heat_source = 0", "heat_source is"),
        ("DELETE FROM alert_transition WHERE state = 'escalated'", "transition"),
        ("DELETE FROM alert_transition WHERE state = 'noted'", "is noted 0 times"),
        ("INSERT INTO dead_letter_count VALUES ('ledger1', 'empty', 0, 1, 3)", "3 dead letters"),
    ],
)
def test_the_comparison_finds(load, expected, store, tmp_path, harm, sentence):
    harmed = tmp_path / "harmed.sqlite"
    with closing(sqlite3.connect(store)) as whole, closing(sqlite3.connect(harmed)) as db:
        whole.backup(db)
        teach_raised(db)
        db.execute(harm)
        db.commit()
    with closing(StoredSqlite(harmed)) as found:
        differences = compare(found, expected, load[0].events).differences
    assert any(sentence in difference for difference in differences)
