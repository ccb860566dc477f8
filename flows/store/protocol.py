"""What every store can do: SQLite now, InfluxDB beside it. tests/store/ holds one suite for all of them."""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from flows.model.alert import Transition
from flows.model.command import CommandOutcome
from flows.model.dead_letter import LetterState
from flows.model.device import DeviceMetadata
from flows.model.episode import Episode, EpisodeKind
from flows.model.reading import Clock, Value
from flows.model.rollup import Resolution, RollupRow
from flows.model.rows import StoreItem

if TYPE_CHECKING:
    from flows.store.export import Restored

T = TypeVar("T")
History = list[DeviceMetadata]
"""Oldest valid_from first."""


class Fence(msgspec.Struct, frozen=True):
    """How far the store has taken the journal, durably.

    journal_id : of the journal it was fed from.
    seq        : of the last frame whose effects are all stored.
    base       : added to the journal's seq to give the store's orders; 0 but after adopting another journal.
    """

    journal_id: str
    seq: int
    base: int = 0


class StoredReading(msgspec.Struct, frozen=True):
    """One raw row. at, arrived: [ms since 1970, UTC]."""

    device_id: str
    at: int
    arrived: int
    clock: Clock
    values: dict[str, Value]


class StoredDevice(msgspec.Struct, frozen=True):
    """What is known of a device.

    online    : last `status/online`, None if it never sent one.
    last_seen : arrival of its newest message. [ms since 1970, UTC]
    latest    : by quantity (event time [ms], value).
    metadata  : oldest valid_from first.
    """

    device_id: str
    online: bool | None
    last_seen: int
    attributes: dict[str, str]
    latest: dict[str, tuple[int, Value]]
    metadata: list[DeviceMetadata]


class StoredAlert(msgspec.Struct, frozen=True):
    """An alert as it stands: its last transition.

    cleared_at      : event time of the clear [ms since 1970, UTC]; None while open, and of an event without an
                      end (last.state "noted"), which never was open.
    acknowledged_by : who did so last, "" if nobody.
    """

    last: Transition
    cleared_at: int | None
    acknowledged_by: str


class StoredDeadLetter(msgspec.Struct, frozen=True):
    """A refused message, one of the first KEPT_PER_HOUR of its device, reason and hour; the rest are only counted.

    id          : its order.
    arrived     : [ms since 1970, UTC], as tried_at and resolved_at.
    reason      : of the first refusal, by which it is counted and filtered.
    body        : at most KEPT_BYTES of the original.
    size        : of the original. [bytes]
    attempts    : how often it was retried; tried_at: when last.
    last_reason : with last_detail why it was refused again, "" if it never was.
    resolved_by : who retried it with success or dropped it, "" while it is open.
    """

    id: int
    device_id: str
    topic: str
    arrived: int
    reason: str
    detail: str
    body: bytes
    size: int
    state: LetterState = "open"
    attempts: int = 0
    tried_at: int | None = None
    last_reason: str = ""
    last_detail: str = ""
    resolved_by: str = ""
    resolved_at: int | None = None


class DeadLetterCount(msgspec.Struct, frozen=True):
    """How many messages were refused in one hour. hour: its start. [ms since 1970, UTC]"""

    device_id: str
    reason: str
    hour: int
    count: int


class StoreStats(msgspec.Struct, frozen=True):
    """Totals. oldest, newest: event times. [ms since 1970, UTC], None of an empty store."""

    total_readings: int
    total_alerts: int
    oldest: int | None
    newest: int | None


class Columns(msgspec.Struct, frozen=True):
    """Rows of one device by column; `time` ascending [ms since 1970, UTC], missing values None."""

    time: list[int]
    values: dict[str, list[float | None]]


class StoreWriter(Protocol):
    """The flow's side: one writer, one transaction a batch."""

    def apply(self, items: list[StoreItem]) -> int:
        """Write one batch whole or not at all; rows whose order is not newer than the stored one are ignored.

        Returns the number of raw rows that said nothing new: stored before, or older than what is stored.

        Items are applied in this order whatever theirs: Forget, DeviceRow, RawRow, LatestRow, ClosedMinutes,
        RollupBlock, Refold, Compose, EpisodeRow, Retrace, Transition, DeadLetter, LetterChange, CommandOutcome,
        Retain. What depends on what came before or after it does not depend on how the journal was cut into
        batches: a Forget takes everything of its device up to its order, also what comes later; Retain sees what
        has an order up to its own. Of raw rows the payload is kept: what derives from each alone is computed
        where it is read.
        Raises RetryableStoreError, RowRefused (one of the rows can never be stored), StoreError: nothing was
        written then.
        """

    def restore(self, rows: "list[Restored]") -> None:
        """Put down rows of another store that no item can say (see export.py); raises as `apply` does."""

    def commit_fence(self, fence: Fence) -> None:
        """Make all that was applied, and the fence, durable: after this a power loss takes none of it."""

    def fence(self) -> Fence | None:
        """Return the last durable fence, None of a new store."""

    def close(self) -> None:
        """Release files; safe to call twice."""


class StoreReader(Protocol):
    """Everyone's side: bounded reads that hold nothing up. Times are [ms since 1970, UTC], spans [start, end)."""

    def ping(self) -> None:
        """Raise StoreError if the store cannot be read."""

    def beside(self, question: Callable[[], T]) -> Callable[[], T]:
        """Ask a question while others are asked, where that is faster; what is given is called for the answer.

        question : a read that asks nothing beside itself; it may see the store earlier or later than they do.
        """

    def fence(self) -> Fence | None:
        """Return the last durable fence, None of a new store."""

    def stats(self) -> StoreStats:
        """Count the raw rows and alerts that are there; ≤ 100 ms at any size (counts may be kept, not scanned)."""

    def devices(self, with_latest: bool = True) -> list[StoredDevice]:
        """All devices by id. with_latest: False leaves `latest` empty, which is most of what there is to read."""

    def device(self, device_id: str) -> StoredDevice | None:
        """One device, or None."""

    def readings(
        self,
        device_id: str,
        start: int,
        end: int,
        limit: int,
        newest_first: bool = True,
        history: History | None = None,
    ) -> list[StoredReading]:
        """At most `limit` raw rows of a span. history: the device's metadata, None: they are looked up."""

    def raw_columns(
        self,
        device_id: str,
        start: int,
        end: int,
        fields: list[str],
        limit: int,
        history: History | None = None,
    ) -> Columns:
        """Raw values by column, oldest first, at most `limit` rows. history: as for `readings`."""

    def rollups(self, device_id: str, resolution: Resolution, start: int, end: int, limit: int) -> list[RollupRow]:
        """Rollup rows whose bucket starts in the span, oldest first."""

    def rollup_columns(
        self, device_id: str, resolution: Resolution, start: int, end: int, columns: list[str], limit: int
    ) -> Columns:
        """Named rollup columns (a column no row has is all None), oldest first.

        `count` is one of them, and `heat_source` as its index in HEAT_SOURCES, None without heat.
        """

    def episodes(
        self, device_id: str, kinds: Collection[EpisodeKind], start: int, end: int, limit: int
    ) -> list[Episode]:
        """Episodes of these kinds that reach into the span, newest start first."""

    def alerts(
        self, device_id: str | None, start: int, end: int, limit: int, open_only: bool = False
    ) -> list[StoredAlert]:
        """Alerts with a transition in the span, last changed first; open_only: neither cleared nor noted."""

    def alert(self, alert_id: str) -> StoredAlert | None:
        """One alert, or None."""

    def dead_letters(
        self,
        device_id: str | None,
        reason: str | None,
        before: int | None,
        limit: int,
        state: LetterState | None = "open",
    ) -> list[StoredDeadLetter]:
        """Dead letters with id < before, newest first; state: None for any."""

    def dead_letter(self, letter_id: int) -> StoredDeadLetter | None:
        """One dead letter, or None."""

    def dead_letter_counts(self, device_id: str | None, start: int, end: int) -> list[DeadLetterCount]:
        """Refusals by device, reason and hour, kept bodies or not."""

    def command(self, command_id: str) -> CommandOutcome | None:
        """What became of a command, None while its effect is not stored."""

    def close(self) -> None:
        """Release files; safe to call twice."""
