"""The conservation sum closes over everything that can become of a reading, across restarts and replays."""

import json
import shutil
import sqlite3
from contextlib import closing

import pytest

from flows.journal.writer import Journal
from flows.main import run_journal
from flows.model.frame import FrameKind, Start, start_payload, tick_payload
from flows.model.reading import FIRST_ROW
from flows.registry import all_nodes
from flows.store import open_reader
from flows.telemetry.meter import Meter
from tests.ledger.test_determinism import Interleaver

NOW = 1_770_000_000_000
DAY_MS = 86_400_000


class Writer:
    """A journal to write to, run by run."""

    def __init__(self, folder):
        self.folder, self._ticks = folder, 0

    def write(self, *frames):
        journal = Journal.open(self.folder, min_free_bytes=1)
        for kind, payload, fields in frames:
            journal.append(kind, fields.pop("arrived", NOW), payload=payload, **fields)
        journal.commit()
        journal.close()

    def tick(self, **fields):
        self._ticks += 1
        return FrameKind.TICK, tick_payload(self._ticks), fields


def data(body, device="site1", **fields):
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    return FrameKind.MESSAGE, payload, {"topic": f"heatpump/{device}/data", **fields}


def reading(at, **fields):
    return {"timestamp": at, "temperature": {"inlet": 30.5}, **fields}


@pytest.fixture
def run(tmp_path):
    """Run the graph over what the journal has by now; the sum of that process."""

    def go(batch_frames=4):
        meter, paths = Meter(), [tmp_path / name for name in ("journal", "store.sqlite", "recovery")]
        assert run_journal(*paths, batch_frames, meter=meter) == 0
        assert meter.read()["astray"] == ""
        return meter.conservation.read()

    return go


def letters_counted(store):
    with closing(sqlite3.connect(store)) as db:
        return dict(db.execute("SELECT reason, sum(count) FROM dead_letter_count GROUP BY reason"))


def forget(device):
    asked = {"id": f"forget {device}", "by": "test", "name": "device_forget", "body": {"device_id": device}}
    return FrameKind.COMMAND, json.dumps(asked).encode(), {}


@pytest.mark.slow
def test_every_fate_of_a_reading_is_counted_once_and_what_waits_is_found_again(tmp_path, run):
    journal = Writer(tmp_path / "journal")
    journal.write(
        (FrameKind.START, start_payload(Start(0, 0)), {}),
        data(reading(NOW - 5000)),
        data(reading(NOW - 4000)),
        data(reading(NOW - 4000)),  # duplicate, found by the store
        data({"timestamp": NOW - 4000, "electrical": {"voltage": 230}}),  # merged
        data(reading(NOW - 3000, seq=1, boot_id="b")),
        data(reading(NOW - 3000, seq=1, boot_id="b")),  # duplicate, found by the clock
        data([reading(NOW - 2000), 7, reading(NOW - 1000)]),  # the second dead
        data({}),  # dead
        data(b"nonsense"),  # dead
        data({"temperature": {"inlet": -127}}),  # dead
        data(reading(NOW - 40 * DAY_MS)),  # dead
        data({"temperature": {"inlet": 1}}, retain=True),  # dropped
        (FrameKind.MESSAGE, b"maybe", {"topic": "heatpump/site1/status/online"}),  # no reading
        data(reading(100_000), device="old"),  # waits for a tick
        data(reading(110_000), device="old"),
    )
    sums = run()
    assert sums == {
        "received": 16, "stored": 6, "duplicate": 2, "dropped": 1, "dead": 5, "in_flight": 2, "unexplained": 0,
    }  # fmt: skip
    shutil.copytree(tmp_path / "recovery", tmp_path / "before")
    journal.write(journal.tick(), data(reading(NOW)))
    nothing = {"duplicate": 0, "dropped": 0, "dead": 0, "in_flight": 0, "unexplained": 0}
    assert run() == {"received": 3, "stored": 3, **nothing}
    shutil.rmtree(tmp_path / "recovery")
    shutil.copytree(tmp_path / "before", tmp_path / "recovery")  # as after a crash: the store is ahead
    assert run() == {"received": 3, "stored": 0, **nothing, "duplicate": 3}


@pytest.mark.parametrize(("step", "kept"), [("clock", "dated"), ("rollup", "items")])
@pytest.mark.parametrize("lost", [True, False])
def test_a_node_that_loses_or_doubles_a_reading_is_named(tmp_path, monkeypatch, step, kept, lost):
    node = all_nodes()[step]
    rightly = (logic := type(node.recover(node.Params(), None))).on_items

    def wrongly(self, items, out):
        rightly(self, items, out)
        for item in [item for item in out[kept] if getattr(item, "at", 0) == NOW - 1000]:
            out[kept].remove(item) if lost else out[kept].append(item)

    monkeypatch.setattr(logic, "on_items", wrongly)
    Writer(tmp_path / "journal").write(
        (FrameKind.START, start_payload(Start(0, 0)), {}), *(data(reading(NOW - n * 1000)) for n in range(3))
    )
    meter = Meter()
    assert run_journal(tmp_path / "journal", tmp_path / "store.sqlite", meter=meter) == 0
    assert meter.read()["astray"] == step


@pytest.mark.slow
def test_the_sum_closes_over_dirty_traffic_with_commands_and_corrections_in_between(tmp_path, run):
    Interleaver(tmp_path / "journal").write()
    sums = run()
    assert sums["unexplained"] == 0
    assert min(sums[fate] for fate in ("stored", "duplicate", "dead")) > 0, sums
    assert sums["received"] > 3000


@pytest.mark.slow
@pytest.mark.parametrize("batch_frames", [1, 7, 1000])
@pytest.mark.parametrize("restart", [False, True])
def test_as_many_readings_are_dead_as_letters_are_counted_however_many_a_tick_releases(
    tmp_path, run, batch_frames, restart
):
    journal = Writer(tmp_path / "journal")
    buffered = [{"timestamp": 1000 + n * 1_800_000, "temperature": {"inlet": 30}} for n in range(5000)]
    journal.write(
        (FrameKind.START, start_payload(Start(0, 0)), {}),
        *(data(buffered, device=f"old{n}") for n in range(3)),
        journal.tick(),
    )
    runs = [run(batch_frames)] if restart else []
    journal.write(journal.tick())
    runs.append(run(batch_frames))
    dead = 3 * (5000 - 1441)
    assert [sums["unexplained"] for sums in runs] == [0] * len(runs)
    assert runs[0]["in_flight"] == (dead - FIRST_ROW if restart else 0)
    assert runs[-1]["in_flight"] == 0
    assert letters_counted(tmp_path / "store.sqlite") == {"older_than_retention": dead}
    assert sum(sums["dead"] for sums in runs) == dead and sum(sums["stored"] for sums in runs) == 3 * 1441


@pytest.mark.slow
@pytest.mark.parametrize("batch_frames", [1, 7, 1000])
@pytest.mark.parametrize("restart", [False, True])
def test_a_forgotten_device_is_not_brought_back_by_a_reading_that_waited(tmp_path, run, batch_frames, restart):
    journal, store = Writer(tmp_path / "journal"), tmp_path / "store.sqlite"
    numbered = reading(NOW, seq=7, boot_id="b")
    journal.write(
        (FrameKind.START, start_payload(Start(0, 0)), {}),
        data(numbered),
        data(reading(100_000), device="old"),
        data({"timestamp": 100_000, "temperature": {"inlet": 85}}, device="cold"),  # a letter, once it is dated
    )
    before = run(batch_frames) if restart else None
    journal.write(
        *map(forget, ("site1", "old", "cold")),
        journal.tick(),
        (FrameKind.MESSAGE, b"1.2", {"topic": "heatpump/old/status/version", "retain": True}),
        data(numbered),
    )
    sums = run(batch_frames)
    assert before is None or (before["stored"], before["in_flight"], before["unexplained"]) == (1, 2, 0)
    assert sums == {
        "received": 3 if restart else 4, "stored": 2 if restart else 3, "duplicate": 0, "dropped": 1, "dead": 0,
        "in_flight": 0, "unexplained": 0,
    }  # fmt: skip
    with closing(open_reader(store)) as reader:
        assert [device.device_id for device in reader.devices()] == ["site1"]
        assert reader.stats().total_readings == 1
    assert letters_counted(store) == {}


@pytest.mark.slow
@pytest.mark.parametrize("batch_frames", [1, 1000])
def test_a_reading_that_retention_has_passed_is_dead_also_after_retention_was_raised(tmp_path, run, batch_frames):
    journal, short = Writer(tmp_path / "journal"), Start(0, 0, raw_retention_ms=2 * DAY_MS)
    journal.write(
        (FrameKind.START, start_payload(short), {}),
        data(reading(NOW)),
        journal.tick(),
        journal.tick(arrived=NOW + DAY_MS),
        (FrameKind.START, start_payload(Start(0, 0)), {}),
        data(reading(NOW - 5 * DAY_MS), arrived=NOW + DAY_MS),
    )
    sums = run(batch_frames)
    assert (sums["stored"], sums["dead"], sums["unexplained"]) == (1, 1, 0)
    assert letters_counted(tmp_path / "store.sqlite") == {"older_than_retention": 1}
