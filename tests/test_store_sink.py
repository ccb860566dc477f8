"""The store sink on a real store: what can never be stored is kept all the same, and holds nothing else up."""

import sqlite3
from contextlib import closing
from functools import partial

import msgspec
import pytest

from flows.build import Piece
from flows.errors import StoreError
from flows.model.command import Command
from flows.model.dead_letter import DeadLetter, Retry, taken_up
from flows.model.reading import FIRST_ROW, ORDER_STEP
from flows.model.rows import RawRow
from flows.sinks.store import StorePartition
from flows.store import open_reader, open_writer
from flows.telemetry.meter import Meter
from tests.flows import wait_for

NOW = 1_770_000_000_000


@pytest.fixture
def meter():
    meter = Meter()
    meter.progress.arrived = NOW
    return meter


@pytest.fixture
def new_sink(tmp_path, meter):
    """Opens the sink; behind: with a thread that writes."""
    opened = []

    def make(behind):
        ports, refused = ["a.rows", "b.dead"], tmp_path / "refused.jsonl"
        writer = partial(open_writer, tmp_path / "store.sqlite")
        opened.append(StorePartition(writer, ports, "id", 0, meter, refused, behind))
        return opened[-1]

    yield make
    for sink in opened:
        sink.close()


@pytest.fixture(params=[False, True], ids=["at once", "behind"])
def sink(request, new_sink):
    return new_sink(request.param)


def row(order, at):
    return RawRow.of("site1", at, order, NOW, "device", {"power": float(order)})


def test_a_batch_is_written_when_the_piece_of_every_port_is_there(sink, tmp_path):
    sink.write_batch([Piece(5, "a.rows", [row(1, NOW)])])
    with closing(open_reader(tmp_path / "store.sqlite")) as reader:
        assert reader.stats().total_readings == 0
        sink.write_batch([Piece(5, "b.dead", [])])
        sink.snapshot()
        assert reader.stats().total_readings == 1
    with closing(open_writer(tmp_path / "store.sqlite")) as writer:
        fence = writer.fence()
    assert (fence.journal_id, fence.seq) == ("id", 5)


def test_a_row_the_store_refuses_becomes_a_dead_letter_and_the_others_are_stored(sink, tmp_path):
    rows = [row(n, NOW + n) for n in range(1, 10)]
    rows[4] = row(5, -1)
    sink.write_batch([Piece(1, "a.rows", rows), Piece(1, "b.dead", [])])
    sink.snapshot()
    with closing(open_reader(tmp_path / "store.sqlite")) as reader:
        assert reader.stats().total_readings == 8
        (letter,) = reader.dead_letters(None, None, None, 10)
    assert (letter.reason, letter.device_id, letter.arrived) == ("store_refused", "site1", NOW)
    assert msgspec.json.decode(letter.body)["values"] == {"power": 5.0}


def test_a_dead_letter_the_store_refuses_goes_to_a_file(sink, tmp_path):
    letter = DeadLetter(2**70, "site1", "t", NOW, "empty", "nothing in it", b"{}", 2)
    sink.write_batch([Piece(1, "a.rows", [row(1, NOW)]), Piece(1, "b.dead", [letter])])
    sink.snapshot()
    (line,) = (tmp_path / "refused.jsonl").read_bytes().splitlines()
    assert msgspec.json.decode(line)["item"]["reason"] == "empty"
    with closing(open_reader(tmp_path / "store.sqlite")) as reader:
        assert reader.stats().total_readings == 1


def test_two_rows_of_one_frame_that_the_store_refuses_are_two_letters(sink, tmp_path):
    first, second = row(7 * ORDER_STEP, -1), row(7 * ORDER_STEP, -2)
    sink.write_batch([Piece(7, "a.rows", [first, row(8 * ORDER_STEP, -3)]), Piece(7, "b.dead", [second])])
    sink.snapshot()
    with closing(open_reader(tmp_path / "store.sqlite")) as reader:
        letters = reader.dead_letters(None, None, None, 10)
        (count,) = reader.dead_letter_counts(None, 0, NOW + 1)
    ids = {letter.id: msgspec.json.decode(letter.body)["at"] for letter in letters}
    at_seven = 7 * ORDER_STEP + FIRST_ROW
    assert ids == {at_seven: -1, at_seven + 1: -2, 8 * ORDER_STEP + FIRST_ROW: -3}
    assert count.count == 3


@pytest.mark.parametrize("at", [NOW, -1])
def test_a_retried_letter_is_closed_only_if_the_store_takes_its_reading(sink, tmp_path, at):
    letter = DeadLetter(ORDER_STEP, "site1", "heatpump/site1/data", NOW, "empty", "why", b"{}", 2)
    sink.write_batch([Piece(1, "a.rows", []), Piece(1, "b.dead", [letter])])
    order = 9 * ORDER_STEP
    command = Command(9, "c9", "ada", NOW, "dead_letter_retry", {"letter_id": ORDER_STEP})
    change = taken_up(Retry(order, ORDER_STEP, 1, command), ORDER_STEP, "stored")
    sink.write_batch(
        [Piece(9, "a.rows", [row(order, at), change, row(10 * ORDER_STEP, NOW + 1)]), Piece(9, "b.dead", [])]
    )
    sink.snapshot()
    with closing(open_reader(tmp_path / "store.sqlite")) as reader:
        (found,) = reader.dead_letters(None, None, None, 10, None)
        outcome, stored = reader.command("c9"), reader.stats().total_readings
    if at == NOW:
        assert (found.state, found.attempts, outcome.outcome, stored) == ("retried", 1, "done", 2)
    else:
        assert (found.state, found.attempts, outcome.outcome, stored) == ("open", 1, "refused", 1)
        assert found.last_reason == "store_refused"
        assert outcome.detail.startswith("store_refused: ")


@pytest.fixture
def locked(tmp_path):
    """Locks the store, as soon as it is there."""
    others = []

    def lock():
        others.append(sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None))
        others[-1].execute("BEGIN EXCLUSIVE")
        return others[-1]

    yield lock
    for other in others:
        other.close()


def pieces(seq):
    return [Piece(seq, "a.rows", [row(seq * ORDER_STEP, NOW + seq)]), Piece(seq, "b.dead", [])]


def test_batches_are_made_while_the_store_is_waited_for_and_all_are_written_in_order(new_sink, locked, meter):
    sink, other = new_sink(behind=True), locked()
    sink.write_batch(pieces(1))
    wait_for(lambda: meter.progress.waiting)
    sink.write_batch(pieces(2))
    assert meter.progress.stored == 0
    other.execute("ROLLBACK")
    for seq in range(3, 9):
        sink.write_batch(pieces(seq))
    sink.snapshot()
    assert (meter.progress.waiting, meter.progress.stored, meter.progress.fenced) == ("", 8, 8)
    assert (meter.store.done, meter.conservation.read()["stored"]) == (8, 8)


def test_a_stop_ends_the_wait_for_the_store_and_nothing_is_fenced(new_sink, locked, meter):
    sink, other = new_sink(behind=True), locked()
    for seq in (1, 2):
        sink.write_batch(pieces(seq))
    wait_for(lambda: meter.progress.waiting)
    meter.progress.stop = True
    for again in (sink.snapshot, partial(sink.write_batch, pieces(3)), sink.snapshot):
        with pytest.raises(StoreError, match="stopped while the store was away"):
            again()
    sink.close()
    other.execute("ROLLBACK")
    with closing(new_sink(behind=False)._writer) as writer:
        assert writer.fence() is None


def test_a_closed_sink_leaves_what_the_store_does_not_take_to_the_journal(new_sink, locked, meter):
    sink, _ = new_sink(behind=True), locked()
    for seq in (1, 2):
        sink.write_batch(pieces(seq))
    wait_for(lambda: meter.progress.waiting)
    sink.close()
    assert meter.progress.stored == 0


def test_what_goes_wrong_behind_is_told_with_the_next_batch_and_nothing_more_is_written(new_sink, meter):
    sink = new_sink(behind=True)
    sink._writer.close()
    sink.write_batch(pieces(1))
    with pytest.raises(StoreError, match="closed"):
        sink.snapshot()
    with pytest.raises(StoreError, match="closed"):
        sink.write_batch(pieces(2))
    assert meter.progress.stored == 0
