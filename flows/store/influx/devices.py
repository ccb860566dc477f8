"""Devices: one point each in the meta bucket, at one time: all that is known of it as one JSON text.

One, not a field a part: a thousand more series cost every question for all devices 20 ms.
"""

from collections.abc import Callable, Collection, Iterable
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar

from flows.model.device import DeviceMetadata
from flows.model.rows import DeviceRow, LatestRow
from flows.store.influx.checking import END_OF_TIME
from flows.store.influx.device_point import (
    Body,
    Device,
    Head,
    History,
    Latest,
    Said,
    decode,
    decode_head,
    order_of,
)
from flows.store.influx.names import READING, STATE_AT, tag_of, text_of
from flows.store.influx.server import InfluxServer, moment
from flows.store.protocol import StoredDevice

if TYPE_CHECKING:
    from flows.store.influx.catalog import Catalog

Told = TypeVar("Told", bound=Head)

_READ = """
from(bucket: p_bucket)
  |> range(start: p_start, stop: p_end)
  |> filter(fn: (r) => r._measurement == "device" and r._field == "body")
"""
_ONE = "  |> filter(fn: (r) => r.device_id == p_device)\n"
_KEPT = '  |> group()\n  |> keep(columns: ["device_id", "_value"])\n'
_SCHEMA = 'import "influxdata/influxdb/schema"'
_TAGS = """
schema.tagValues(
    bucket: p_readings, tag: "device_id", predicate: (r) => r._measurement == p_measurement,
    start: p_first, stop: p_last
)
"""
_FIRST = """
from(bucket: p_readings)
  |> range(start: p_first, stop: p_last)
  |> filter(fn: (r) => r._measurement == p_measurement)
"""
_FIRST_OF_EACH = '  |> first()\n  |> keep(columns: ["device_id"])\n'
MOST_DEVICES = 100
"""Devices that a question about all fields names: of thousands it takes longer than an answer is waited for."""


class Devices(dict[str, Device]):
    """What the writer knows of devices, by id: of every one of which anything is stored.

    due : devices of which this batch has news.
    """

    def __init__(self, devices: dict[str, Device]) -> None:
        super().__init__(devices)
        self.due: dict[str, None] = {}

    def known(self, device_id: str) -> bool:
        """Tell whether anything is stored of a device."""
        return device_id in self

    def history(self, device_id: str) -> list[DeviceMetadata]:
        """Give its metadata history, oldest first."""
        found = self.get(device_id)
        return found.history.metadata if found and found.history else []


def load(server: InfluxServer) -> Devices:
    """Read what is known of devices."""
    told, others = _all(server, decode)
    devices = Devices({device_id: Device(device_id, body, told=True) for device_id, body in told.items()})
    devices.update((device_id, Device(device_id, Body())) for device_id in others)
    return devices


def write_devices(catalog: "Catalog", rows: list[DeviceRow]) -> None:
    """Write what changed of devices; each part has an order of its own."""
    changed: dict[str, Device] = {}
    for row in rows:
        device_id, order = row.device_id, row.order
        device = changed[device_id] = catalog.devices.get(device_id) or Device(device_id, Body())
        catalog.devices[device_id] = device
        said, history = device.said, device.history
        if row.online is not None and order >= order_of(said.online):
            said.online = (order, row.online)
        if row.last_seen is not None and order >= order_of(said.last_seen):
            said.last_seen = (order, row.last_seen)
        for name, value in row.attributes.items():
            if order >= order_of(said.attributes.get(name)):
                said.attributes[name] = (order, value)
        if row.metadata is not None and (history is None or order >= history.order):
            device.history = History(order, row.metadata)
    for device in changed.values():
        device.changed()
    _write(catalog, changed)


def write_latest(catalog: "Catalog", rows: list[LatestRow]) -> None:
    """Replace the newest values of devices."""
    changed: dict[str, None] = {}
    for row in rows:
        device = catalog.devices.get(row.device_id)
        if device is None:
            device = catalog.devices[row.device_id] = Device(row.device_id, Body())
        if row.order >= device.latest_order:
            device.set_latest(row.order, row.values)
            changed[row.device_id] = None
    _write(catalog, changed)


def meet(catalog: "Catalog", device_ids: Collection[str]) -> None:
    """See to it that devices are known and listed, whatever else is stored of them."""
    devices = catalog.devices
    devices.update({name: Device(name, Body()) for name in device_ids if name not in devices})
    _write(catalog, [name for name in device_ids if not devices[name].told])


def forget(catalog: "Catalog", device_id: str, order: int, rows_left: bool) -> None:
    """Forget what is not newer than an order; write what is, once the device's points are deleted.

    rows_left : other points of the device are newer.
    """
    device = catalog.devices.pop(device_id, None)
    said = device.said if device else Said()
    kept = Said(
        said.online if order_of(said.online) > order else None,
        said.last_seen if order_of(said.last_seen) > order else None,
        {name: part for name, part in said.attributes.items() if part[0] > order},
    )
    history = device.history if device and device.history and device.history.order > order else None
    newer = Device(device_id, Body(kept, history))
    if device and device.latest_order > order:
        newer.take_latest(device)
    if rows_left or kept != Said() or history or newer.latest_order:
        catalog.devices[device_id] = newer
        _write(catalog, [device_id])


def select(server: InfluxServer, device_id: str) -> StoredDevice | None:
    """Read one device, None if unknown; one that only has readings is one too."""
    body = _one(server, device_id)
    if body is None and _with_readings(server, [device_id]):
        body = Body()
    return None if body is None else _device(device_id, body, body.latest)


def select_all(server: InfluxServer, with_latest: bool = True) -> list[StoredDevice]:
    """Read all devices by id; see StoreReader."""
    found: list[StoredDevice] = []
    if with_latest:
        bodies, others = _all(server, decode)
        found += (_device(device_id, body, body.latest) for device_id, body in bodies.items())
    else:
        heads, others = _all(server, decode_head)
        found += (_device(device_id, head) for device_id, head in heads.items())
    found += (_device(device_id, Head()) for device_id in others)
    return sorted(found, key=attrgetter("device_id"))


def history(server: InfluxServer, device_id: str) -> list[DeviceMetadata]:
    """Read a device's metadata history, oldest first."""
    body = _one(server, device_id)
    return body.metadata.metadata if body and body.metadata else []


def with_points(server: InfluxServer) -> list[str]:
    """Name the devices in the server's index of readings: for a while those too that were deleted."""
    answer = server.ask(_SCHEMA + _TAGS, **_readings(server))
    return [text_of(tag) for block in answer for tag in block.column("_value")]


def write_due(catalog: "Catalog") -> None:
    """Write the devices of which a batch has news: once each, whatever came of them."""
    devices = catalog.devices
    lines = [devices[device_id].line() for device_id in devices.due if device_id in devices]
    devices.due.clear()
    catalog.outgoing.add(catalog.server.address.meta, lines)


def _write(catalog: "Catalog", device_ids: Iterable[str]) -> None:
    for device_id in device_ids:
        catalog.devices[device_id].told = True
        catalog.devices.due[device_id] = None


def _device(device_id: str, head: Head, latest: Latest | None = None) -> StoredDevice:
    said = head.said
    return StoredDevice(
        device_id,
        said.online[1] if said.online else None,
        said.last_seen[1] if said.last_seen else 0,
        {name: value for name, (_, value) in sorted(said.attributes.items())},
        latest.values if latest else {},
        head.metadata.metadata if head.metadata else [],
    )


def _all(server: InfluxServer, read: Callable[[str], Told]) -> tuple[dict[str, Told], list[str]]:
    """Read what is told of each device, and name those that only have readings: of another program perhaps.

    Both in one question, which the server answers side by side.
    """
    told: dict[str, Told] = {}
    tagged: list[str] = []
    flux = _SCHEMA + _READ + _KEPT + '  |> yield(name: "told")\n' + _TAGS + '  |> yield(name: "tagged")\n'
    for block in server.ask(flux, **_states(server), **_readings(server)):
        if "device_id" in block.names:
            device_ids = map(text_of, block.column("device_id"))
            told.update(zip(device_ids, map(read, block.column("_value")), strict=True))
        else:
            tagged += map(text_of, block.column("_value"))
    # The server's index names devices for a while that were deleted.
    others = [device_id for device_id in tagged if device_id not in told]
    parts = [others[first : first + MOST_DEVICES] for first in range(0, len(others), MOST_DEVICES)]
    there = set().union(*(_with_readings(server, part) for part in parts))
    return told, [device_id for device_id in others if device_id in there]


def _one(server: InfluxServer, device_id: str) -> Body | None:
    """Read what is told of a device."""
    for block in server.ask(_READ + _ONE + _KEPT, **_states(server), device=tag_of(device_id)):
        return decode(block.column("_value")[0])
    return None


def _states(server: InfluxServer) -> dict[str, object]:
    return {"bucket": server.address.meta, "start": moment(STATE_AT), "end": moment(STATE_AT + 1)}


def _with_readings(server: InfluxServer, device_ids: list[str]) -> set[str]:
    """Tell which of these devices have readings."""
    bound = {f"device{place}": tag_of(device_id) for place, device_id in enumerate(device_ids)}
    flux = _FIRST + f"  |> filter(fn: (r) => {' or '.join(f'r.device_id == p_{name}' for name in bound)})\n"
    answer = server.ask(flux + _FIRST_OF_EACH, **_readings(server), **bound)
    return {text_of(tag) for block in answer for tag in block.column("device_id")}


def _readings(server: InfluxServer) -> dict[str, object]:
    span = {"first": moment(0), "last": moment(END_OF_TIME)}
    return {"readings": server.address.bucket, "measurement": READING, **span}
