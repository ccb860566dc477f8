"""Installations made by hand, without broker and process: a journal, and what runs over it leave behind."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import recovery
from flows.journal.writer import Journal
from flows.main import run_journal
from flows.model.times import HOUR_MS, now_ms
from flows.settings import Settings, load_settings
from flows.store.dump import dump
from tests.flows import Flow, wait_for
from tests.pipeline.conftest import Recorder

SEGMENT = 4_000
MINUTE = 60_000


class Installation:
    """A data folder whose journal is written twice: once more where nothing is ever trimmed, to hold against."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / "data"
        self.settings = load_settings(data=self.data)
        self.number, self.began = 0, now_ms() // HOUR_MS * HOUR_MS - 3 * HOUR_MS
        Recorder(folder / "whole" / "journal").close()
        self.data.mkdir()
        shutil.copytree(folder / "whole" / "journal", self.data / "journal")
        self.open()
        self._each(lambda recorder: recorder.start())

    def open(self) -> None:
        """Go on writing both journals, as a flow that starts does: in new segments."""
        self.recorders = [
            Recorder(path, segment_bytes=SEGMENT, sync=lambda _: None)
            for path in (self.data / "journal", self.folder / "whole" / "journal")
        ]
        for recorder in self.recorders:
            recorder.now, recorder.ticks = self.began + self.number * MINUTE, self.number

    def close(self) -> None:
        for recorder in self.recorders:
            recorder.close()

    @property
    def journal(self) -> Journal:
        return self.recorders[0].journal

    def _each(self, do: Callable[[Recorder], object]) -> None:
        for recorder in self.recorders:
            do(recorder)

    def more(self, count: int = 10) -> None:
        """Journal minutes of two devices: readings in order and late, refused ones, alerts, commands, seconds."""
        for _ in range(count):
            self.number += 1
            self._each(self._minute)

    def _minute(self, recorder: Recorder) -> None:
        n = self.number
        recorder.now += MINUTE
        for device, shift in (("site1", 0), ("site2", 7)):
            late = 20 * MINUTE if (n + shift) % 9 == 0 else 0
            hot = 96.0 if (n + shift) % 14 < 5 else 70.0
            recorder.reading(
                device,
                recorder.now - late - 200,
                temperature={"inlet": 30 + n % 7, "outlet": 36.5, "compressor": hot},
                electrical={"power": 900.0 + 10 * (n % 13)},
                status={"compressor": (n + shift) % 6 != 0},
            )
        if n % 11 == 3:
            recorder.message("heatpump/site1/data", "{}")
        if n % 17 == 5:
            recorder.command("device_put", f"put-{n}", device_id="site1", name=f"House {n}")
        if n % 5 == 0:
            event = f'{{"type":"leak","level":"warning","value":{n},"message":"as found"}}'
            recorder.message("heatpump/site2/alerts", event)
        recorder.tick()

    def run(self) -> None:
        """Let a flow take the journal to its end."""
        assert run_journal(self.data / "journal", self.settings.store, self.data / "recovery", epoch_ms=100) == 0

    def copy_recovery(self) -> None:
        """Make the daily copy."""
        recovery.copy_now(self.data / "recovery", self.data / "recovery-copies")

    def destroy(self) -> None:
        """Take the machine away."""
        self.recorders[0].close()
        shutil.rmtree(self.data)

    def whole(self, last_seq: int) -> list[str]:
        """Say what one run over all frames up to one gives."""
        scratch = self.folder / f"whole-{last_seq}"
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(self.folder / "whole" / "journal", scratch / "journal")
        cut_behind(scratch / "journal", last_seq)
        assert run_journal(scratch / "journal", scratch / "store.sqlite") == 0
        return [*dump(scratch / "store.sqlite")]


def patiently(flow: Flow) -> Flow:
    """Start a flow on a machine that has other things to do."""
    flow.launch()
    wait_for(flow.health, lambda health: bool(health and health["connected"]))
    return flow


def cut_behind(folder: Path, last_seq: int) -> None:
    """Let a journal end with a frame."""
    from flows.journal.segments import journal_id_of, list_segments, walk

    segments = list_segments(folder)
    journal_id = journal_id_of(segments, folder)
    assert journal_id is not None
    for segment in segments:
        if segment.first_seq > last_seq:
            segment.path.unlink()
            continue
        ends = [end for frame, end in walk(segment, journal_id) if frame.seq <= last_seq]
        with segment.path.open("r+b") as file:
            file.truncate(ends[-1] if ends else segment.size)


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """An installation in which 40 minutes were stored, and ten more journaled."""
    for name in Settings.model_fields.values():
        for alias in getattr(name.validation_alias, "choices", ()):
            monkeypatch.delenv(str(alias), raising=False)
    made = Installation(tmp_path)
    made.more(40)
    made.run()
    made.more(10)
    return made
