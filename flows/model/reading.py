"""What devices say: readings, status and the alerts they raise themselves."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from flows.model.cells import NOTHING, cells_of, values_of
from flows.model.dead_letter import Retry
from flows.model.quantities import Value as Value

Clock = Literal["device", "boot", "arrival"]

ORDER_STEP = 8192
"""Rows are ordered by seq * ORDER_STEP + index."""

MAX_READINGS = 5_000
"""How many readings a message may hold; below FIRST_ROW."""

FIRST_ROW = 7_000
"""Indices of letters in a frame, so that no two share an id: below it, of the frame's readings or, of a tick, of
readings that waited (see `clock`); from it on, of rows that the store refused."""

EARLIEST_MS = 1_577_836_800_000
"""2020-01-01: before it, no device time is Unix time. [ms]"""

FUTURE_MS = 300_000
"""How far ahead of its arrival a reading may be dated. [ms]"""


_HEAD = 12
"""So much of an object tells where one begins: as a rule a brace and the first key."""

elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
"""Takes a JSON array apart. Raises msgspec.DecodeError."""


def finite(value: object) -> float | None:
    """Read a number as a float; None for anything else, NaN, infinity and what no float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


class Array:
    """A message of several readings. What one of them says as JSON is asked for seldom, so it is found then.

    payload : an array of objects, valid JSON without escapes.
    """

    __slots__ = ("_count", "_payload", "_texts")

    def __init__(self, payload: bytes, count: int) -> None:
        self._payload, self._count = payload, count
        self._texts: list[msgspec.Raw] | None = None

    def text(self, place: int) -> bytes:
        """Give the JSON of the reading at a place."""
        if place == self._count - 1 and (last := self._last()):  # the newest, which is shown live
            return last
        if self._texts is None:
            self._texts = elements(self._payload)
        return bytes(self._texts[place])

    def _last(self) -> bytes:
        """Look for the last object from behind, by how the first begins; b"" where that finds none.

        What begins there and is JSON up to the end of the array is the object: of a part of it something would be
        left over, and of a part of a text the quotes would not come out even.
        """
        objects = self._payload.strip()[1:-1].strip()
        last = objects[objects.rfind(objects[:_HEAD]) :]
        try:
            msgspec.json.decode(last)
        except (msgspec.DecodeError, RecursionError):
            return b""
        return last


class Reading(msgspec.Struct, gc=False):
    """What one device measured at one instant, in our units.

    device_id : from the topic.
    order     : journal seq * ORDER_STEP + index in the message; later wins.
    arrived   : when the journal took it. [ms since 1970, UTC]
    cells     : its values, of the types of quantities.py and within its spans, as a row (see cells.py).
    at        : event time, set by `clock`. [ms since 1970, UTC]
    clock     : where `at` came from: device (Unix time), boot (uptime) or arrival.
    timestamp : as sent: Unix ms, uptime ms or None.
    boot_id   : as sent, or None.
    number    : the device's own `seq`, or None.
    version   : firmware, or None.
    levels    : alert levels the device reports, 0 … 2 by name (voltage, compressor_temp, …).
    invalid   : fields the device itself called untrusted.
    retained  : came from the broker's memory, not from the device just now.
    raw       : the reading's JSON as sent, or the array that it is one of: see `text`.
    sent      : instead of cells, while values are as sent, of any type, and nobody has judged them; by quantity.
    retry     : the attempt at a dead letter that it comes from; retained then, since it is no sign of life.
    """

    device_id: str
    order: int
    arrived: int
    cells: bytes = NOTHING
    at: int = 0
    clock: Clock = "device"
    timestamp: float | None = None
    boot_id: str | None = None
    number: int | None = None
    version: str | None = None
    levels: dict[str, int] = {}
    invalid: tuple[str, ...] = ()
    retained: bool = False
    raw: Any = b""
    sent: dict[str, Any] | None = msgspec.field(default=None, name="values")
    retry: Retry | None = None

    @property
    def text(self) -> bytes:
        """The reading's JSON as sent."""
        text: bytes = self.raw.text(self.order % ORDER_STEP) if type(self.raw) is Array else self.raw
        return text

    @property
    def values(self) -> Mapping[str, Value]:
        """What it says, by quantity (see quantities.py, which fixes unit and span); what is missing is absent.

        Made anew each time, so it is set as a whole; a node that looks at many readings takes their cells.
        """
        return MappingProxyType(values_of(self.cells) if self.sent is None else self.sent)

    @values.setter
    def values(self, values: Mapping[str, Value]) -> None:
        self.cells, self.sent = cells_of(values), None


class Status(msgspec.Struct, frozen=True):
    """A device attribute: `status/rssi`, `status/version` …; `online` is True or False.

    value : text as sent (stripped, at most 1 000 characters), or a bool for `online`.
    """

    device_id: str
    order: int
    arrived: int
    name: str
    value: str | bool
    retained: bool = False


class DeviceAlert(msgspec.Struct, frozen=True):
    """An alert that the device itself raised.

    at : the device's own time where plausible, else arrival. [ms since 1970, UTC]
    """

    device_id: str
    order: int
    arrived: int
    at: int
    alert_type: str
    level: Literal["warning", "critical"]
    value: float | None
    message: str
