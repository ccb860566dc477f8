"""heatpump record: spans, devices, what is gone, and how mistakes read."""

import os
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from flows.cli.record import record
from flows.errors import ConfigError, HeatPumpError
from flows.history.client import chunk_from
from flows.journal.recording import Head, Recording, write_recording
from flows.journal.retention import trim
from flows.journal.writer import Journal
from flows.lock import locked
from flows.model.frame import FrameKind
from flows.model.history import history_topic, payload_of
from flows.model.table import Table
from flows.model.times import HOUR_MS, now_ms
from tests.recorded import ms

NOON = ms("2026-01-05T12:00:00Z")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Ten hours of two devices, an hour apart, in a segment each."""
    folder = tmp_path / "data"
    fill(folder, NOON)
    return folder


def fill(data: Path, first: int) -> None:
    journal = Journal.open(data / "journal", segment_bytes=100, min_free_bytes=1)
    for hour in range(10):
        at = first + hour * HOUR_MS
        journal.append(FrameKind.START, at, payload=b"{}") if hour == 0 else None
        for device in ("a", "b"):
            journal.append(FrameKind.MESSAGE, at, f"heatpump/{device}/data", b'[{"x":1},{"x":2}]', qos=1)
        journal.commit()
    journal.close()


@pytest.fixture
def run(data: Path, tmp_path: Path):
    app = typer.Typer()
    app.command()(record)

    def invoke(*args: str):
        return CliRunner().invoke(app, [str(tmp_path / "a.hpr"), "--data", str(data), *args])

    return invoke


def arrivals(path: Path) -> list[tuple[str, int]]:
    with Recording(path) as recording:
        frames = [frame for frame in recording.frames() if frame.kind is FrameKind.MESSAGE]
    return [(frame.topic.split("/")[1], (frame.arrived - NOON) // HOUR_MS) for frame in frames]


def test_without_a_span_it_is_the_whole_journal(run, tmp_path) -> None:
    result = run()
    assert result.exit_code == 0, result.exception
    assert (
        "21 frames with 40 readings of 2 devices, which arrived from 2026-01-05T12:00:00.000Z to" in result.output
    )
    assert arrivals(tmp_path / "a.hpr") == [(device, hour) for hour in range(10) for device in "ab"]
    assert "note" not in result.output


def test_a_span_begins_with_from_and_ends_before_to(run, tmp_path) -> None:
    result = run("--from", "2026-01-05T14:00Z", "--to", "2026-01-05T18:00+02:00", "--device", "b")
    assert result.exit_code == 0, result.exception
    assert arrivals(tmp_path / "a.hpr") == [("b", 2), ("b", 3)]
    with Recording(tmp_path / "a.hpr") as recording:
        assert recording.head.devices == ("b",)
        assert (recording.head.start, recording.head.end) == (NOON + 2 * HOUR_MS, NOON + 4 * HOUR_MS)
        assert next(recording.frames()).kind is FrameKind.START  # what the flow ran with


def test_times_may_be_relative_to_now(run, tmp_path) -> None:
    fill(tmp_path / "data2", now_ms() - 9 * HOUR_MS - 60_000)
    result = run("--data", str(tmp_path / "data2"), "--from", "-3h", "--to", "-90m")
    assert result.exit_code == 0, result.exception
    assert "3 frames with 4 readings of 2 devices" in result.output  # with the start before


def test_what_of_the_span_is_trimmed_is_said(run, data) -> None:
    journal = Journal.open(data / "journal", min_free_bytes=1)
    assert trim(journal, NOON + 4 * HOUR_MS, 1000) == 3
    journal.close()
    result = run("--from", "2026-01-05T13:30Z")
    assert result.exit_code == 0, result.exception
    assert (
        "note: 1.5 hours are missing: what arrived from 2026-01-05T13:30:00.000Z to 2026-01-05T15:00:00.000Z is no "
        "longer in the journal"
    ) in result.output
    assert "14 frames" in result.output


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--from", "yesterday"], "--from: 'yesterday' must be a time such as 2026-01-05T06:00Z, or -24h"),
        (["--from", "2026-01-05T14:00", "--to", "2026-01-05T13:00"], "'2026-01-05T14:00' is not before --to"),
        (
            ["--to", "2026-01-05T11:00"],
            "hold nothing: the journal has what arrived from 2026-01-05T12:00:00.000Z to",
        ),
        (
            ["--from", "2026-01-06T00:00"],
            "hold nothing: the journal has what arrived from 2026-01-05T12:00:00.000Z to",
        ),
        (["--device", "c"], "--device: 'c' has sent nothing in this span; devices that have: a, b"),
        (["--device", "a/b"], "--device: 'a/b' must be 1 to 64 letters"),
    ],
)
def test_a_mistake_is_a_sentence_and_leaves_no_file(run, tmp_path, args, sentence) -> None:
    result = run(*args)
    assert isinstance(result.exception, ConfigError)
    assert sentence in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_of_many_devices_some_are_named_and_that_there_are_more(run, data) -> None:
    journal = Journal.open(data / "journal", min_free_bytes=1)
    for number in range(30):
        journal.append(FrameKind.MESSAGE, NOON, f"heatpump/d{number:02}/data", b"{}", qos=1)
    journal.commit()
    journal.close()
    assert str(run("--device", "x").exception).endswith("d16, d17, …")


def test_imported_history_is_counted_and_its_device_can_be_recorded_alone(run, data, tmp_path) -> None:
    table = Table(np.arange(3) * 60_000 + NOON, ("power",), np.ones((3, 1)))
    journal = Journal.open(data / "journal", min_free_bytes=1)
    chunk = payload_of(chunk_from("0" * 32, "old", 0, "", table))
    journal.append(FrameKind.HISTORY, NOON + 10 * HOUR_MS, history_topic("old"), chunk)
    journal.append(FrameKind.MESSAGE, NOON + 10 * HOUR_MS, "heatpump/si te/data", b"{}", qos=1)
    journal.commit()
    journal.close()
    result = run("--device", "old")
    assert result.exit_code == 0, result.exception
    assert "2 frames with 0 readings of 0 devices and 3 imported ones of 1 device, which" in result.output
    assert "readings of 3 devices and 3 imported ones of 1 device" in run("--force").output
    assert str(run("--force", "--device", "c").exception).endswith("devices that have: a, b, old")


def test_a_recording_is_for_its_user_alone_and_one_that_cannot_be_written_is_named(data, run, tmp_path) -> None:
    assert run().exit_code == 0
    assert (tmp_path / "a.hpr").stat().st_mode & 0o777 == 0o600
    with pytest.raises(OSError) as caught:
        write_recording(Path("/proc/a.hpr"), Head("a" * 32, 0, 1, (), "1"), [], lambda _: None)
    assert caught.value.filename == "/proc/a.hpr"


def test_a_span_that_is_trimmed_wholly_is_refused(run, data) -> None:
    journal = Journal.open(data / "journal", min_free_bytes=1)
    trim(journal, NOON + 4 * HOUR_MS, 1000)
    journal.close()
    result = run("--from", "2026-01-05T12:00", "--to", "2026-01-05T13:30")
    assert "is before anything that is still there: the journal has what arrived from 2026-01-05T15" in str(
        result.exception
    )


def test_a_file_that_is_there_stays_unless_forced(run, tmp_path) -> None:
    (tmp_path / "a.hpr").write_text("mine")
    result = run()
    assert "is there already: name another, or replace it with --force" in str(result.exception)
    assert (tmp_path / "a.hpr").read_text() == "mine"
    assert run("--force").exit_code == 0
    assert len(arrivals(tmp_path / "a.hpr")) == 20


def test_no_journal_no_recording(run, tmp_path) -> None:
    result = run("--data", str(tmp_path / "nothing"))
    assert isinstance(result.exception, HeatPumpError)
    assert "there is no journal in" in str(result.exception)


def test_a_flow_that_does_not_say_what_is_durable_is_waited_for(run, data) -> None:
    with locked(data / "lock"):
        result = run()
    assert "so what is durable is not known: record again in a moment" in str(result.exception)


def test_recording_changes_nothing_in_the_journal(run, data) -> None:
    before = {path: (path.read_bytes(), os.stat(path).st_mtime_ns) for path in (data / "journal").iterdir()}
    assert run().exit_code == 0
    assert {
        path: (path.read_bytes(), os.stat(path).st_mtime_ns) for path in (data / "journal").iterdir()
    } == before
