"""The store is a pure function of the journal: whole, in pieces with kill -9, in batches of any size."""

import base64
import json
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from flows.journal.writer import Journal
from flows.main import run_journal
from flows.model.frame import FrameKind, Start, start_payload, tick_payload
from flows.model.reading import ORDER_STEP
from flows.store.dump import dump
from tests.ledger.load import DAY_MS, HOUR_MS, Load

NOW = 1_770_000_000_000
BATCH_SIZES = (1, 7, 100, 8000)
CHILD = """
import sys
from pathlib import Path
from flows.main import run_journal
journal, store, recovery = map(Path, sys.argv[1:])
sys.exit(run_journal(journal, store, recovery, batch_frames=7, epoch_ms=100))
"""

pytestmark = pytest.mark.slow


class Interleaver:
    """Writes a journal in which everything that can change the store comes in between everything else."""

    def __init__(self, folder: Path) -> None:
        self._journal = Journal.open(folder, min_free_bytes=1, sync=lambda _: None)
        self._rng = random.Random("determinism")
        self._arrived, self._ticks, self._commands, self._uptime = NOW, 0, 0, 0

    def write(self) -> None:
        start = Start(0, 0, offline_ticks=15, raw_retention_ms=2 * DAY_MS, minute_retention_ms=3 * DAY_MS)
        self._add(FrameKind.START, start_payload(start))
        load = Load("determinism", devices=4, messages=3000, now=NOW)
        for number, message in enumerate(load.messages()):
            self._arrived += 50
            self._message(message.topic, message.payload, retain=message.retain)
            if number % 23 == 0:
                self._tick()
            if number % 101 == 50:
                self._something_else()
        for _ in range(20):  # two days ahead, so that retention takes the readings before midnight
            self._arrived += DAY_MS // 10
            self._tick()
        self._journal.close()

    def _add(self, kind: FrameKind, payload: bytes, topic: str = "", **fields) -> int:
        seq = self._journal.append(kind, self._arrived, topic=topic, payload=payload, **fields)
        self._journal.commit()
        return seq

    def _message(self, topic: str, payload: bytes, **fields) -> int:
        return self._add(FrameKind.MESSAGE, payload, topic, qos=1, **fields)

    def _tick(self) -> None:
        self._ticks += 1
        self._arrived += 1000
        self._add(FrameKind.TICK, tick_payload(self._ticks))

    def _command(self, name: str, **body) -> None:
        self._commands += 1
        asked = {"id": f"c{self._commands}", "by": "test", "name": name, "body": body}
        self._add(FrameKind.COMMAND, json.dumps(asked).encode())

    def _something_else(self) -> None:
        device = self._rng.choice(["ledger1", "ledger2", "ledger3"])
        deeds = (
            self._correct,
            self._forget,
            self._acknowledge,
            self._will,
            self._old_firmware,
            self._nonsense,
            self._letters,
        )
        self._rng.choice(deeds)(device)

    def _correct(self, device: str) -> None:
        valid_from = self._rng.choice([None, NOW - self._rng.randint(1, 20) * HOUR_MS])
        refrigerant = self._rng.choice(["", "R32", "R290"])
        glycol, limits = self._rng.choice([0.0, 20.0]), {"current": {"warning": self._rng.choice([10.0, 13.0])}}
        entry = {"refrigerant": refrigerant, "glycol_percent": glycol, "limits": limits}
        self._command("device_put", device_id=device, valid_from=valid_from, **entry)

    def _forget(self, device: str) -> None:
        self._command("device_forget", device_id=self._rng.choice([device, "old"]))

    def _acknowledge(self, _: str) -> None:
        """An alert that is raised here, whose id follows from the frame's number."""
        device = f"fresh{self._commands}"
        seq = self._message(f"heatpump/{device}/data", b'{"electrical":{"current":16}}')
        self._command("alert_ack", alert_id=f"{device}/current/{seq * ORDER_STEP}")
        self._command("alert_ack", alert_id=f"{device}/current/1")

    def _will(self, device: str) -> None:
        self._message(f"heatpump/{device}/status/online", self._rng.choice([b"false", b"true"]))

    def _old_firmware(self, _: str) -> None:
        """A clock that counts from its boot, sent as an array after a pause."""
        self._uptime = 0 if self._rng.random() < 0.3 else self._uptime
        readings = []
        for _ in range(5):
            self._uptime += 2000
            readings.append({"timestamp": self._uptime, "electrical": {"power": self._uptime / 10}})
        self._message("heatpump/old/data", json.dumps(readings).encode())

    def _nonsense(self, device: str) -> None:
        self._message(f"heatpump/{device}/data", self._rng.choice([b"{", b"[]", b'{"temperature":{"inlet":900}}']))

    def _letters(self, device: str) -> None:
        """Letters tried again: refused by each node, then stored; twice as it was seen; dropped."""
        topics = (f"heatpump/{device}/data", "heatpump/old/data")
        waits = {"timestamp": self._uptime + 500, "electrical": {"power": 7}}
        tries = (b"[]", b'{"temperature":{"inlet":900}}', b'{"timestamp":1700000000000,"electrical":{"power":7}}')
        for topic, good in zip(topics, (b'{"electrical":{"power":7}}', json.dumps(waits).encode()), strict=True):
            letter_id, arrived = self._message(topic, b"{") * ORDER_STEP, self._arrived
            for attempts, payload in enumerate((*tries, good)):
                self._about("dead_letter_retry", letter_id, attempts, topic, arrived, payload)
            self._about("dead_letter_retry", letter_id, len(tries), topic, arrived, good)
        dropped = self._message(topics[0], b"{") * ORDER_STEP
        for _ in range(2):
            self._about("dead_letter_drop", dropped, 0, topics[0], self._arrived, b"{")

    def _about(self, name: str, letter_id: int, attempts: int, topic: str, arrived: int, payload: bytes) -> None:
        told = {"state": "open", "attempts": attempts, "topic": topic, "arrived": arrived, "size": len(payload)}
        self._command(name, letter_id=letter_id, seen={**told, "payload": base64.b64encode(payload).decode()})


@pytest.fixture(scope="module")
def journal(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("determinism") / "journal"
    Interleaver(folder).write()
    return folder


@pytest.fixture(scope="module")
def whole(journal, tmp_path_factory) -> list[str]:
    """The dump of one run over the whole journal."""
    store = tmp_path_factory.mktemp("whole") / "store.sqlite"
    assert run_journal(journal, store) == 0
    return list(dump(store))


def test_the_journal_meets_every_table(whole):
    tables = {line.partition(" ")[0] for line in whole}
    assert tables >= {
        "device",
        "attribute",
        "raw",
        "rollup_1m",
        "rollup_1h",
        "rollup_1d",
        "alert",
        "alert_transition",
    }
    assert tables >= {"latest", "dead_letter", "dead_letter_count", "command", "forgotten", "retained"}
    outcomes = {json.loads(line.partition(" ")[2])["outcome"] for line in whole if line.startswith("command ")}
    assert outcomes == {"done", "refused"}
    letters = [json.loads(line.partition(" ")[2]) for line in whole if line.startswith("dead_letter {")]
    assert {letter["state"] for letter in letters} == {"open", "retried", "dropped"}
    assert {letter["attempts"] for letter in letters} == {0, 4}


@pytest.mark.parametrize("batch_frames", BATCH_SIZES)
def test_the_size_of_batches_changes_nothing(journal, whole, tmp_path, batch_frames):
    assert run_journal(journal, tmp_path / "store.sqlite", batch_frames=batch_frames) == 0
    assert list(dump(tmp_path / "store.sqlite")) == whole


def test_kills_on_the_way_change_nothing(journal, whole, tmp_path):
    store, kills, rng = tmp_path / "store.sqlite", 0, random.Random(4)
    while True:
        child = subprocess.Popen([sys.executable, "-c", CHILD, journal, store, tmp_path / "recovery"])
        until = fence_of(store) + rng.randint(400, 1000)
        while child.poll() is None and fence_of(store) < until:
            time.sleep(0.005)
        if child.poll() is not None:
            break
        child.kill()
        child.wait()
        kills += 1
    assert child.returncode == 0 and kills >= 3
    assert list(dump(store)) == whole


def fence_of(store: Path) -> int:
    """How far the store has durably taken the journal."""
    try:
        with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
            found = db.execute("SELECT seq FROM fence").fetchone()
    except sqlite3.OperationalError:
        return 0
    return found[0] if found else 0
