"""One device as it is stored: a JSON text, of which the newest values are written anew most often."""

import msgspec

from flows.errors import RowRefused
from flows.model.device import DeviceMetadata
from flows.model.reading import Value
from flows.store.influx.names import STATE_AT, quoted, tag_of


class Said(msgspec.Struct, array_like=True):
    """What a device says of itself, with the order of what said so; see DeviceRow."""

    online: tuple[int, bool] | None = None
    last_seen: tuple[int, int] | None = None
    attributes: dict[str, tuple[int, str]] = {}


class History(msgspec.Struct, frozen=True, array_like=True):
    """A device's metadata history, oldest first; see DeviceRow."""

    order: int
    metadata: list[DeviceMetadata]


class Latest(msgspec.Struct, frozen=True, array_like=True):
    """A device's newest values; see LatestRow."""

    order: int
    values: dict[str, tuple[int, Value]]


class Head(msgspec.Struct, frozen=True):
    """What is known of a device but its id and its newest values."""

    said: Said = msgspec.field(default_factory=Said)
    metadata: History | None = None


class Body(Head, frozen=True):
    """All that is known of a device but its id."""

    latest: Latest | None = None


_encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Body).decode
decode_head = msgspec.json.Decoder(Head).decode
"""Newest values are passed over: they take most of the time."""


class Device:
    """One device as the writer knows it, most of its line ready. told: it has a point, or will with this batch."""

    def __init__(self, device_id: str, body: Body, told: bool = False) -> None:
        self._series = f"device,device_id={tag_of(device_id)}"
        self.said, self.history, self.told = body.said, body.metadata, told
        self.latest_order, self._newest = 0, b"null"
        if body.latest is not None:
            self.set_latest(body.latest.order, body.latest.values)
        self.changed()

    def changed(self) -> None:
        """Say anew what comes before the newest values."""
        said = _encode({"said": self.said, "metadata": self.history}).decode()
        self._before = f"{self._series} body={quoted(said)[:-2]},".encode() + b'\\"latest\\":'

    def set_latest(self, order: int, values: dict[str, tuple[int, Value]]) -> None:
        """Take newest values; the names of quantities hold no backslash.

        Raises RowRefused: a value is no finite number, which JSON does not have.
        """
        newest = _encode((order, values))
        if b"null" in newest:
            raise RowRefused("a newest value is not finite")
        self.latest_order, self._newest = order, newest.replace(b'"', b'\\"')

    def take_latest(self, other: "Device") -> None:
        """Take newest values of what was known before."""
        self.latest_order, self._newest = other.latest_order, other._newest

    def line(self) -> bytes:
        """Write its point."""
        return b'%b%b}" %d' % (self._before, self._newest, STATE_AT)


def order_of(part: tuple[int, object] | None) -> int:
    """Give the order of a part, 0 of one that was never told."""
    return part[0] if part else 0
