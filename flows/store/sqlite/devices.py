"""Reading devices: state, attributes, newest values."""

import sqlite3

from flows.model.quantities import FLAG_NAMES
from flows.model.reading import Value
from flows.store.protocol import StoredDevice
from flows.store.sqlite.catalog import ages_of, layout_of
from flows.store.sqlite.packing import unpack
from flows.store.sqlite.rowreading import history_in
from flows.store.sqlite.schema import TIME_BITS, at_of


def key(db: sqlite3.Connection, device_id: str) -> int | None:
    """Give the integer key of a device, or None."""
    row = db.execute("SELECT device FROM device WHERE device_id = ?", (device_id,)).fetchone()
    return row[0] if row else None


def select(db: sqlite3.Connection, device_id: str | None = None, with_latest: bool = True) -> list[StoredDevice]:
    """Read one device (an empty list if unknown), or all by id; see StoreReader.devices."""
    where, bounds = ("WHERE device_id = ?", (device_id,)) if device_id is not None else ("", ())
    attributes: dict[int, dict[str, str]] = {}
    for device, name, value in db.execute(
        f"SELECT device, name, value FROM attribute JOIN device USING (device) {where} ORDER BY device, name",
        bounds,
    ):
        attributes.setdefault(device, {})[name] = value
    latest = newest_values(db, where, bounds) if with_latest else {}
    rows = db.execute(
        f"SELECT device, device_id, online, last_seen, metadata FROM device {where} ORDER BY device_id",
        bounds,
    )
    return [
        StoredDevice(
            name,
            None if online is None else bool(online),
            last_seen or 0,
            attributes.get(device, {}),
            latest.get(device, {}),
            history_in(metadata),
        )
        for device, name, online, last_seen, metadata in rows
    ]


def newest_values(
    db: sqlite3.Connection, where: str = "", bounds: tuple[str, ...] = ()
) -> dict[int, dict[str, tuple[int, Value]]]:
    """Read by device the newest value of each quantity with its event time. [ms since 1970, UTC]"""
    layout = layout_of(db, "latest")
    rows = db.execute(f"SELECT device, at, ages, body FROM latest JOIN device USING (device) {where}", bounds)
    devices, newest, ages, bodies = zip(*found, strict=True) if (found := rows.fetchall()) else ((),) * 4
    flags = [name in FLAG_NAMES for name in layout.names]
    return {
        device: {
            name: (at - int(age), bool(value) if flag else value)
            for name, flag, age, value in zip(layout.names, flags, ages_, values, strict=True)
            if value == value
        }
        for device, at, ages_, values in zip(
            devices, newest, unpack(ages_of(layout), ages).tolist(), unpack(layout, bodies).tolist(), strict=True
        )
    }


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
