"""Lines on their way to the server, in the order that makes a batch that broke off harmless.

Raw rows go first, then minutes, hours, days, then all else: what is computed from other rows never says more than
these. After a failure the whole batch is tried again; every line is an upsert.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import islice

from flows.errors import RowRefused
from flows.model.rollup import RESOLUTIONS
from flows.store.influx.lanes import Lanes
from flows.store.influx.server import InfluxServer, OutsideRetention

log = logging.getLogger("heatpump.store")

LINES_A_REQUEST, ROLLUPS_A_REQUEST = 5_000, 1_000
"""About 1.5 MB: a rollup row has several times the fields of a raw row."""

AT_ONCE = 2
"""Requests to one bucket."""

MOST_HELD = 20_000
"""Rollup rows that wait for more of their series."""


class Outgoing:
    """What batches write, bucket by bucket; kept when one of them fails, as far as earlier ones wrote it.

    Under load rollup rows are held, until a fence at the latest: many of a series together cost the server a third
    of what they cost one by one. A start reads again all that came after the fence, so nothing hangs on them.
    """

    def __init__(self, server: InfluxServer) -> None:
        self._server, self._lanes = server, Lanes(AT_ONCE)
        self._lines: dict[tuple[str, str], list[bytes]] = {}
        self._held: dict[str, list[bytes]] = {server.address.rollups(name): [] for name in RESOLUTIONS}
        self._flying: list[Future[None]] = []

    def add(self, bucket: str, lines: Iterable[bytes], precision: str = "ms") -> None:
        """Collect lines of a bucket, without their line ends; those of one series together are the cheapest."""
        if bucket in self._held:
            self._held[bucket].extend(lines)
            return
        mine = self._lines.setdefault((bucket, precision), [])
        mine.extend(lines)
        if bucket == self._server.address.bucket and precision == "ms":
            while len(mine) >= LINES_A_REQUEST:  # they are first: no need to wait for the others
                self._send(bucket, mine[:LINES_A_REQUEST], precision)
                del mine[:LINES_A_REQUEST]

    def send(self, hold: bool = False) -> None:
        """Send what was collected: a question asked after this sees it.

        hold : all but rollup rows, unless there are too many.
        Raises RetryableStoreError, RowRefused.
        """
        address = self._server.address
        keep = hold and sum(map(len, self._held.values())) <= MOST_HELD
        for bucket in address.retentions:
            if bucket in self._held:
                if not keep:
                    self._send_rollups(bucket)
                continue
            for precision in ("ms", "ns"):
                lines = self._lines.pop((bucket, precision), [])
                for some in _cut(lines, LINES_A_REQUEST):
                    self._send(bucket, some, precision)
                    if (
                        bucket == address.meta
                    ):  # the last line of a state counts, and letters are there before counts
                        self._wait()
                self._wait()

    def drop(self) -> None:
        """Forget what the batch that failed wrote; its rollup rows are the same when it is tried again."""
        self._lines.clear()
        flying, self._flying = self._flying, []
        for each in flying:
            each.exception()

    def close(self) -> None:
        """Let the threads end."""
        self._lanes.close()

    def _send(self, bucket: str, lines: Sequence[bytes], precision: str) -> None:
        self._flying.append(self._lanes.send(partial(self._write, bucket, b"\n".join(lines), precision)))

    def _wait(self) -> None:
        """Wait until all that is on its way was answered. Raises what of it failed."""
        flying, self._flying = self._flying, []
        errors = [error for each in flying if (error := each.exception()) is not None]
        if errors:
            # One that is to be tried again comes first: what is refused for good is so the next time as well.
            raise next((error for error in errors if not isinstance(error, RowRefused)), errors[0])

    def _write(self, bucket: str, body: bytes, precision: str) -> None:
        try:
            self._server.write(bucket, body, precision)
        except OutsideRetention:
            # A rollup that old would be let go with the next Retain, an alert is in the meta bucket too; a reading
            # is told (see StoreSink). The meta bucket keeps all.
            address = self._server.address
            if (bucket, precision) == (address.bucket, "ms") or bucket == address.meta:
                raise

    def _send_rollups(self, bucket: str) -> None:
        """Send the rows that are held, those of a series together; in the order of each they were collected in."""
        self._wait()
        lines = self._held[bucket]
        in_order = sorted(range(len(lines)), key=lambda place: (_series(lines[place]), place))
        some = [*_cut([lines[place] for place in in_order], ROLLUPS_A_REQUEST)]
        for part in some:
            self._send(bucket, part, "ms")
        try:
            self._wait()
        except RowRefused:
            for part in some:
                self._salvage(bucket, part)
        self._held[bucket] = []

    def _salvage(self, bucket: str, lines: Sequence[bytes]) -> None:
        """Send rollup rows, halved down to those that InfluxDB refuses, which the log tells: their raw rows stay.

        Only another program's fields of other types make it refuse any.
        """
        try:
            self._write(bucket, b"\n".join(lines), "ms")
        except RowRefused as error:
            if len(lines) == 1:
                log.error("a rollup row is not stored: %s; it is %s", error, lines[0][:200].decode())
                return
            half = len(lines) // 2
            self._salvage(bucket, lines[:half])
            self._salvage(bucket, lines[half:])


def _series(line: bytes) -> bytes:
    return line[: line.index(b" ")]


def _cut(lines: Sequence[bytes], most: int) -> Iterator[Sequence[bytes]]:
    rest = iter(lines)
    while some := list(islice(rest, most)):
        yield some
