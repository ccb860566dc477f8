"""Recordings that are played one after the other: what they hold together, and in which order they may come."""

from pathlib import Path

import pytest

from flows.errors import ConfigError
from flows.journal import recording as format
from flows.journal.recording import Head, Recording, write_recording
from flows.model.frame import Frame, FrameKind, Start, start_payload
from flows.sources.played_journal import PlayedJournal

T = 1_770_000_000_000


@pytest.fixture
def recorded(tmp_path: Path):
    def write(name: str, first: int, last: int, start: int = 0) -> Path:
        """Record messages, a second apart, and before them the start that they ran under."""
        frames = [Frame(1, FrameKind.START, T, payload=start_payload(Start(0, 0)))]
        for seq in range(max(first, 2), last + 1):
            frames.append(Frame(seq, FrameKind.MESSAGE, T + seq * 1000, "heatpump/a/data", b"[{},{}]", 1))
        head = Head("a" * 32, start, T + last * 1000 + 1, (), "1")
        write_recording(tmp_path / name, head, frames, lambda _: None)
        return tmp_path / name

    return write


def what(*paths: Path) -> tuple[str, int]:
    played = PlayedJournal(list(paths))
    played.close()
    return played.what, played.messages_count


def test_what_several_recordings_hold_is_counted_once(recorded) -> None:
    one, two = recorded("one", 1, 20), recorded("two", 11, 30, T + 11_000)
    assert what(one) == what(one, one) == ("20 frames with 38 readings", 19)
    assert what(one, two) == ("30 frames with 58 readings", 29)


def test_recordings_that_begin_with_the_same_frame_may_follow_each_other_and_an_older_one_may_not(
    recorded,
) -> None:
    day, whole, later = recorded("day", 1, 20, T), recorded("whole", 1, 30), recorded("later", 5, 30, T + 5000)
    assert what(day, whole) == what(whole) == ("30 frames with 58 readings", 29)
    with pytest.raises(ConfigError, match=r"day' begins before .*later: name the older one first"):
        PlayedJournal([later, day])


def test_a_hole_is_told_in_a_sentence(recorded, monkeypatch) -> None:
    monkeypatch.setattr(format, "BLOCK_BYTES", 300)
    path = recorded("a.hpr", 1, 30)
    with Recording(path) as recording:
        before, block, after = recording.blocks[:3]
    data = bytearray(path.read_bytes())
    data[block.at] ^= 1
    path.write_bytes(data)
    played = PlayedJournal([path])
    played.close()
    (note,) = played.notes
    assert note.startswith(
        f"{path} is damaged: frames are missing after frame {before.last_seq}, which arrived 2026-"
    )
    assert f"Z, until frame {after.first_seq}, 2026-" in note
    assert played.what == f"{30 - block.frames} frames with {58 - 2 * block.frames} readings"
