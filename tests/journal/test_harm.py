"""The journal after harm: torn, flipped, lost, foreign or refused by the disk."""

import os
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.errors import JournalError
from flows.journal.reader import JournalReader
from flows.journal.segments import HEADER_BYTES
from tests.effort import examples
from tests.journal.small import MESSAGE, open_small, read_all, segments, seqs, tear, write


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
