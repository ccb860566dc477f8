"""Lines on their way: no minute is stored before the raw rows that it is made of, whatever fails, and all come."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.errors import RetryableStoreError
from flows.model.influx_address import InfluxAddress
from flows.store.influx.outgoing import FEWEST_LINES, Outgoing
from flows.store.influx.server import InfluxServer
from tests.effort import examples

ADDRESS = InfluxAddress("http://127.0.0.1:1", "a-token")
RAW, MINUTES, META = ADDRESS.bucket, ADDRESS.rollups("1m"), ADDRESS.meta


class Taking(InfluxServer):
    """Keeps lines as they come, but is gone for a request whose turn is in `lost`."""

    def __init__(self, lost: set[int] = frozenset()) -> None:
        super().__init__(ADDRESS)
        self.stored: list[bytes] = []
        self._lost, self._turns, self._lock = lost, 0, threading.Lock()

    def write(self, bucket: str, lines: bytes, precision: str = "ms") -> None:
        with self._lock:
            self._turns += 1
            if self._turns in self._lost:
                raise RetryableStoreError("gone")
            self.stored += lines.split(b"\n")


@contextmanager
def to(server: Taking) -> Iterator[Outgoing]:
    with closing(server), closing(Outgoing(server)) as outgoing:
        yield outgoing


def lines(kind: str, first: int, count: int) -> list[bytes]:
    return [f"{kind} {number}".encode() for number in range(first, first + count)]


def test_minutes_of_raw_rows_that_were_lost_are_held_back_until_these_are_stored():
    server = Taking(lost={1})
    with to(server) as outgoing:
        outgoing.add(RAW, lines("raw", 0, 5))
        outgoing.add(MINUTES, lines("minute", 0, 2))
        with pytest.raises(RetryableStoreError, match="gone"):
            outgoing.flush()
        assert server.stored == []
        outgoing.flush()
        assert server.stored == [*lines("raw", 0, 5), *lines("minute", 0, 2)]


STEPS = st.lists(
    st.tuples(st.sampled_from(["raw", "minute", "state"]), st.integers(1, 3 * FEWEST_LINES)) | st.just("flush"),
    max_size=12,
)


@settings(max_examples=examples(150), deadline=None)
@given(STEPS, st.sets(st.integers(1, 12)))
def test_whatever_is_lost_no_minute_precedes_its_raw_rows_and_in_the_end_all_is_stored(steps, lost):
    buckets, sent = {"raw": RAW, "minute": MINUTES, "state": META}, {"raw": 0, "minute": 0, "state": 0}
    before: dict[bytes, int] = {}
    server = Taking(lost)
    with to(server) as outgoing:
        for step in steps:
            if step == "flush":
                with suppress(RetryableStoreError):
                    outgoing.flush()
            else:
                kind, count = step
                before.update((line, sent["raw"]) for line in lines(kind, sent[kind], count) if kind == "minute")
                outgoing.add(buckets[kind], lines(kind, sent[kind], count))
                sent[kind] += count
        for _ in range(20):
            with suppress(RetryableStoreError):
                outgoing.flush()
                break
    there: set[bytes] = set()
    for line in server.stored:
        assert there >= set(lines("raw", 0, before.get(line, 0)))
        there.add(line)
    assert there == {line for kind, count in sent.items() for line in lines(kind, 0, count)}
