"""Devices: one point each in the meta bucket, whose fields are written on their own.

state    : what the device says of itself, part by part, each with the order of its cause. JSON
metadata : the whole history, with its order. JSON
latest   : the newest value of each quantity, with its order. JSON
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from flows.model.device import DeviceMetadata
from flows.model.reading import Value
from flows.model.rows import DeviceRow, LatestRow
from flows.store.influx.checking import END_OF_TIME
from flows.store.influx.names import READING, STATE_AT, quoted, tag_of, text_of
from flows.store.influx.server import InfluxServer, moment
from flows.store.protocol import StoredDevice

if TYPE_CHECKING:
    from flows.store.influx.catalog import Catalog

_READ = """
from(bucket: p_bucket)
  |> range(start: p_start, stop: p_end)
  |> filter(fn: (r) => r._measurement == "device")
"""
_ONE = "  |> filter(fn: (r) => r.device_id == p_device)\n"
_FIELD = "  |> filter(fn: (r) => r._field == p_field)\n"
_KEPT = '  |> keep(columns: ["device_id", "_field", "_value"])\n'
_WITH_READINGS = """
import "influxdata/influxdb/schema"
schema.tagValues(
    bucket: p_bucket, tag: "device_id", predicate: (r) => r._measurement == p_measurement,
    start: p_start, stop: p_end
)
"""
_HAS_READINGS = """
from(bucket: p_bucket)
  |> range(start: p_start, stop: p_end)
  |> filter(fn: (r) => r._measurement == p_measurement and r.device_id == p_device)
  |> first()
  |> group()
  |> limit(n: 1)
  |> keep(columns: ["_time"])
"""


class State(msgspec.Struct):
    """What a device says of itself, with the order of what said so; see DeviceRow."""

    online: tuple[int, bool] | None = None
    last_seen: tuple[int, int] | None = None
    attributes: dict[str, tuple[int, str]] = {}


class History(msgspec.Struct, frozen=True):
    """A device's metadata history, oldest first; see DeviceRow."""

    order: int
    metadata: list[DeviceMetadata]


class Latest(msgspec.Struct, frozen=True):
    """A device's newest values; see LatestRow."""

    order: int
    values: dict[str, tuple[int, Value]]


class Ordered(msgspec.Struct, frozen=True):
    """The order of any of the above, all else left unread."""

    order: int


_encode = msgspec.json.Encoder().encode
_state, _history = msgspec.json.Decoder(State), msgspec.json.Decoder(History)
_latest, _ordered = msgspec.json.Decoder(Latest), msgspec.json.Decoder(Ordered)


class Devices:
    """What the writer knows of devices.

    states    : of every device that there is, empty of one that is known by its rows alone.
    histories : of those that have metadata.
    latest    : orders of their newest values.
    """

    def __init__(self) -> None:
        self.states: dict[str, State] = {}
        self.histories: dict[str, History] = {}
        self.latest: dict[str, int] = {}

    def known(self, device_id: str) -> bool:
        """Tell whether anything is stored of a device."""
        return device_id in self.states

    def history(self, device_id: str) -> list[DeviceMetadata]:
        """Give its metadata history, oldest first."""
        found = self.histories.get(device_id)
        return found.metadata if found else []


def load(server: InfluxServer) -> Devices:
    """Read what the writer knows of devices."""
    found = Devices()
    found.states = {device_id: State() for device_id in _with_readings(server)}
    for device_id, field, body in _read(server):
        found.states.setdefault(device_id, State())
        if field == "state":
            found.states[device_id] = _state.decode(body)
        elif field == "metadata":
            found.histories[device_id] = _history.decode(body)
        else:
            found.latest[device_id] = _ordered.decode(body).order
    return found


def write_devices(catalog: "Catalog", rows: list[DeviceRow]) -> None:
    """Write what changed of devices; each part has an order of its own."""
    known = catalog.devices
    changed: dict[str, State] = {}
    histories: dict[str, History] = {}
    for row in rows:
        device_id, order = row.device_id, row.order
        state = changed[device_id] = known.states.setdefault(device_id, State())
        if row.online is not None and order >= _order_of(state.online):
            state.online = (order, row.online)
        if row.last_seen is not None and order >= _order_of(state.last_seen):
            state.last_seen = (order, row.last_seen)
        for name, value in row.attributes.items():
            if order >= _order_of(state.attributes.get(name)):
                state.attributes[name] = (order, value)
        before = known.histories.get(device_id)
        if row.metadata is not None and (before is None or order >= before.order):
            histories[device_id] = known.histories[device_id] = History(order, row.metadata)
    lines = [_line(device_id, "state", state) for device_id, state in changed.items()]
    lines += [_line(device_id, "metadata", history) for device_id, history in histories.items()]
    catalog.outgoing.add(catalog.server.address.meta, lines)


def write_latest(catalog: "Catalog", rows: list[LatestRow]) -> None:
    """Replace the newest values of devices."""
    orders = catalog.devices.latest
    newest: dict[str, LatestRow] = {}
    for row in rows:
        if row.order >= orders.get(row.device_id, 0):
            orders[row.device_id] = row.order
            newest[row.device_id] = row
    meet(catalog, newest)
    lines = [_line(device_id, "latest", Latest(row.order, row.values)) for device_id, row in newest.items()]
    catalog.outgoing.add(catalog.server.address.meta, lines)


def meet(catalog: "Catalog", device_ids: Iterable[str]) -> None:
    """See to it that devices are known and listed, whatever is stored of them."""
    states = catalog.devices.states
    new = [device_id for device_id in device_ids if device_id not in states]
    for device_id in new:
        states[device_id] = State()
    if new:
        lines = [_line(device_id, "state", states[device_id]) for device_id in new]
        catalog.outgoing.add(catalog.server.address.meta, lines)


def select(server: InfluxServer, device_id: str | None = None) -> list[StoredDevice]:
    """Read one device (an empty list if unknown), or all by id; one that only has readings is one too."""
    found: dict[str, dict[str, str]] = {}
    for known, field, body in _read(server, device_id):
        found.setdefault(known, {})[field] = body
    if device_id is None:
        for known in _with_readings(server):
            found.setdefault(known, {})
    elif not found and _has_readings(server, device_id):
        found[device_id] = {}
    return [_device(known, found[known]) for known in sorted(found)]


def history(server: InfluxServer, device_id: str) -> list[DeviceMetadata]:
    """Read a device's metadata history, oldest first."""
    for _, _, body in _read(server, device_id, "metadata"):
        return _history.decode(body).metadata
    return []


def _line(device_id: str, field: str, value: State | History | Latest) -> bytes:
    body = quoted(_encode(value).decode())
    return f"{_series(device_id)} {field}={body} {STATE_AT}".encode()


@lru_cache(maxsize=50_000)
def _series(device_id: str) -> str:
    return f"device,device_id={tag_of(device_id)}"


def _order_of(part: tuple[int, object] | None) -> int:
    return part[0] if part else 0


def _device(device_id: str, bodies: dict[str, str]) -> StoredDevice:
    state = _state.decode(bodies["state"]) if "state" in bodies else State()
    return StoredDevice(
        device_id,
        state.online[1] if state.online else None,
        state.last_seen[1] if state.last_seen else 0,
        {name: value for name, (_, value) in sorted(state.attributes.items())},
        _latest.decode(bodies["latest"]).values if "latest" in bodies else {},
        _history.decode(bodies["metadata"]).metadata if "metadata" in bodies else [],
    )


def _read(
    server: InfluxServer, device_id: str | None = None, field: str | None = None
) -> Iterator[tuple[str, str, str]]:
    """Read devices' fields: (device, field, JSON)."""
    flux, bound = _READ, {"bucket": server.address.meta}
    if device_id is not None:
        flux, bound["device"] = flux + _ONE, tag_of(device_id)
    if field is not None:
        flux, bound["field"] = flux + _FIELD, field
    for block in server.ask(flux + _KEPT, **bound, start=moment(STATE_AT), end=moment(STATE_AT + 1)):
        fields, bodies = block.column("_field"), block.column("_value")
        yield from zip(map(text_of, block.column("device_id")), fields, bodies, strict=True)


def _with_readings(server: InfluxServer) -> Iterator[str]:
    for block in server.ask(_WITH_READINGS, **_readings(server)):
        yield from map(text_of, block.column("_value"))


def _has_readings(server: InfluxServer, device_id: str) -> bool:
    return any(server.ask(_HAS_READINGS, **_readings(server), device=tag_of(device_id)))


def _readings(server: InfluxServer) -> dict[str, object]:
    span = {"start": moment(0), "end": moment(END_OF_TIME)}
    return {"bucket": server.address.bucket, "measurement": READING, **span}
