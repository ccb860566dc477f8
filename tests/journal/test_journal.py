import os
import threading
from pathlib import Path
from zlib import crc32

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.errors import JournalError, JournalFull
from flows.journal.reader import JournalReader, describe
from flows.journal.retention import frame_at, trim
from flows.journal.segments import HEADER_BYTES
from flows.journal.topics import Topics
from flows.journal.writer import Journal
from flows.meter import Progress
from flows.model.frame import FrameKind
from flows.model.message import Message
from flows.sources.journal import JournalPartition
from tests.effort import examples

MESSAGE = FrameKind.MESSAGE


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "journal"


_open = []


@pytest.fixture(autouse=True)
def _close_journals():
    yield
    while _open:
        _open.pop().close()


def open_small(folder, **given):
    """Open a journal of short segments; like a killed process, tests need not close it."""
    _open.append(Journal.open(folder, **{"segment_bytes": 300, "min_free_bytes": 1, **given}))
    return _open[-1]


def write(journal, count, each=1, arrived=1_000):
    """Append numbered messages, `each` a commit; their payload is their seq."""
    for number in range(count):
        seq = journal.append(MESSAGE, arrived + number, "heatpump/a/data", b"%d" % (journal.last_seq + 1), qos=1)
        if (number + 1) % each == 0:
            journal.commit()
    journal.commit()
    return seq


def read_all(source, after=0, batch=7):
    with JournalReader(source, after) as reader:
        frames = []
        while more := reader.read(batch):
            frames += more
    return frames, reader.damage


def seqs(frames):
    assert all(frame.payload == b"%d" % frame.seq for frame in frames if frame.topic)
    return [frame.seq for frame in frames]


def segments(folder):
    return sorted(folder.glob("*.seg"))


def test_what_is_committed_is_read_in_order_over_many_segments(folder):
    journal = open_small(folder)
    write(journal, 50, each=3)
    assert len(segments(folder)) > 5
    for source in (journal, folder):
        frames, damage = read_all(source)
        assert seqs(frames) == list(range(1, 51))
        assert (damage.regions, damage.size, damage.frames) == (0, 0, 0)


@pytest.mark.parametrize("after", [0, 1, 6, 7, 8, 49, 50])
def test_reading_begins_after_any_seq(folder, after):
    write(open_small(folder), 50)
    frames, damage = read_all(folder, after)
    assert seqs(frames) == list(range(after + 1, 51))
    assert damage.frames == damage.regions == 0


def test_a_reader_sees_nothing_that_is_not_committed(folder):
    journal = open_small(folder)
    write(journal, 3)
    journal.append(MESSAGE, 5, payload=b"4")
    with JournalReader(journal, 0) as reader:
        assert seqs(reader.read(10)) == [1, 2, 3]
        assert reader.read(10) == []
        journal.commit()
        assert [frame.seq for frame in reader.read(10)] == [4]


def test_a_reader_never_sees_what_is_written_but_not_yet_synced(folder):
    seen = []

    def sync(handle):
        seen.append([frame.seq for frame in reader.read(100)])
        os.fdatasync(handle)

    journal = open_small(folder, sync=sync)
    reader = JournalReader(journal, 0)
    write(journal, 12, each=2)
    assert seen == [[], [1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]
    reader.close()


def test_after_a_torn_tail_too_a_reader_never_sees_what_is_not_synced(folder):
    write(open_small(folder), 5)
    tear(folder, 10)
    seen = []
    journal = open_small(folder, sync=lambda _: seen.extend(reader.read(100)))
    reader = JournalReader(journal, 4)
    journal.append(MESSAGE, 5)
    journal.commit()
    assert seen == []
    assert [frame.seq for frame in reader.read(9)] == [journal.last_seq]
    reader.close()


def tear(folder, size):
    """Cut bytes from the end of the newest segment that has frames."""
    path = [path for path in segments(folder) if path.stat().st_size > HEADER_BYTES][-1]
    os.truncate(path, path.stat().st_size - size)
    return path


def test_a_reader_beside_a_writer_sees_every_frame_once_and_never_passes_the_synced_end(folder):
    journal = open_small(folder, segment_bytes=4_000)
    got, passed, done = [], [], threading.Event()

    def follow():
        with JournalReader(journal, 0) as reader:
            while True:
                finished = done.is_set()
                frames = reader.read(50)
                if frames and frames[-1].seq > journal.synced_seq:
                    passed.append(frames[-1].seq)
                got.extend(frames)
                if finished and not frames:
                    return

    thread = threading.Thread(target=follow)
    thread.start()
    write(journal, 3_000, each=13)
    done.set()
    thread.join(30)
    assert seqs(got) == list(range(1, 3_001))
    assert passed == []
    assert journal.damage.regions == 0


def test_a_new_opening_goes_on_with_the_next_number_and_the_same_id(folder):
    first = open_small(folder)
    write(first, 5)
    first.close()
    second = open_small(folder)
    assert (second.journal_id, second.last_seq, second.synced_seq) == (first.journal_id, 5, 5)
    write(second, 2)
    assert seqs(read_all(folder)[0]) == [1, 2, 3, 4, 5, 6, 7]


def test_an_opening_without_writing_leaves_no_empty_segments_behind(folder):
    write(open_small(folder), 1)
    for _ in range(5):
        open_small(folder).close()
    assert len(segments(folder)) == 2


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_any_truncation_leaves_a_prefix_and_no_number_is_given_twice(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("cut")
    journal = open_small(folder, segment_bytes=10_000)
    write(journal, 8)
    path = segments(folder)[-1]
    os.truncate(path, data.draw(st.integers(0, path.stat().st_size)))
    frames, _ = read_all(folder) if path.stat().st_size > HEADER_BYTES else ([], None)
    assert seqs(frames) == list(range(1, len(frames) + 1))
    if path.stat().st_size < HEADER_BYTES:
        return
    again = open_small(folder, segment_bytes=10_000)
    assert again.journal_id == journal.journal_id
    new = write(again, 1)
    assert new > len(frames)
    assert seqs(read_all(folder)[0]) == [*range(1, len(frames) + 1), new]


def test_a_torn_tail_is_cut_and_its_number_is_not_given_again(folder):
    journal = open_small(folder, segment_bytes=10_000)
    write(journal, 5)
    tear(folder, 3)
    again = open_small(folder)
    assert again.torn > 0
    assert write(again, 1) == 7
    frames, damage = read_all(folder)
    assert seqs(frames) == [1, 2, 3, 4, 7]
    assert damage.frames == damage.regions == 0


def test_a_segment_that_a_crash_left_half_begun_does_no_harm(folder):
    write(open_small(folder), 4)
    (folder / f"{5:020d}.new").write_bytes(b"HPMJ")
    again = open_small(folder)
    assert write(again, 1) == 5
    assert seqs(read_all(folder)[0]) == [1, 2, 3, 4, 5]


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_a_flipped_byte_loses_only_the_frame_it_touches(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("flip")
    journal = open_small(folder, segment_bytes=400)
    write(journal, 30)
    path = data.draw(st.sampled_from(segments(folder)[:-1]))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    frames, damage = read_all(folder)
    missing = set(range(1, 31)) - set(seqs(frames))
    in_header = place < HEADER_BYTES
    assert len(missing) == (0 if in_header else 1)
    assert damage.regions == 1
    assert damage.frames == len(missing)
    assert damage.size > 0


def test_damage_is_told_by_the_journal_that_is_read(folder):
    journal = open_small(folder)
    write(journal, 20)
    path = segments(folder)[1]
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    read_all(journal)
    assert (journal.damage.regions, journal.damage.frames) == (1, 1)


def test_a_lost_segment_is_counted_as_missing_frames(folder):
    write(open_small(folder), 30)
    lost = segments(folder)[2]
    before, after = int(lost.stem), int(segments(folder)[3].stem)
    lost.unlink()
    frames, damage = read_all(folder)
    assert damage.frames == after - before == 30 - len(frames)


def test_a_failing_sync_stops_the_journal_and_leaves_nothing_half_durable(folder):
    journal = open_small(folder)
    write(journal, 3)

    def refuse(_handle):
        raise OSError(5, "Input/output error")

    journal._sync = refuse
    journal.append(MESSAGE, 9, payload=b"4")
    with pytest.raises(JournalError, match="Input/output error"):
        journal.commit()
    assert journal.synced_seq == 3
    with pytest.raises(JournalError, match="restart"):
        journal.commit()
    again = open_small(folder)
    assert again.last_seq == 3
    assert len(segments(folder)) == 2
    assert write(again, 1) == 4
    assert seqs(read_all(folder)[0]) == [1, 2, 3, 4]


def test_small_steps_of_the_clock_are_levelled_and_large_ones_counted(folder):
    journal = open_small(folder)
    for arrived in (100_000, 99_000, 100_500, 30_000, 31_000):
        journal.append(MESSAGE, arrived)
    journal.commit()
    assert [frame.arrived for frame in read_all(journal)[0]] == [100_000, 100_000, 100_500, 30_000, 31_000]
    assert journal.clock_steps == 1


def test_at_its_limit_the_journal_says_so_and_what_to_do(folder):
    journal = open_small(folder, max_bytes=500)
    journal.check_room()
    write(journal, 20)
    journal._room_checked = float("-inf")
    with pytest.raises(JournalFull, match="HEATPUMP_JOURNAL_MAX_MB"):
        journal.check_room()


def test_with_too_little_free_disk_the_journal_says_so_and_what_to_do(folder):
    with pytest.raises(JournalFull, match="HEATPUMP_MIN_FREE_MB"):
        open_small(folder, min_free_bytes=1 << 60).check_room()


def test_only_whole_old_segments_that_nobody_needs_are_trimmed(folder):
    journal = open_small(folder)
    write(journal, 40, arrived=1_000)
    starts = [int(path.stem) for path in segments(folder)]
    assert trim(journal, before=0, keep_after_seq=1_000) == 0
    assert trim(journal, before=10**9, keep_after_seq=starts[1] - 2) == 0
    assert trim(journal, before=10**9, keep_after_seq=starts[1] - 1) == 1
    assert journal.first_seq == starts[1]
    trim(journal, before=1_020, keep_after_seq=1_000)
    first = read_all(folder)[0][0]
    assert 1_000 + 10 < first.arrived <= 1_020
    trim(journal, before=10**9, keep_after_seq=1_000)
    assert [int(path.stem) for path in segments(folder)] == [starts[-1]]
    assert write(journal, 1) == 41


def test_numbers_go_on_after_everything_was_trimmed_and_the_flow_restarted(folder):
    journal = open_small(folder)
    write(journal, 10)
    journal.close()
    again = open_small(folder)
    write(again, 1)
    trim(again, before=10**9, keep_after_seq=11)
    assert len(segments(folder)) == 1
    again.close()
    tear(folder, 1)
    third = open_small(folder)
    assert (third.journal_id, third.last_seq) == (journal.journal_id, 12)
    assert len(segments(folder)) == 1
    assert write(third, 1) == 13


def test_a_description_names_the_ends(folder):
    with pytest.raises(JournalError, match="no journal"):
        describe(folder)
    journal = open_small(folder)
    empty = describe(folder)
    assert (empty.journal_id, empty.first_seq, empty.last_seq) == (journal.journal_id, 1, 0)
    assert empty.first_arrived is empty.last_arrived is None
    write(journal, 20)
    full = describe(folder)
    assert (full.first_seq, full.last_seq, full.first_arrived, full.last_arrived) == (1, 20, 1_000, 1_019)
    journal.close()
    open_small(folder)
    assert describe(folder) == full
    assert frame_at(folder, 5).arrived == 1_004
    assert frame_at(folder, 21) is None


def test_two_journals_in_one_folder_are_refused(folder, tmp_path):
    write(open_small(folder), 1)
    other = tmp_path / "other"
    write(open_small(other), 1)
    segments(other)[0].rename(folder / f"{50:020d}.seg")
    with pytest.raises(JournalError, match="different journals"):
        open_small(folder)


def test_a_format_of_a_newer_version_is_refused_not_skipped(folder: Path):
    journal = open_small(folder)
    write(journal, 1)
    content = bytearray(segments(folder)[0].read_bytes())
    content[8] = 9
    content[44:48] = crc32(content[:44]).to_bytes(4, "little")
    segments(folder)[0].write_bytes(content)
    with pytest.raises(JournalError, match="newer version"):
        open_small(folder)


messages = st.builds(
    Message,
    topic=st.text(max_size=20),
    payload=st.binary(max_size=40),
    qos=st.integers(0, 1),
    retain=st.booleans(),
    dup=st.booleans(),
    packet_id=st.integers(0, 65_535),
    arrived=st.integers(0, 200_000),
    original_bytes=st.sampled_from([0, 300_000]),
)


@given(st.lists(messages, max_size=8))
@settings(max_examples=examples(50), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_messages_appended_together_are_what_each_appended_alone_is(tmp_path_factory, several):
    folder = tmp_path_factory.mktemp("both")
    alone, together = open_small(folder / "alone"), open_small(folder / "together")
    for one in several:
        alone.append(MESSAGE, **msgspec.structs.asdict(one))
    together.append_messages(several)
    alone.commit()
    together.commit()
    assert read_all(folder / "together")[0] == read_all(folder / "alone")[0]
    assert (together.last_seq, together.clock_steps, together.size) == (
        alone.last_seq,
        alone.clock_steps,
        alone.size,
    )


def test_the_memory_for_topics_is_bounded_and_they_are_decoded_all_the_same(monkeypatch):
    monkeypatch.setattr("flows.journal.topics.MOST", 3)
    topics = Topics(bytes.decode)
    for text in ["a", "b", "a", "c", "d", "e", "x" * 300, "a"]:
        assert topics[text.encode()] == text
        assert len(topics) <= 3
        assert all(len(known) < 300 for known in topics)
    assert topics[b"a"] is topics[b"a"]


@pytest.mark.parametrize(
    ("size", "count", "batches"), [(10, 2_500, [1_000, 1_000, 500]), (200_000, 250, [100, 100, 50])]
)
def test_a_batch_is_bounded_by_frames_and_by_bytes(folder, size, count, batches):
    journal = open_small(folder, segment_bytes=100_000_000)
    journal.append_messages([Message("t", bytes(size), 1, False, False, 1, 5)] * count)
    journal.commit()
    part = JournalPartition(lambda after: JournalReader(folder, after), "", 0, 1_000, Progress(), lambda: True, 0)
    given = [part.next_batch()[0][1] for _ in batches]
    part.close()
    assert [len(batch.items) for batch in given] == batches
    assert [frame.seq for batch in given for frame in batch.items] == list(range(1, count + 1))
