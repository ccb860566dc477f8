"""What `heatpump record` writes is what the journal holds, and damage costs what is damaged, never more or unseen."""

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.errors import JournalError
from flows.journal import recording as format
from flows.journal.recording import Contents, Head, Recording, is_recording, write_recording
from flows.journal.span import Span
from flows.journal.writer import Journal
from flows.model.frame import Frame, FrameKind
from tests.effort import examples

ID = "0123456789abcdef" * 2
T0 = 1_770_000_000_000
MESSAGE, TICK, COMMAND, START, HISTORY = FrameKind


def head(**changed) -> Head:
    return Head(**{"journal_id": ID, "start": 0, "end": T0 * 2, "devices": (), "version": "1", **changed})


def accept(_: Contents) -> None:
    pass


def message(seq: int, device: str = "a", payload: bytes = b"{}") -> Frame:
    return Frame(seq, MESSAGE, T0 + seq, f"heatpump/{device}/data", payload, 1)


def read(path: Path) -> list[Frame]:
    with Recording(path) as recording:
        return list(recording.frames())


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(format, "BLOCK_BYTES", 200)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "a.hpr"


# ---- any journal, any span, any devices

devices = st.sampled_from(["a", "b", "c.1"])
entries = st.one_of(
    st.tuples(
        st.just(MESSAGE),
        st.builds("heatpump/{}/{}".format, devices, st.sampled_from(["data", "status/online", "alerts"])),
        st.binary(max_size=40),
        st.integers(0, 1),
        st.booleans(),
    ),
    st.tuples(st.just(TICK), st.just(""), st.just(b'{"n":1}'), st.just(0), st.just(False)),
    st.tuples(
        st.just(COMMAND),
        st.just(""),
        st.sampled_from(
            [
                b'{"id":"1","by":"x","name":"device_put","body":{"device_id":"a"}}',
                b'{"id":"2","by":"x","name":"alert_ack","body":{"alert_id":"b/current/8"}}',
                b'{"id":"3","by":"x","name":"dead_letter_drop","body":{"seen":{"topic":"heatpump/a/data"}}}',
                b'{"id":"4","by":"x","name":"new","body":{}}',
                b"nonsense",
            ]
        ),
        st.just(0),
        st.just(False),
    ),
    st.tuples(
        st.just(HISTORY),
        st.builds("heatpump/{}/history".format, devices),
        st.binary(max_size=40),
        st.just(0),
        st.just(False),
    ),
)
steps = st.sampled_from([0, 0, 1, 1, 5, 50])
runs = st.lists(st.lists(st.tuples(steps, entries), max_size=12), min_size=1, max_size=4)
NAMES = {b'"1"': "a", b'"2"': "b", b'"3"': "a"}


def concern(frame: Frame, wanted: set[str]) -> bool:
    """What a recording of some devices is to hold, said a second time."""
    if frame.kind in (MESSAGE, HISTORY):
        return frame.topic.split("/")[1] in wanted
    if frame.kind is COMMAND:
        named = [device for mark, device in NAMES.items() if b'"id":' + mark in frame.payload]
        return not named or named[0] in wanted
    return True


@settings(max_examples=examples(60), deadline=None)
@given(runs, st.sets(devices), st.integers(-3, 120), st.integers(1, 120), st.sampled_from([60, 300, 10**6]))
def test_a_recording_gives_back_what_arrived_in_its_span(
    tmp_path_factory, runs, wanted, begin, length, segment
) -> None:
    folder = tmp_path_factory.mktemp("record")
    arrived, written = T0, []
    for run in runs:  # every start of the flow opens the journal anew
        journal = Journal.open(folder / "journal", segment_bytes=segment, min_free_bytes=1)
        for step, (kind, topic, payload, qos, retain) in [(0, (START, "", b"{}", 0, False)), *run]:
            arrived += step
            seq = journal.append(kind, arrived, topic, payload, qos=qos, retain=retain)
            journal.commit()
            written.append(Frame(seq, kind, arrived, topic, payload, qos, retain))
        journal.close()
    start, end = T0 + begin, T0 + begin + length
    expected = [f for f in written if start <= f.arrived < end and (not wanted or concern(f, wanted))]
    before = [f for f in written if f.arrived < start and f.kind is START]
    if before and any(start <= f.arrived < end for f in written):
        expected = [before[-1], *expected]
    span = Span(folder / "journal", start, end, wanted, 1 << 62)
    found = write_recording(folder / "a.hpr", head(start=start, journal_id=journal.journal_id), span, accept)
    assert read(folder / "a.hpr") == expected
    assert found.frames == len(expected)
    inside = [f for f in expected if f.arrived >= start]
    assert (found.first_seq, found.last_seq) == ((inside[0].seq, inside[-1].seq) if inside else (0, 0))
    assert span.damage.frames == 0


def test_a_clock_that_went_back_hides_nothing_of_a_span(tmp_path) -> None:
    journal, hour = Journal.open(tmp_path, segment_bytes=100, min_free_bytes=1), 3_600_000
    arrivals = [T0 + number * 1000 for number in range(20)]
    arrivals += [at - hour for at in arrivals] + [at + hour for at in arrivals]
    for at in arrivals:
        journal.append(MESSAGE, at, "heatpump/a/data", b"{}")
        journal.commit()
    journal.close()
    for start, end in [(T0, T0 + 20_000), (T0 - hour + 5_000, T0 + 3_000), (T0 + 10_000, T0 + hour + 10_000)]:
        found = [frame.arrived for frame in Span(tmp_path, start, end, (), 1 << 62)]
        assert found == [at for at in arrivals if start <= at < end]


def test_nothing_is_read_past_the_durable_end(tmp_path) -> None:
    journal = Journal.open(tmp_path, min_free_bytes=1)
    for number in range(10):
        journal.append(MESSAGE, T0 + number, "heatpump/a/data", b"{}")
    journal.commit()
    assert [frame.seq for frame in Span(tmp_path, 0, T0 * 2, (), 7)] == [1, 2, 3, 4, 5, 6, 7]
    journal.close()


def test_damage_in_the_journal_is_counted_in_the_recording(tmp_path, path) -> None:
    journal = Journal.open(tmp_path / "journal", min_free_bytes=1)
    for number in range(10):
        journal.append(MESSAGE, T0 + number, "heatpump/a/data", b"%050d" % number)
    journal.commit()
    journal.close()
    (segment,) = (tmp_path / "journal").glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[data.index(b"%050d" % 4) + 7] ^= 1
    segment.write_bytes(data)
    span = Span(tmp_path / "journal", 0, T0 * 2, (), 1 << 62)
    assert [frame.seq for frame in span] == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert span.damage.frames == 1


# ---- what it says of itself


def test_readings_are_counted_by_device_as_they_were_sent(path) -> None:
    frames = [
        message(1),
        message(2, "b", b"[{},{},{}]"),
        message(3, "b", b"[nonsense"),
        Frame(4, MESSAGE, T0 + 4, "heatpump/c/status/online", b"true", 1),
        Frame(5, TICK, T0 + 5, payload=b'{"n":1}'),
    ]
    found = write_recording(path, head(), frames, accept)
    assert found.readings == {"a": 1, "b": 4, "c": 0}
    assert (found.frames, found.messages, found.first_seq, found.last_seq) == (5, 4, 1, 5)
    with Recording(path) as recording:
        assert recording.contents == found
        assert recording.head == head()
        assert recording.holes == []


def test_a_recording_that_cannot_be_finished_leaves_no_file(path) -> None:
    def frames():
        yield message(1)
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        write_recording(path, head(), frames(), accept)
    assert list(path.parent.iterdir()) == []


def test_what_was_there_stays_until_the_new_one_is_whole(path) -> None:
    write_recording(path, head(), [message(1)], accept)

    def refuse(_: Contents) -> None:
        assert len(read(path)) == 1
        raise JournalError("not like this")

    with pytest.raises(JournalError):
        write_recording(path, head(), [message(1), message(2)], refuse)
    assert len(read(path)) == 1
    write_recording(path, head(), [message(1), message(2)], accept)
    assert len(read(path)) == 2


# ---- damage


@pytest.fixture
def recorded(path, small_blocks) -> Path:
    write_recording(path, head(), [message(seq, payload=os.urandom(30)) for seq in range(1, 31)], accept)
    with Recording(path) as recording:
        assert len(recording.blocks) == 10
    return path


def test_a_flipped_bit_anywhere_costs_one_block_and_is_named(recorded) -> None:
    whole, data = read(recorded), recorded.read_bytes()
    with Recording(recorded) as recording:
        blocks = recording.blocks
    for block in blocks:
        for at in (block.at - 40, block.at, block.end - 1):
            recorded.write_bytes(data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :])
            with Recording(recorded) as recording:
                left = [frame for frame in whole if not block.first_seq <= frame.seq <= block.last_seq]
                assert list(recording.frames()) == left
                (hole,) = recording.holes
                assert (hole.before.last_seq if hole.before else 0) == block.first_seq - 1
                assert (hole.after.first_seq if hole.after else 31) == block.last_seq + 1
                assert recording.contents is not None


def test_a_file_cut_off_anywhere_gives_its_whole_blocks_and_says_so(recorded) -> None:
    whole, data = read(recorded), recorded.read_bytes()
    with Recording(recorded) as recording:
        blocks, first = recording.blocks, recording.blocks[0].at
    for size in range(first, len(data) - 1, 37):
        recorded.write_bytes(data[:size])
        with Recording(recorded) as recording:
            last = max((block.last_seq for block in blocks if block.end <= size), default=0)
            assert list(recording.frames()) == whole[:last]
            assert recording.contents is None


def test_any_bytes_are_read_or_refused_in_words(recorded) -> None:
    data = recorded.read_bytes()
    for at in range(0, len(data), 3):
        recorded.write_bytes(data[:at] + os.urandom(8) + data[at + 8 :])
        try:
            assert len(read(recorded)) >= 24
        except JournalError as error:
            assert at < 200, error


@pytest.mark.parametrize("content", [b"", b"HPM", b"time_utc,power_in_w\n", b"HPMJRNL\n" + bytes(100)])
def test_another_file_is_no_recording(path, content: bytes) -> None:
    path.write_bytes(content)
    assert not is_recording(path)
    with pytest.raises(JournalError, match="is no recording; `heatpump record` makes one"):
        Recording(path)


def test_a_newer_format_is_refused_with_what_to_do(recorded) -> None:
    data = recorded.read_bytes()
    recorded.write_bytes(data[:8] + struct.pack("<H", 2) + data[10:])
    with pytest.raises(JournalError, match="has format 2, this version reads 1; run a newer version"):
        Recording(recorded)


def test_without_its_head_nothing_is_used(recorded) -> None:
    data = recorded.read_bytes()
    recorded.write_bytes(data[:40] + b"?" + data[41:])
    with pytest.raises(JournalError, match="its head is damaged, so nothing of it can be used; take another copy"):
        Recording(recorded)
