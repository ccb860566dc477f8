"""Taps look on: what is stored is the same, the sum closes, and a mistake of theirs stops nobody."""

import threading

import pytest

from flows.main import run_journal
from flows.store.dump import dump
from flows.telemetry.meter import Meter
from tests.ledger.test_determinism import Interleaver
from tests.pipeline.conftest import NOW

pytestmark = pytest.mark.slow


class Watched:
    """A run of the graph over a journal, every node watched and some devices followed all the while."""

    def __init__(self, meter: Meter, devices):
        self._meter, self._devices, self._done = meter, devices, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.items, self.traces = 0, 0

    def _look(self):
        taps = self._meter.taps
        while not self._done.is_set():
            for device in self._devices:
                self.traces += taps.follow(device, None) is not None
            for step in list(taps.steps):
                self.items += len(taps.watch(step))
            self._done.wait(0.01)

    def __enter__(self):
        for device in self._devices:
            self._meter.taps.follow(device, None)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()


def test_what_is_stored_is_the_same_with_every_tap_armed(tmp_path):
    journal = tmp_path / "journal"
    Interleaver(journal).write()
    plain, looked = Meter(), Meter()
    assert run_journal(journal, tmp_path / "plain.sqlite", batch_frames=200, meter=plain) == 0
    with Watched(looked, ["ledger1", "ledger2"]) as watched:
        assert run_journal(journal, tmp_path / "looked.sqlite", batch_frames=200, meter=looked) == 0
    assert watched.items > 0 and watched.traces > 0
    assert looked.taps.read()["held"] <= 2 * 10 + 9 * 5
    assert list(dump(tmp_path / "looked.sqlite")) == list(dump(tmp_path / "plain.sqlite"))
    assert looked.read()["conservation"] == plain.read()["conservation"]
    assert plain.read()["astray"] == looked.read()["astray"] == ""
    assert plain.taps.read() == {"following": [], "watching": [], "held": 0}


@pytest.mark.parametrize(
    "place",
    ["flows.telemetry.tap.glance_at", "flows.telemetry.trace.Trace.stop", "flows.telemetry.trace.Trace.is_stored"],
)
def test_a_mistake_of_a_tap_ends_the_look_and_not_the_flow(tmp_path, record, monkeypatch, place):
    journal, meter, met = record(), Meter(), []
    for n in range(20):
        journal.reading(at=NOW + n, temperature={"inlet": 20 + n})
    journal.close()

    def fail(*given):
        met.append(given)
        raise TypeError("a mistake of ours")

    monkeypatch.setattr(place, fail)
    meter.taps.follow("site1", None)
    assert run_journal(journal.folder, tmp_path / "store.sqlite", batch_frames=5, meter=meter) == 0
    assert len(met) == 1
    assert meter.taps.read() == {"following": [], "watching": [], "held": 0}
    sums = meter.conservation.read()
    assert (sums["stored"], sums["unexplained"]) == (20, 0)
