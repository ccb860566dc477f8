"""The conservation sum closes over everything that can become of a reading, across restarts and replays."""

import json
import shutil

import pytest

from flows.journal.writer import Journal
from flows.main import run_journal
from flows.meter import Meter
from flows.model.frame import FrameKind, Start, start_payload, tick_payload
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
            journal.append(kind, NOW, payload=payload, **fields)
        journal.commit()
        journal.close()

    def tick(self):
        self._ticks += 1
        return FrameKind.TICK, tick_payload(self._ticks), {}


def data(body, device="site1", **fields):
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    return FrameKind.MESSAGE, payload, {"topic": f"heatpump/{device}/data", **fields}


def reading(at, **fields):
    return {"timestamp": at, "temperature": {"inlet": 30.5}, **fields}


@pytest.fixture
def run(tmp_path):
    """Run the graph over what the journal has by now; the sum of that process."""

    def go():
        meter = Meter()
        assert (
            run_journal(tmp_path / "journal", tmp_path / "store.sqlite", tmp_path / "recovery", 4, meter=meter)
            == 0
        )
        return meter.conservation.read()

    return go


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


@pytest.mark.slow
def test_the_sum_closes_over_dirty_traffic_with_commands_and_corrections_in_between(tmp_path, run):
    Interleaver(tmp_path / "journal").write()
    sums = run()
    assert sums["unexplained"] == 0
    assert min(sums[fate] for fate in ("stored", "duplicate", "dead")) > 0, sums
    assert sums["received"] > 3000
