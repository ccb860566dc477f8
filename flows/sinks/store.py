"""store: one transaction a batch, one fence an epoch. The only writer of the store.

A batch is written when the piece of every wired port is there, or handed to a thread that writes it, together with
those that wait, while the nodes make the next ones. The store away: tried again for ever, while the journal grows.
A row that the store refuses for good becomes a dead letter; a dead letter that it refuses goes to a file.
"""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from flows.build import Piece
from flows.errors import OutsideRetention, RetryableStoreError, RowRefused, StoreError
from flows.model.command import CommandOutcome
from flows.model.dead_letter import KEPT_BYTES, DeadLetter, LetterChange, not_stored
from flows.model.reading import FIRST_ROW, ORDER_STEP
from flows.model.rows import RawRow, StoreItem
from flows.model.times import now_ms
from flows.sinks.behind import Behind
from flows.store.protocol import Fence, StoreWriter
from flows.telemetry.meter import Meter

log = logging.getLogger("heatpump.store")

LONGEST_WAIT_S, LONGEST_ASKED_S = 5.0, 60.0
"""Between two attempts, and where the store itself asks for a pause. [s]"""

MOST_WAITING = 4
"""Batches that wait for the thread that writes: more at once are cheaper for a server, row by row."""


class _Batch(NamedTuple):
    """seq: of its last frame; arrived: of that frame [ms since 1970, UTC]."""

    seq: int
    items: list[StoreItem]
    arrived: int


class StoreSink(FixedPartitionedSink[Piece, None]):
    """Tells Bytewax that there is one store. open_partition: opens it, once Bytewax runs."""

    def __init__(self, open_partition: Callable[[], "StorePartition"]) -> None:
        self._open = open_partition

    def list_parts(self) -> list[str]:
        """There is one store."""
        return ["store"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "StorePartition":
        """Open the store."""
        return self._open()


class StorePartition(StatefulSinkPartition[Piece, None]):
    """Writes rows through a StoreWriter.

    ports            : names of the wired ports, in the order in which a batch's pieces are applied.
    journal_id, base : see Fence.
    refused          : file for what even a dead letter could not keep.
    behind           : batches are written by a thread of their own, at most MOST_WAITING and one behind.
    """

    def __init__(
        self,
        open_writer: Callable[[], StoreWriter],
        ports: list[str],
        journal_id: str,
        base: int,
        meter: Meter,
        refused: Path,
        behind: bool = False,
    ) -> None:
        self._writer = open_writer()
        self._ports, self._refused = ports, refused
        self._journal_id, self._base = journal_id, base
        self._meter, self._progress = meter, meter.progress
        self._pending: dict[int, dict[str, list[StoreItem]]] = {}
        self._fenced = -1
        self._unchanged = self._refused_rows = 0
        self._closing = False
        self._waiting: deque[_Batch] = deque()
        self._behind = Behind(lambda: self._progress.stop, MOST_WAITING) if behind else None

    def write_batch(self, values: list[Piece]) -> None:
        """Collect pieces; write every batch that is whole. Raises what writing an earlier one raised."""
        for piece in values:
            pieces = self._pending.setdefault(piece.seq, {})
            pieces[piece.port] = piece.items
            if len(pieces) == len(self._ports):
                del self._pending[piece.seq]
                items = [item for port in self._ports for item in pieces[port]]
                self._waiting.append(_Batch(piece.seq, items, self._progress.arrived))
                self._do(self._write)

    def snapshot(self) -> None:
        """Fence: what was written up to here is durable before the epoch commits."""
        self._do(self._fence)
        if self._behind:
            self._behind.drain()

    def close(self) -> None:
        """Release the store; what is not written yet stays in the journal."""
        self._closing = True
        if self._behind:
            self._behind.close()
        self._writer.close()

    def _do(self, job: Callable[[], None]) -> None:
        if self._behind:
            self._behind.do(job)
        else:
            job()

    def _fence(self) -> None:
        if self._progress.stored != self._fenced:
            fence = Fence(self._journal_id, self._progress.stored, self._base)
            self._patiently(lambda: self._writer.commit_fence(fence))
            self._fenced = self._progress.fenced = fence.seq

    def _write(self) -> None:
        """Write all batches that wait, as if they were one."""
        batches = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not batches:
            return  # they went with an earlier one
        items = [item for batch in batches for item in batch.items]
        self._unchanged = self._refused_rows = 0
        began = time.perf_counter()
        if items:
            try:
                self._patiently(lambda: self._put(items))
            except RowRefused:
                self._salvage(items, batches[-1].arrived)
        kinds = Counter(map(type, items))
        for kind, count in kinds.items():
            self._meter.stored_rows[kind.__name__] += count
        stored = kinds[RawRow] - self._unchanged - self._refused_rows
        seqs = [batch.seq for batch in batches]
        self._meter.conservation.written(seqs, stored, duplicate=self._unchanged, dead=self._refused_rows)
        self._progress.stored = seqs[-1]
        self._meter.store.done += len(items)
        took = time.perf_counter() - began
        self._meter.store.batches.append(took)
        self._meter.store.seconds += took
        self._meter.store.writes += 1
        if self._meter.taps.following:
            for batch in batches:
                self._meter.taps.stored(batch.seq, batch.items)

    def _put(self, items: list[StoreItem]) -> None:
        self._unchanged += self._writer.apply(items)

    def _salvage(self, items: list[StoreItem], arrived: int) -> None:
        """Write what the store takes, then letters of what it does not, and what became of letters tried again."""
        changes = {item.order: item for item in items if isinstance(item, LetterChange)}
        others = [item for item in items if not isinstance(item, LetterChange)]
        rows = []
        for item, why in self._apply(sorted(others, key=_order)):
            change = changes.get(item.order) if isinstance(item, RawRow) else None
            if change is None:
                rows.append((item, why))
            else:
                changes[change.order] = not_stored(change, why.reason, str(why))
        for item, why in self._apply([*changes.values(), *self._letters(rows, arrived)]):
            self._keep_in_file(item, why)

    def _apply(self, items: list[StoreItem]) -> Iterator[tuple[StoreItem, RowRefused]]:
        """Write items but those that the store refuses for good, and yield these, and why.

        Where it cannot tell which they are, what is refused is halved.
        """
        try:
            if items:
                self._patiently(lambda: self._put(items))
        except RowRefused as error:
            culprits = error.culprits or ([(items[0], error)] if len(items) == 1 else [])
            old = [why for _, why in culprits if isinstance(why, OutsideRetention)]
            if old:
                # As a rule many at once: an outage, or a rebuild, reaches farther back than raw rows are kept.
                text = "dead letters, older than the store keeps readings: %s; the last: %s"
                log.warning(text, len(old), old[-1])
            for item, why in culprits:
                if not isinstance(why, OutsideRetention):
                    log.error("the store refuses a %s: %s", type(item).__name__, why)
                self._refused_rows += isinstance(item, RawRow)
                yield item, why
            if culprits:
                refused = {id(item) for item, _ in culprits}
                yield from self._apply([item for item in items if id(item) not in refused])
                return
            half = len(items) // 2
            yield from self._apply(items[:half])
            yield from self._apply(items[half:])

    def _letters(self, refused: list[tuple[StoreItem, RowRefused]], arrived: int) -> list[StoreItem]:
        """Make letters of refused rows. The rows of a frame always come together, so their number makes the id.

        arrived : of the newest frame, for rows that do not say it. [ms since 1970, UTC]
        """
        letters: list[StoreItem] = []
        taken: Counter[int] = Counter()
        for item, why in refused:
            seq = _order(item) // ORDER_STEP
            order = seq * ORDER_STEP + FIRST_ROW + taken[seq]
            taken[seq] += 1
            if isinstance(item, DeadLetter | LetterChange) or order >= (seq + 1) * ORDER_STEP:
                self._keep_in_file(item, why)
                continue
            data = msgspec.json.encode(_readable(item))
            device_id = getattr(item, "device_id", "")
            came = getattr(item, "arrived", arrived)
            kept = data[:KEPT_BYTES]
            letters.append(DeadLetter(order, device_id, "", came, why.reason, str(why), kept, len(data)))
        return letters

    def _keep_in_file(self, item: StoreItem, why: RowRefused) -> None:
        with self._refused.open("ab") as file:
            file.write(msgspec.json.encode({"why": str(why), "item": _readable(item)}) + b"\n")

    def _patiently(self, write: Callable[[], Any]) -> None:
        """Try until the store takes it. Raises StoreError when asked to stop: the journal has it all."""
        wait = 0.05
        while True:
            try:
                write()
            except RetryableStoreError as error:
                if self._progress.waiting == "":
                    log.warning("waiting for the store: %s", error)
                    self._progress.since, self._progress.attempts = now_ms(), 0
                pause = max(wait, min(error.seconds, LONGEST_ASKED_S))
                self._progress.attempts += 1
                self._progress.retries += 1
                self._progress.next_try = now_ms() + round(pause * 1000)
                self._progress.waiting = str(error)
                self._sleep(pause)
                wait = min(wait * 2, LONGEST_WAIT_S)
            else:
                if self._progress.waiting:
                    log.warning("the store is back")
                self._progress.waiting = ""
                return

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._progress.stop or self._closing:
                raise StoreError("stopped while the store was away; the journal keeps what was not stored")
            time.sleep(0.02)


def _readable(item: StoreItem) -> Any:
    """Give what JSON of an item is made of; of a reading its values by name."""
    if not isinstance(item, RawRow):
        return item
    told = msgspec.structs.asdict(item)
    del told["cells"]
    return {**told, "values": item.values}


def _order(item: StoreItem) -> int:
    return item.seq * ORDER_STEP if isinstance(item, CommandOutcome) else item.order
