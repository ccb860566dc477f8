"""A server that is away for a while: what waited is stored, and what is known of the store is not read anew."""

from contextlib import closing

import msgspec
import pytest

from flows.errors import RetryableStoreError, StoreError
from flows.model.rows import RawRow
from flows.proof.brokers import free_port
from flows.store import open_reader, open_writer
from flows.store.influx.server import InfluxServer
from flows.store.protocol import Fence
from tests.influx import gate
from tests.influx.real import installation

NOW = 1_770_000_000_000


def row(at: int, order: int) -> RawRow:
    return RawRow.of("site1", NOW + at, order, NOW + at, "device", {"power": float(at)})


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """What the server is asked, in Flux."""
    asked: list[str] = []
    stream = InfluxServer.stream
    monkeypatch.setattr(
        InfluxServer, "stream", lambda server, flux, **bound: asked.append(flux) or stream(server, flux, **bound)
    )
    return asked


def test_a_batch_that_waited_is_sent_as_it_was_and_costs_the_question_for_the_fence(asked):
    with installation(None, None) as address:
        port = free_port()
        door = msgspec.structs.replace(address, url=f"http://127.0.0.1:{port}")
        with gate.opened(address.url, port):
            writer = open_writer(door)
            writer.apply([row(0, 1)])
            writer.commit_fence(Fence("journal", 1, 0))
        batch = [row(at, at + 1) for at in range(1, 10)]
        asked.clear()
        for _ in range(3):
            with pytest.raises(RetryableStoreError, match="does not answer"):
                writer.apply(batch)
        with gate.opened(address.url, port), closing(writer):
            assert writer.apply(batch) == 0
            assert all('"fence"' in flux or "p_kind" in flux for flux in asked) and len(asked) <= 3
            assert writer.apply([row(9, 10), row(10, 11)]) == 1
        with closing(open_reader(address)) as reader:
            assert reader.stats().total_readings == 11
            assert len(reader.readings("site1", 0, NOW + 100, 20)) == 11


def test_a_batch_that_waited_gives_way_to_its_parts(asked):
    with installation(None, None) as address:
        port = free_port()
        door = msgspec.structs.replace(address, url=f"http://127.0.0.1:{port}")
        with gate.opened(address.url, port):
            writer = open_writer(door)
            writer.apply([row(0, 1)])
            writer.commit_fence(Fence("journal", 1, 0))
        batch = [row(at, at + 1) for at in range(1, 10)]
        with pytest.raises(RetryableStoreError):
            writer.apply(batch)
        with gate.opened(address.url, port), closing(writer):
            assert writer.apply(batch[:4]) == writer.apply(batch[4:]) == 0
            assert writer.apply(batch) == 9
        with closing(open_reader(address)) as reader:
            assert reader.stats().total_readings == 10


def test_a_store_that_was_put_back_meanwhile_is_read_anew(asked):
    with installation(None, None) as address:
        port = free_port()
        door = msgspec.structs.replace(address, url=f"http://127.0.0.1:{port}")
        with gate.opened(address.url, port):
            writer = open_writer(door)
            writer.apply([row(0, 1), row(1, 2)])
            writer.commit_fence(Fence("journal", 2, 0))
        batch = [row(2, 3)]
        with pytest.raises(RetryableStoreError):
            writer.apply(batch)
        with closing(InfluxServer(address)) as server, closing(open_writer(address)) as other:
            server.delete(address.bucket, 'device_id="site1"', NOW + 1, NOW + 2)
            other.commit_fence(Fence("journal", 1, 0))
        with gate.opened(address.url, port), closing(writer):
            writer.apply(batch)
        with closing(open_reader(address)) as reader:
            assert reader.stats().total_readings == 2


def test_a_flow_ends_once_another_writes_into_its_store():
    with installation(None, None) as address, closing(open_writer(address)) as ours:
        ours.commit_fence(Fence("journal", 1, 0))
        ours.commit_fence(Fence("journal", 2, 0))
        with closing(open_writer(address)) as theirs:
            theirs.commit_fence(Fence("copied", 7, 0))
            with pytest.raises(
                StoreError, match="frame 7 of journal copied is stored, which this flow has not written"
            ):
                ours.commit_fence(Fence("journal", 3, 0))
            theirs.commit_fence(Fence("copied", 8, 0))
        with closing(open_reader(address)) as reader:
            assert reader.fence() == Fence("copied", 8, 0)


def test_a_fence_whose_answer_did_not_come_is_ones_own_whether_it_was_written_or_not(monkeypatch):
    with installation(None, None) as address, closing(open_writer(address)) as writer:
        writer.commit_fence(Fence("journal", 1, 0))
        write = InfluxServer.write
        for is_written, seq in ((True, 2), (False, 4)):

            def without_answer(server, bucket, lines, precision="ms", is_written=is_written):
                if is_written:
                    write(server, bucket, lines, precision)
                raise RetryableStoreError("no answer")

            with monkeypatch.context() as patch:
                patch.setattr(InfluxServer, "write", without_answer)
                with pytest.raises(RetryableStoreError):
                    writer.commit_fence(Fence("journal", seq, 0))
            writer.commit_fence(Fence("journal", seq, 0))
            writer.commit_fence(Fence("journal", seq + 1, 0))
