"""The journal in good health: what is committed is read, bounded, trimmed and numbered as promised."""

import os
import threading

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.errors import JournalError, JournalFull
from flows.journal.reader import JournalReader, describe
from flows.journal.retention import frame_at, trim
from flows.journal.topics import Topics
from flows.model.frame import FrameKind
from flows.model.message import Message
from flows.sources.journal import JournalPartition
from flows.telemetry.meter import Progress
from tests.effort import examples
from tests.journal.small import MESSAGE, open_small, read_all, segments, seqs, tear, write


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


def test_what_was_imported_is_told_from_what_was_sent(folder):
    journal = open_small(folder)
    journal.append(MESSAGE, 5, topic="heatpump/site1/data", payload=b"{}")
    journal.commit()
    sent = journal.written
    assert sent > 0 and journal.imported == 0
    journal.append(FrameKind.HISTORY, 5, topic="heatpump/site1/history", payload=b"[]")
    journal.commit()
    assert journal.written - journal.imported == sent and journal.imported > 0


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


@pytest.mark.slow
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


def test_numbers_go_on_above_one_that_frames_elsewhere_may_have_and_what_lies_between_is_no_damage(folder):
    journal = open_small(folder)
    write(journal, 10)
    journal.close()
    open_small(folder, above=1_000).close()
    assert describe(folder).last_seq == 1_000
    again = open_small(folder)
    assert write(again, 2) == 1_002
    again.close()
    open_small(folder, above=500)
    for after in (0, 10, 500, 1_000):
        frames, damage = read_all(folder, after)
        assert seqs(frames) == [seq for seq in (*range(1, 11), 1_001, 1_002) if seq > after]
        assert (damage.regions, damage.size, damage.frames) == (0, 0, 0)
    assert describe(folder).last_seq == 1_002


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
