"""Devices: one point each in the meta bucket, at one time: all that is known of it as one JSON text.

One, not a field a part: a thousand more series cost every question for all devices 20 ms.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from flows.model.device import DeviceMetadata
from flows.model.rows import DeviceRow, LatestRow
from flows.store.influx.checking import END_OF_TIME
from flows.store.influx.device_point import Body, Device, History, Said, decode, order_of
from flows.store.influx.names import READING, STATE_AT, tag_of, text_of
from flows.store.influx.server import InfluxServer, moment
from flows.store.protocol import StoredDevice

if TYPE_CHECKING:
    from flows.store.influx.catalog import Catalog

_READ = """
from(bucket: p_bucket)
  |> range(start: p_start, stop: p_end)
  |> filter(fn: (r) => r._measurement == "device" and r._field == "body")
"""
_ONE = "  |> filter(fn: (r) => r.device_id == p_device)\n"
_KEPT = '  |> keep(columns: ["device_id", "_value"])\n'
_TAGS = """
import "influxdata/influxdb/schema"
schema.tagValues(
    bucket: p_bucket, tag: "device_id", predicate: (r) => r._measurement == p_measurement,
    start: p_start, stop: p_end
)
"""
_FIRST = """
from(bucket: p_bucket)
  |> range(start: p_start, stop: p_end)
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
    told = dict(_read(server))
    devices = Devices({device_id: Device(device_id, body, told=True) for device_id, body in told.items()})
    devices.update((device_id, Device(device_id, Body())) for device_id in _not_told(server, told))
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


def select(server: InfluxServer, device_id: str | None = None) -> list[StoredDevice]:
    """Read one device (an empty list if unknown), or all by id; one that only has readings is one too."""
    found = dict(_read(server, device_id))
    if device_id is None:
        found.update((known, Body()) for known in _not_told(server, found))
    elif not found and _with_readings(server, [device_id]):
        found[device_id] = Body()
    return [_device(known, found[known]) for known in sorted(found)]


def history(server: InfluxServer, device_id: str) -> list[DeviceMetadata]:
    """Read a device's metadata history, oldest first."""
    for _, body in _read(server, device_id):
        return body.metadata.metadata if body.metadata else []
    return []


def with_points(server: InfluxServer) -> list[str]:
    """Name the devices in the server's index of readings: for a while those too that were deleted."""
    return [text_of(tag) for block in server.ask(_TAGS, **_readings(server)) for tag in block.column("_value")]


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


def _device(device_id: str, body: Body) -> StoredDevice:
    said = body.said
    return StoredDevice(
        device_id,
        said.online[1] if said.online else None,
        said.last_seen[1] if said.last_seen else 0,
        {name: value for name, (_, value) in sorted(said.attributes.items())},
        body.latest.values if body.latest else {},
        body.metadata.metadata if body.metadata else [],
    )


def _not_told(server: InfluxServer, told: Collection[str]) -> list[str]:
    """Find the devices that only have readings, which another program may have written."""
    # The server's index names devices for a while that were deleted.
    others = [device_id for device_id in with_points(server) if device_id not in told]
    parts = [others[first : first + MOST_DEVICES] for first in range(0, len(others), MOST_DEVICES)]
    there = set().union(*(_with_readings(server, part) for part in parts))
    return [device_id for device_id in others if device_id in there]


def _read(server: InfluxServer, device_id: str | None = None) -> Iterator[tuple[str, Body]]:
    flux, bound = _READ, {"bucket": server.address.meta}
    if device_id is not None:
        flux, bound["device"] = flux + _ONE, tag_of(device_id)
    for block in server.ask(flux + _KEPT, **bound, start=moment(STATE_AT), end=moment(STATE_AT + 1)):
        yield from zip(map(text_of, block.column("device_id")), map(decode, block.column("_value")), strict=True)


def _with_readings(server: InfluxServer, device_ids: list[str]) -> set[str]:
    """Tell which of these devices have readings."""
    bound = {f"device{place}": tag_of(device_id) for place, device_id in enumerate(device_ids)}
    flux = _FIRST + f"  |> filter(fn: (r) => {' or '.join(f'r.device_id == p_{name}' for name in bound)})\n"
    answer = server.ask(flux + _FIRST_OF_EACH, **_readings(server), **bound)
    return {text_of(tag) for block in answer for tag in block.column("device_id")}


def _readings(server: InfluxServer) -> dict[str, object]:
    span = {"start": moment(0), "end": moment(END_OF_TIME)}
    return {"bucket": server.address.bucket, "measurement": READING, **span}
