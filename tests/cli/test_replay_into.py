"""A recording of a journal, replayed into a store: the same store, wherever and in however many pieces."""

import signal
import subprocess
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from flows.errors import RetryableStoreError
from flows.history.client import chunk_from
from flows.journal import recording as format
from flows.journal.recording import Head, Recording, write_recording
from flows.journal.writer import Journal
from flows.main import run_journal
from flows.model.frame import Frame, FrameKind, Start, start_payload, tick_payload
from flows.model.history import history_topic, payload_of
from flows.model.table import Table
from flows.model.times import DAY_MS, HOUR_MS
from flows.store import open_reader
from flows.store.dump import dump
from tests.cli.heatpump import HEATPUMP, Running, heatpump
from tests.flows import Device, Flow, wait_for
from tests.ledger.test_determinism import NOW, Interleaver

pytestmark = pytest.mark.slow

NOON = "2026-02-02T12:00Z"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal in which everything happens, and what one run over it stores."""
    folder = tmp_path_factory.mktemp("site")
    Interleaver(folder / "data" / "journal").write()
    assert run_journal(folder / "data" / "journal", folder / "store.sqlite") == 0
    return folder


@pytest.fixture(scope="module")
def whole(site: Path) -> list[str]:
    return list(dump(site / "store.sqlite"))


def record(site: Path, file: Path, *args: str) -> Path:
    done = heatpump("record", file, "--data", site / "data", *args)
    assert done.returncode == 0, done.stderr
    return file


def refusal(*args: object, **settings: object) -> str:
    done = heatpump("replay", *args, **settings)
    assert done.returncode == 2, done.stdout + done.stderr
    return done.stderr.splitlines()[-1]


def cut(at: int) -> str:
    """An instant of the journal: its two busy minutes, in parts of a hundred."""
    seconds = 2 * 3600 + 40 * 60 + at * 2
    return f"2026-02-02T{seconds // 3600:02d}:{seconds % 3600 // 60:02d}:{seconds % 60:02d}Z"


@pytest.fixture(scope="module")
def pieces(site: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pieces")
    return [
        record(site, folder / "1.hpr", "--to", cut(40)),
        record(site, folder / "2.hpr", "--from", cut(30), "--to", cut(70)),  # overlaps the first
        record(site, folder / "3.hpr", "--from", cut(70)),
    ]


def test_on_another_machine_the_whole_journal_gives_the_same_store(site, whole, tmp_path) -> None:
    assert NOW == 1_770_000_000_000 and len(whole) > 2_000
    file = record(site, tmp_path / "all.hpr")
    other = tmp_path / "other"
    Journal.open(other / "data" / "journal", min_free_bytes=1).close()
    done = heatpump("replay", file, "--into", "r.sqlite", cwd=other, HEATPUMP_DATA=other / "data")
    assert done.returncode == 0, done.stderr
    assert "stored as all devices in r.sqlite" in done.stdout
    assert list(dump(other / "r.sqlite")) == whole


def test_in_pieces_that_overlap_it_gives_the_same_store_and_again_changes_nothing(pieces, whole, tmp_path) -> None:
    store = tmp_path / "r.sqlite"
    for files in (pieces[:2], pieces, pieces):
        done = heatpump("replay", *files, "--into", store)
        assert done.returncode == 0, done.stderr
        assert "note" not in done.stderr
    assert list(dump(store)) == whole


@pytest.mark.parametrize("device", ["ledger1", "ledger4"])
def test_what_concerns_one_device_gives_all_that_is_stored_of_it(site, whole, tmp_path, device) -> None:
    file, store = record(site, tmp_path / "d.hpr", "--device", device), tmp_path / "d.sqlite"
    assert heatpump("replay", file, "--into", store).returncode == 0
    expected = {line for line in whole if f'"device_id": "{device}"' in line}
    found = {line for line in dump(store) if f'"device_id": "{device}"' in line}
    assert len(expected) > 50
    # Retention takes five devices a tick, so alone it may come to this one some ticks earlier.
    assert {line.partition(" ")[0] for line in expected ^ found} <= {"raw", "rollup_1m", "retained"}
    assert any('"device_offline"' in line and "no reading for" in line for line in found)


def test_recordings_that_do_not_follow_each_other_are_refused(site, pieces, tmp_path) -> None:
    one, two, three = pieces
    store = tmp_path / "r.sqlite"
    assert f"{one}' begins before {two}: name the older one first" in refusal(two, one, "--into", store)
    device = record(site, tmp_path / "d.hpr", "--device", "ledger1", "--from", cut(30))
    assert f"holds other devices than {one}: replay them one by one" in refusal(one, device, "--into", store)
    foreign = tmp_path / "foreign.hpr"
    write_recording(foreign, Head("f" * 32, 0, 1 << 50, (), "1"), [Frame(1, FrameKind.TICK, NOW)], lambda _: None)
    assert f"is of another journal than {one}: replay them one by one" in refusal(one, foreign, "--into", store)
    assert not store.exists()
    done = heatpump("replay", one, three, "--into", store)
    assert done.returncode == 0
    assert "note: nothing was recorded from 2026-02-02T02:41:20.000Z" in done.stderr.replace("\n", " ")


def test_a_store_that_holds_anything_else_is_refused(site, pieces, whole, tmp_path) -> None:
    store = site / "store.sqlite"
    for files in (pieces, pieces[1:]):
        assert "holds something else already: name a new file, or delete it" in refusal(*files, "--into", store)
    mine = tmp_path / "r.sqlite"
    assert heatpump("replay", *pieces, "--into", mine).returncode == 0
    assert "holds more of it already, up to frame" in refusal(pieces[0], "--into", mine)
    assert list(dump(store)) == list(dump(mine)) == whole


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--live"], "--live needs --into and a store of its own"),
        (
            ["--into", "x.sqlite", "--shift-to-now"],
            "--shift-to-now is for MQTT: a store gets the times as they were recorded",
        ),
        (["--into", "x.sqlite", "--device-id", "a"], "is for a CSV: a recording says whose messages it holds"),
    ],
)
def test_options_that_do_not_fit_are_refused(pieces, tmp_path, args, sentence) -> None:
    assert sentence in refusal(pieces[0], *args, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_no_recordings_are_refused(pieces, tmp_path) -> None:
    text = tmp_path / "day.csv"
    text.write_text("time_utc,power_in_w\n2024-10-10T00:00:30Z,20\n")
    assert "day.csv' is no recording of `heatpump record`: a CSV is replayed alone" in refusal(pieces[0], text)
    assert "No such file or directory" in refusal(tmp_path / "absent.hpr")
    for name, content, said in (
        ("x.bin", b"\xff\xfe\x00" * 40, "is no CSV file in UTF-8"),
        ("x.hpr", b"\xff\xfe\x00" * 40, "is no recording of `heatpump record`: take another copy"),
        ("y.hpr", b"", "is empty: neither a recording of `heatpump record` nor a CSV"),
    ):
        (tmp_path / name).write_bytes(content)
        assert said in refusal(tmp_path / name)


def test_of_a_damaged_recording_the_rest_is_replayed_and_what_is_missing_is_said(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(format, "BLOCK_BYTES", 1_000)
    file, store = tmp_path / "d.hpr", tmp_path / "r.sqlite"
    write_recording(file, Head("a" * 32, 0, 1 << 50, (), "1"), hourly(100), lambda _: None)
    with Recording(file) as recording:
        block = recording.blocks[2]
    data = bytearray(file.read_bytes())
    data[block.at + 5] ^= 1
    file.write_bytes(data)
    done = heatpump("replay", file, "--into", store)
    assert done.returncode == 1
    assert f"is damaged: frames are missing after frame {block.first_seq - 1}" in " ".join(done.stderr.split())
    with closing(open_reader(store)) as reader:
        assert 80 < reader.stats().total_readings < 100
    file.write_bytes(file.read_bytes()[:-200])
    done = heatpump("replay", file, "--into", tmp_path / "s.sqlite")
    assert done.returncode == 1
    assert "is cut off: what follows frame" in " ".join(done.stderr.split())


def hourly(count: int, every: int = HOUR_MS):
    """A start with 30 days of retention, then readings and ticks."""
    yield Frame(1, FrameKind.START, NOW, payload=start_payload(Start(0, 0)))
    for number in range(1, count + 1):
        at = NOW + number * every
        body = b'{"timestamp":%d,"electrical":{"power":%d}}' % (at, 1000 + number)
        yield Frame(2 * number, FrameKind.MESSAGE, at, "heatpump/site1/data", body, 1)
        yield Frame(2 * number + 1, FrameKind.TICK, at, payload=tick_payload(number * every // 1000))


def test_history_whose_beginning_is_not_in_a_recording_is_said_to_be_left_out(tmp_path) -> None:
    file, store = tmp_path / "d.hpr", tmp_path / "r.sqlite"
    table = Table(np.array([NOW - DAY_MS]), ("power",), np.array([[900.0]]))
    chunk = payload_of(chunk_from("a" * 32, "site1", 1, "test", table))  # number 0 came before the span
    frames = [*hourly(3), Frame(8, FrameKind.HISTORY, NOW + 4 * HOUR_MS, history_topic("site1"), chunk)]
    write_recording(file, Head("a" * 32, 0, 1 << 50, (), "1"), frames, lambda _: None)
    done = heatpump("replay", file, "--into", store)
    assert done.returncode == 0, done.stderr
    assert "note: 1 chunk of imported history left out" in " ".join(done.stderr.split())
    assert stored(store) == 3


def test_readings_are_as_fresh_as_when_they_arrived_and_retention_goes_on_as_in_service(tmp_path) -> None:
    file, store = tmp_path / "d.hpr", tmp_path / "r.sqlite"
    write_recording(file, Head("a" * 32, 0, 1 << 50, (), "1"), hourly(60 * 24), lambda _: None)
    assert heatpump("replay", file, "--into", store).returncode == 0
    with closing(open_reader(store)) as reader:
        assert reader.dead_letters(None, None, None, 10) == []
        days = reader.rollups("site1", "1d", 0, 1 << 50, 100)
        assert sum(day.count for day in days) >= 59 * 24
        oldest = reader.readings("site1", 0, 1 << 50, 1, newest_first=False)[0].at
    assert 30 * DAY_MS < NOW + 60 * DAY_MS - oldest <= 32 * DAY_MS


def test_beside_a_running_flow_its_journal_is_recorded_and_replayed_live(mosquitto, tmp_path) -> None:
    flow = Flow(tmp_path / "data", mosquitto.port).start()
    file, store = tmp_path / "now.hpr", tmp_path / "watched.sqlite"
    try:
        device = Device(mosquitto.port)
        for _ in range(20):
            device.reading(electrical={"power": 500.0})
            time.sleep(0.05)  # spacing to replay
        wait_for(flow.readings, lambda count: count == 20)
        device.close()
        done = heatpump("record", file, "--from", "-1h", HEATPUMP_DATA=flow.data)
        assert done.returncode == 0, done.stderr
        assert "with 20 readings of 1 device," in done.stdout
        before = (flow.health() or {})["synced_seq"]
        assert "which a flow is using: name a file elsewhere" in refusal(file, "--into", flow.store, "--live")
        began = time.monotonic()
        command = [*HEATPUMP, "replay", str(file), "--into", str(store), "--live", "--speed", "0.2"]
        live = Running(command, tmp_path / "live.log")
        assert wait_for(lambda: stored(store), lambda count: count > 0) < 20  # seen before it has ended
        assert live.process.wait(300) == 0, live.said
        assert time.monotonic() - began > 4.7  # about a second at a fifth of its speed
        assert stored(store) == 20
        assert flow.readings() == 20
        health = flow.health() or {}
        assert health["messages"] == 20 and health["synced_seq"] >= before
    finally:
        flow.kill()


def stored(store: Path) -> int:
    """Count what is stored; nothing while the store is being made."""
    try:
        with closing(open_reader(store)) as reader:
            return reader.stats().total_readings
    except RetryableStoreError:
        return 0


@pytest.mark.parametrize("args", [["--live", "--speed", "100"], []], ids=["live", "at full speed"])
def test_ctrl_c_ends_it_in_good_order(tmp_path, args) -> None:
    file, store = tmp_path / "d.hpr", tmp_path / "r.sqlite"
    write_recording(file, Head("a" * 32, 0, 1 << 50, (), "1"), hourly(100_000, every=10_000), lambda _: None)
    process = subprocess.Popen(
        [*HEATPUMP, "replay", str(file), "--into", str(store), *args],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        wait_for(lambda: stored(store) > 0)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "stopped at frame" in out
    assert 0 < stored(store) < 100_000
