import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.errors import JournalError
from flows.journal.frame import MARKER, MAX_BODY, Damaged, Incomplete, decode, decode_run, encode, find, seed_of
from flows.journal.topics import Topics
from flows.model.command import Command, CommandRequest, command_of
from flows.model.frame import Frame, FrameKind, Start, Tick, start_of, start_payload, tick_of, tick_payload

SEED = seed_of(b"j" * 16)

frames = st.builds(
    Frame,
    seq=st.integers(0, 2**64 - 1),
    kind=st.sampled_from(FrameKind),
    arrived=st.integers(-(2**62), 2**62),
    topic=st.text(max_size=80),
    payload=st.binary(max_size=300) | st.binary(max_size=20).map(lambda tail: MARKER + tail),
    qos=st.integers(0, 1),
    retain=st.booleans(),
    dup=st.booleans(),
    packet_id=st.integers(0, 65535),
    original_bytes=st.integers(0, 2**32 - 1),
)


@given(frames, st.binary(max_size=20))
def test_any_frame_comes_back_as_it_was_and_says_where_the_next_begins(frame, before):
    data = before + encode(frame, SEED) + b"next"
    assert decode(data, len(before), SEED) == (frame, len(data) - 4)


@given(frames, st.data())
def test_any_flipped_bit_is_noticed(frame, data):
    whole = bytearray(encode(frame, SEED))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises((Damaged, Incomplete)):
        decode(bytes(whole), 0, SEED)


@given(frames, st.data())
def test_any_cut_frame_is_incomplete(frame, data):
    whole = encode(frame, SEED)
    with pytest.raises(Incomplete):
        decode(whole[: data.draw(st.integers(0, len(whole) - 1))], 0, SEED)


@given(st.lists(st.tuples(st.text(max_size=9), st.binary(max_size=30)), max_size=6), st.data())
def test_a_run_is_what_decode_gives_one_by_one_up_to_whatever_is_harmed(contents, data):
    gap = data.draw(st.integers(0, 6))
    made = [Frame(n + (n > gap), FrameKind.MESSAGE, n, *content) for n, content in enumerate(contents, 1)]
    whole = bytearray(b"".join(encode(frame, SEED) for frame in made))
    if whole and data.draw(st.booleans()):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    last = data.draw(st.integers(0, 8))
    expected, at = [], 0
    while len(expected) < last:
        try:
            frame, end = decode(bytes(whole), at, SEED)
        except (Damaged, Incomplete):
            break
        if frame.seq != len(expected) + 1:
            break
        expected, at = [*expected, frame], end
    assert decode_run(bytes(whole), 0, SEED, 1, last, Topics(bytes.decode)) == (expected, at)


def test_a_frame_of_another_journal_is_not_ours():
    foreign = encode(Frame(7, FrameKind.MESSAGE, 1), seed_of(b"k" * 16))
    with pytest.raises(Damaged):
        decode(foreign, 0, SEED)


def test_the_search_passes_over_markers_in_payloads_and_over_older_frames():
    older = encode(Frame(3, FrameKind.MESSAGE, 1), SEED)
    newer = encode(Frame(9, FrameKind.MESSAGE, 1), SEED)
    data = b"x" + MARKER + b"y" + older + MARKER + newer
    assert find(data, 0, 5, SEED) == len(data) - len(newer)
    assert find(data, 0, 9, SEED) is None


def test_a_frame_that_is_too_long_is_refused_with_its_length():
    with pytest.raises(JournalError, match=str(MAX_BODY + 1)):
        encode(Frame(1, FrameKind.MESSAGE, 1, payload=bytes(MAX_BODY + 1)), SEED)


def test_ticks_starts_and_commands_come_back_from_their_frames():
    start = Start(5, 99, version="1.2", graph="abc", offline_ticks=7)
    asked = CommandRequest("c1", "me", "device_put", {"device_id": "site1"})
    assert tick_of(Frame(4, FrameKind.TICK, 98, payload=tick_payload(12))) == Tick(4, 12, 98)
    assert (
        start_of(Frame(5, FrameKind.START, 99, payload=start_payload(Start(0, 0, "1.2", "abc", offline_ticks=7))))
        == start
    )
    assert command_of(Frame(6, FrameKind.COMMAND, 97, payload=msgspec.json.encode(asked))) == Command(
        6, "c1", "me", 97, "device_put", {"device_id": "site1"}
    )


def test_a_start_of_an_older_version_has_defaults_for_what_it_did_not_know():
    assert start_of(Frame(5, FrameKind.START, 99, payload=b'{"version":"0.0","gone":1}')) == Start(5, 99, "0.0")
