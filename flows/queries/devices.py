"""devices: which there are, how each is doing, and the bounds in force for it."""

from collections.abc import Callable
from typing import Literal

import msgspec

from flows.errors import DeviceNotFound
from flows.model.device import DeviceMetadata, in_order, metadata_at
from flows.model.quantities import BY_NAME, QUANTITIES
from flows.model.rules import Rule
from flows.model.times import iso
from flows.store.protocol import StoredDevice, StoreReader

Answer = dict[str, object]


class DeviceSummary(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the list of devices; last_seen: arrival of its newest reading, None before the first."""

    device_id: str
    is_online: bool
    last_seen: str | None
    name: str = ""
    location: str = ""
    group: str = ""


class Bound(msgspec.Struct, frozen=True):
    """One side of a quantity's limits, in its unit; None: no such level."""

    alert_type: str
    warning: float | None
    critical: float | None
    unit: str


def is_online(device: StoredDevice, now: int, timeout_ms: int) -> bool:
    """Tell whether its status is not false and a reading arrived within the timeout. now: [ms since 1970]."""
    return device.online is not False and device.last_seen > 0 and now - device.last_seen <= timeout_ms


def known(reader: StoreReader, device_id: str) -> StoredDevice:
    """Get a device. Raises DeviceNotFound."""
    device = reader.device(device_id)
    if device is None:
        raise DeviceNotFound(device_id)
    return device


def all_devices(
    reader: StoreReader, now: int, timeout_ms: int, sees: Callable[[str, str], bool] | None = None
) -> list[DeviceSummary]:
    """List devices by id, as people count: all, or those of which `sees` says yes to id and group."""
    devices = sorted(reader.devices(with_latest=False), key=lambda device: in_order(device.device_id))
    listed = (_summary(device, now, timeout_ms) for device in devices)
    return [each for each in listed if sees is None or sees(each.device_id, each.group)]


def status(reader: StoreReader, device_id: str, rules: list[Rule], now: int, timeout_ms: int) -> Answer:
    """Say how a device is doing: every quantity's newest value, None where it never sent one.

    Raises DeviceNotFound.
    """
    device = known(reader, device_id)
    metadata = metadata_at(device.metadata, now)
    newest = {quantity.name: device.latest.get(quantity.name) for quantity in QUANTITIES}
    return {
        "device_id": device_id,
        "is_online": is_online(device, now, timeout_ms),
        "last_seen": iso(device.last_seen) if device.last_seen else None,
        **{name: held[1] if held else None for name, held in newest.items()},
        "measured_at": {name: iso(held[0]) for name, held in newest.items() if held},
        "attributes": device.attributes,
        "metadata": {**msgspec.to_builtins(metadata), "valid_from": iso(metadata.valid_from)},
        "limits": limits(rules, metadata),
    }


def limits(rules: list[Rule], metadata: DeviceMetadata) -> dict[str, dict[Literal["low", "high"], Bound]]:
    """Give the bounds in force by quantity and side: the shipped rules, overridden by the device's own."""
    found: dict[str, dict[Literal["low", "high"], Bound]] = {}
    for shipped in rules:
        rule = shipped.overridden(metadata.limits.get(shipped.alert_type))
        bound = Bound(rule.alert_type, rule.warning, rule.critical, BY_NAME[rule.quantity].unit)
        found.setdefault(rule.quantity, {})[rule.direction] = bound
    return found


def _summary(device: StoredDevice, now: int, timeout_ms: int) -> DeviceSummary:
    metadata = metadata_at(device.metadata, now)
    last_seen = iso(device.last_seen) if device.last_seen else None
    online = is_online(device, now, timeout_ms)
    return DeviceSummary(device.device_id, online, last_seen, metadata.name, metadata.location, metadata.group)
