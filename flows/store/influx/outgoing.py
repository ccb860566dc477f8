"""Lines on their way to the server, in the order that makes a batch that broke off harmless."""

from collections.abc import Iterable
from itertools import islice

from flows.store.influx.server import InfluxServer, OutsideRetention

LINES_A_REQUEST = 5_000


class Outgoing:
    """What one batch writes.

    Raw rows go first, then minutes, hours, days, then all else: what is computed from other rows never says more
    than these. After a failure the whole batch is tried again; every line is an upsert.
    """

    def __init__(self, server: InfluxServer) -> None:
        self._server = server
        self._lines: dict[tuple[str, str], list[bytes]] = {}

    def add(self, bucket: str, lines: Iterable[bytes], precision: str = "ms") -> None:
        """Collect lines of a bucket, without their line ends; those of one series together are the cheapest."""
        self._lines.setdefault((bucket, precision), []).extend(lines)

    def flush(self) -> None:
        """Send all that was collected: a question asked after this sees it.

        Raises RetryableStoreError, RowRefused.
        """
        address = self._server.address
        for bucket in address.retentions:
            for precision in ("ms", "ns"):
                lines = iter(self._lines.pop((bucket, precision), ()))
                while some := list(islice(lines, LINES_A_REQUEST)):
                    self._send(bucket, b"\n".join(some), precision)

    def _send(self, bucket: str, body: bytes, precision: str) -> None:
        try:
            self._server.write(bucket, body, precision)
        except OutsideRetention:
            # A rollup that old would be let go with the next Retain, an alert is in the meta bucket too; a reading
            # is told (see StoreSink).
            if bucket == self._server.address.bucket and precision == "ms":
                raise
