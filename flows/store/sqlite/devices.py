"""Reading devices: state, attributes, newest values."""

import sqlite3

import msgspec

from flows.model.device import DeviceMetadata
from flows.model.reading import Value
from flows.store.protocol import StoredDevice
from flows.store.sqlite.schema import TIME_BITS, at_of

_readings_decoder = msgspec.msgpack.Decoder(dict[str, tuple[int, Value]])
_metadata_decoder = msgspec.json.Decoder(list[DeviceMetadata])


def key(db: sqlite3.Connection, device_id: str) -> int | None:
    """Give the integer key of a device, or None."""
    row = db.execute("SELECT device FROM device WHERE device_id = ?", (device_id,)).fetchone()
    return row[0] if row else None


def select(db: sqlite3.Connection, device_id: str | None = None) -> list[StoredDevice]:
    """Read one device (an empty list if unknown), or all by id."""
    where, bounds = ("WHERE device_id = ?", (device_id,)) if device_id is not None else ("", ())
    attributes: dict[int, dict[str, str]] = {}
    for device, name, value in db.execute(
        f"SELECT device, name, value FROM attribute JOIN device USING (device) {where} ORDER BY device, name",
        bounds,
    ):
        attributes.setdefault(device, {})[name] = value
    rows = db.execute(
        "SELECT device, device_id, online, last_seen, readings, metadata"
        f" FROM device LEFT JOIN latest USING (device) {where} ORDER BY device_id",
        bounds,
    )
    return [
        StoredDevice(
            name,
            None if online is None else bool(online),
            last_seen or 0,
            attributes.get(device, {}),
            _readings_decoder.decode(readings) if readings is not None else {},
            _metadata_decoder.decode(metadata) if metadata is not None else [],
        )
        for device, name, online, last_seen, readings, metadata in rows
    ]


def event_times(db: sqlite3.Connection) -> tuple[int | None, int | None]:
    """Find the oldest and the newest raw row: two look-ups a device, no scan. [ms since 1970, UTC]"""
    found = db.execute(
        "SELECT (SELECT min(key) FROM raw WHERE key >= device << :bits AND key < device + 1 << :bits),"
        " (SELECT max(key) FROM raw WHERE key >= device << :bits AND key < device + 1 << :bits) FROM device",
        {"bits": TIME_BITS},
    ).fetchall()
    there = [(at_of(oldest), at_of(newest)) for oldest, newest in found if oldest is not None]
    if not there:
        return None, None
    return min(oldest for oldest, _ in there), max(newest for _, newest in there)
