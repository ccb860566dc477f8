"""InfluxWriter: one batch is some requests, tried again as a whole until all of them were answered."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import msgspec

from flows.errors import RetryableStoreError, RowRefused, StoreError
from flows.model.alert import Transition
from flows.model.command import CommandOutcome
from flows.model.dead_letter import DeadLetter, LetterChange
from flows.model.episode import EpisodeRow, Retrace
from flows.model.influx_address import InfluxAddress
from flows.model.rollup import ClosedMinutes, Refold, RollupBlock
from flows.model.rows import DeviceRow, Forget, LatestRow, RawRow, Retain, StoreItem
from flows.store import batches
from flows.store.export import Restored
from flows.store.influx import buckets, commands, fences, tally
from flows.store.influx.alerts import write_transitions
from flows.store.influx.catalog import Catalog
from flows.store.influx.checking import check
from flows.store.influx.culprits import LinesRefused, named
from flows.store.influx.devices import write_devices, write_due, write_latest
from flows.store.influx.episodes import retrace, write_episodes
from flows.store.influx.healing import heal
from flows.store.influx.leaving import forget, retain
from flows.store.influx.letters import write_dead_letters, write_letter_changes
from flows.store.influx.outgoing import Outgoing
from flows.store.influx.raw import keys_of, write_raw
from flows.store.influx.restore import restore
from flows.store.influx.rollups import write_blocks, write_closed
from flows.store.influx.server import InfluxServer, Refused
from flows.store.protocol import Fence

STEPS: batches.Steps[Catalog] = {
    Forget: forget,
    DeviceRow: write_devices,
    RawRow: write_raw,
    LatestRow: write_latest,
    ClosedMinutes: write_closed,
    RollupBlock: write_blocks,
    Refold: heal,
    EpisodeRow: write_episodes,
    Retrace: retrace,
    Transition: write_transitions,
    DeadLetter: write_dead_letters,
    LetterChange: write_letter_changes,
    CommandOutcome: commands.write_outcomes,
    Retain: retain,
}


@contextmanager
def _refusing() -> Iterator[None]:
    """Refuse what is no text, or no time. Raises RowRefused."""
    try:
        yield
    except (UnicodeEncodeError, OverflowError) as error:
        raise RowRefused(f"the store cannot hold this row: {error}") from error


class _Half(msgspec.Struct):
    """A batch under way.

    unchanged : raw rows that said nothing new.
    is_made   : all that is left is to send its lines.
    """

    items: list[StoreItem]
    catalog: Catalog
    unchanged: int = 0
    is_made: bool = False


def _is_the_same_again(error: StoreError) -> bool:
    """Tell whether the store will be the one that is known when it answers again: not if it lost a bucket."""
    refused = isinstance(error, Refused) and error.status < 500
    return isinstance(error, RetryableStoreError) and not refused


class InfluxWriter:
    """The flow's side of the server store; see StoreWriter. A batch has no transaction: raw rows are first."""

    def __init__(self, address: InfluxAddress) -> None:
        self._server = InfluxServer(address)
        self._outgoing = Outgoing(self._server)
        self._catalog: Catalog | None = None
        self._failed: set[tuple[str, int, int]] = set()
        self._half: _Half | None = None
        self._fence: Fence | None = None
        self._fences: set[Fence | None] = set()
        try:
            buckets.prepare(self._server)
        except BaseException:
            self._server.close()
            raise

    def apply(self, items: list[StoreItem]) -> int:
        """Write one batch; returns how many raw rows said nothing new.

        Raises RetryableStoreError, RowRefused: some of the batch may be written then, and the same batch (or any
        part of it) may be applied again.
        """
        check(items)
        if self._half is not None and not self._goes_on(self._half, items):
            self._give_up()
        half = self._half
        try:
            if half is None:
                catalog = self._known()
                half = self._half = _Half(items, catalog)
                self._catalog = None  # until all is written: what was not answered may be stored or not
                with _refusing():
                    half.unchanged = batches.write(items, STEPS, catalog, catalog.leaving.forgotten)
                write_due(catalog)
                tally.write(catalog)
                half.is_made = True
            self._outgoing.flush()
        except StoreError as error:
            if half is not None and not (half.is_made and _is_the_same_again(error)):
                self._give_up()
            if isinstance(error, LinesRefused):
                raise named(error, items) from None
            raise
        if self._failed:
            self._failed.difference_update(keys_of(item for item in items if isinstance(item, RawRow)))
        half.catalog.attempted.clear()
        self._catalog, self._half = half.catalog, None
        return half.unchanged

    def restore(self, rows: list[Restored]) -> None:
        """Put rows of another store down as they are; the same may be put down again."""
        self._give_up()
        catalog = self._known()
        self._catalog = None
        try:
            restore(catalog, rows)
            self._outgoing.flush()
        except StoreError:
            self._outgoing.drop()
            raise
        self._catalog = catalog

    def commit_fence(self, fence: Fence) -> None:
        """Write the fence; what was applied before it is durable since InfluxDB answered.

        Raises StoreError where the store has a fence that is not ours: two flows write here, or it was put back.
        """
        if self._fence is not None:
            fences.refuse_another(self._server, self._fences)
        self._fences = {self._fence, fence}  # a write whose answer did not come may have been done or not
        fences.write(self._server, fence)
        self._fence = fence

    def fence(self) -> Fence | None:
        """Return the last durable fence, None of a new store."""
        return fences.read(self._server)

    def close(self) -> None:
        """Let connections go; safe to call twice."""
        self._outgoing.close()
        self._server.close()

    def _goes_on(self, half: "_Half", items: list[StoreItem]) -> bool:
        """Tell whether this batch is the one that was not sent whole, and the store the one it was made for."""
        same = half.is_made and half.items is items and self._fence is not None
        return same and fences.read(self._server) == self._fence

    def _give_up(self) -> None:
        """Know nothing by heart any more of what the batch under way has changed."""
        half, self._half = self._half, None
        self._outgoing.drop()
        if half is not None:
            self._failed.update(chain.from_iterable(map(keys_of, half.catalog.attempted)))

    def _known(self) -> Catalog:
        return self._catalog or Catalog(self._server, self._outgoing, self._failed)
