"""What the pipeline hands to the store sink. Every row is an upsert that carries its order."""

from collections.abc import Mapping

import msgspec

from flows.model.alert import Transition
from flows.model.cells import cells_of, values_of
from flows.model.command import CommandOutcome
from flows.model.dead_letter import DeadLetter, LetterChange
from flows.model.device import DeviceMetadata
from flows.model.episode import EpisodeRow, Retrace
from flows.model.quantities import Value
from flows.model.reading import Clock
from flows.model.rollup import ClosedMinutes, Compose, Refold, RollupBlock


class RawRow(msgspec.Struct, frozen=True, gc=False):
    """One reading as stored: merged field by field into the row of its device and time.

    cells  : payload and derived quantities, see cells.py.
    summed : those of the payload quantities that are sums over phases; they never replace what was sent.
    """

    device_id: str
    at: int
    order: int
    arrived: int
    clock: Clock
    cells: bytes
    summed: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        device_id: str,
        at: int,
        order: int,
        arrived: int,
        clock: Clock,
        values: Mapping[str, Value],
        summed: tuple[str, ...] = (),
    ) -> "RawRow":
        """Make one of values by quantity."""
        return cls(device_id, at, order, arrived, clock, cells_of(values), summed)

    @property
    def values(self) -> dict[str, Value]:
        """What it says, by quantity."""
        return values_of(self.cells)


class LatestRow(msgspec.Struct, frozen=True):
    """The newest value of every quantity of a device, with its time.

    values : by quantity, (event time [ms], value).
    """

    device_id: str
    order: int
    values: dict[str, tuple[int, Value]]


class DeviceRow(msgspec.Struct, frozen=True):
    """What changed of a device; None leaves what was stored.

    online     : the last `status/online`, or None.
    last_seen  : event-free: arrival of its newest message. [ms since 1970, UTC]
    attributes : by name, those that changed.
    metadata   : the whole history, oldest first.
    """

    device_id: str
    order: int
    online: bool | None = None
    last_seen: int | None = None
    attributes: dict[str, str] = {}
    metadata: list[DeviceMetadata] | None = None


class Forget(msgspec.Struct, frozen=True):
    """Delete everything of a device up to this order."""

    device_id: str
    order: int


class Retain(msgspec.Struct, frozen=True):
    """Delete what retention no longer covers, of one device ("" = dead letters).

    raw_before, minute_before, dead_letter_before : [ms since 1970, UTC]
    """

    device_id: str
    order: int
    raw_before: int
    minute_before: int
    dead_letter_before: int


StoreItem = (
    RawRow
    | ClosedMinutes
    | RollupBlock
    | Refold
    | Compose
    | EpisodeRow
    | Retrace
    | LatestRow
    | DeviceRow
    | Transition
    | DeadLetter
    | LetterChange
    | CommandOutcome
    | Forget
    | Retain
)
