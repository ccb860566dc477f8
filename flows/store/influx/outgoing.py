"""Lines on their way to the server, in the order that makes a batch that broke off harmless.

Raw rows go first, then minutes, hours, days, then all else: what is computed from other rows never says more than
these. After a failure the whole batch is tried again; every line is an upsert.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import groupby, islice
from operator import attrgetter

import msgspec

from flows.errors import OutsideRetention, RowRefused
from flows.store.influx.culprits import LinesRefused
from flows.store.influx.lanes import Lanes
from flows.store.influx.server import InfluxServer

LINES_A_REQUEST = 5_000

AT_ONCE = 2
"""Requests to one bucket."""

FEWEST_LINES = 500
"""Fewer are not shared out among AT_ONCE requests, each of which the server works off on one core."""


class _Request(msgspec.Struct):
    """Lines on their way to a bucket. answer: None while they wait."""

    bucket: str
    precision: str
    body: bytes
    answer: Future[None] | None = None


class Outgoing:
    """What a batch writes, bucket by bucket."""

    def __init__(self, server: InfluxServer) -> None:
        self._server, self._lanes = server, Lanes(AT_ONCE)
        self._lines: dict[tuple[str, str], list[bytes]] = {}
        self._requests: list[_Request] = []

    def add(self, bucket: str, lines: Iterable[bytes], precision: str = "ms") -> None:
        """Collect lines of a bucket, without their line ends; those of one series together are the cheapest."""
        mine = self._lines.setdefault((bucket, precision), [])
        mine.extend(lines)
        if bucket == self._server.address.bucket and precision == "ms":
            while len(mine) >= LINES_A_REQUEST:  # they are first: no need to wait for the others
                self._requests.append(_Request(bucket, precision, b"\n".join(mine[:LINES_A_REQUEST])))
                self._send(self._requests[-1])
                del mine[:LINES_A_REQUEST]

    def flush(self) -> None:
        """Send all that was collected: a question asked after this sees it.

        Raises RetryableStoreError, RowRefused: what is not stored then is sent again with the next flush.
        """
        for bucket in self._server.address.retentions:
            for precision in ("ms", "ns"):
                lines = self._lines.pop((bucket, precision), [])
                if bucket != self._server.address.meta:
                    lines.sort(key=_series)  # batches written as one bring minute after minute of all devices
                share = max(-(-len(lines) // AT_ONCE), FEWEST_LINES)
                for some in _cut(lines, min(share, LINES_A_REQUEST)):
                    self._requests.append(_Request(bucket, precision, b"\n".join(some)))
        while self._requests:
            place, together = next(groupby(self._requests, key=attrgetter("bucket", "precision")))
            # Of a state the last line counts, and letters are there before their counts: these go one by one.
            self._finish(1 if place[0] == self._server.address.meta else len([*together]))

    def drop(self) -> None:
        """Forget what a batch that failed wrote, when what is on its way was answered."""
        self._lines.clear()
        requests, self._requests = self._requests, []
        for each in requests:
            if each.answer is not None:
                each.answer.exception()

    def close(self) -> None:
        """Let the threads end."""
        self._lanes.close()

    def _send(self, request: _Request) -> None:
        write = partial(self._write, request.bucket, request.body, request.precision)
        request.answer = self._lanes.send(write)

    def _finish(self, count: int) -> None:
        """Wait until the first requests were answered. Raises what of them failed."""
        some = self._requests[:count]
        for each in some:
            if each.answer is None:
                self._send(each)
        errors: list[BaseException] = []
        again: list[_Request] = []
        for each in some:
            error = each.answer.exception() if each.answer is not None else None
            if error is not None:
                each.answer = None
                again.append(each)
                errors.append(error)
        self._requests[:count] = again
        if errors:
            # One that is to be tried again comes first: what is refused for good is so the next time as well.
            for error in errors:
                if not isinstance(error, RowRefused):
                    raise error
            refused = [each for error in errors if isinstance(error, LinesRefused) for each in error.lines.items()]
            raise LinesRefused(dict(refused)) if refused else errors[0]

    def _write(self, bucket: str, body: bytes, precision: str) -> None:
        try:
            self._server.write(bucket, body, precision)
        except RowRefused as error:
            # A rollup that old would be let go with the next Retain, an alert is in the meta bucket too; a reading
            # is told (see StoreSink). The meta bucket keeps all.
            address = self._server.address
            if (bucket, precision) == (address.bucket, "ms"):
                culprits = self._culprits(bucket, body.split(b"\n"), error)
                if culprits:
                    raise LinesRefused(culprits) from None
            elif bucket == address.meta or not isinstance(error, OutsideRetention):
                raise

    def _culprits(self, bucket: str, lines: list[bytes], why: RowRefused) -> dict[bytes, RowRefused]:
        """Send raw rows that were refused together again, halved down to those that are refused alone."""
        if len(lines) == 1:
            return {lines[0]: why}
        found: dict[bytes, RowRefused] = {}
        half = len(lines) // 2
        for some in (lines[:half], lines[half:]):
            try:
                self._server.write(bucket, b"\n".join(some))
            except RowRefused as error:
                found.update(self._culprits(bucket, some, error))
        return found


def _series(line: bytes) -> bytes:
    """Give measurement and tags, up to the first space that an id may have."""
    return line.partition(b" ")[0]


def _cut(lines: Sequence[bytes], most: int) -> Iterator[Sequence[bytes]]:
    rest = iter(lines)
    while some := list(islice(rest, most)):
        yield some
