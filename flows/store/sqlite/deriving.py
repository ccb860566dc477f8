"""What raw rows derive from their own values, computed anew: after a merge, or with other metadata."""

from itertools import groupby

import msgspec

from flows.model.device import DeviceMetadata, metadata_at
from flows.physics.derive import DERIVED, derived_values, payload_values
from flows.store.sqlite.catalog import Catalog
from flows.store.sqlite.rowreading import values_of
from flows.store.sqlite.schema import at_of, device_of

_decoder = msgspec.json.Decoder(list[DeviceMetadata])


def metadata_of(catalog: Catalog, device: int) -> list[DeviceMetadata]:
    """Read a device's metadata history, oldest first."""
    (text,) = catalog.db.execute("SELECT metadata FROM device WHERE device = ?", (device,)).fetchone()
    return _decoder.decode(text) if text is not None else []


def rederive(catalog: Catalog, keys: list[int]) -> None:
    """Compute the derived fields of these raw rows with the metadata in force at their time.

    Their orders stay: only a newer message may change what the device said.
    """
    columns = catalog.columns("raw")
    if not keys or not columns:
        return
    select = f"SELECT {', '.join(columns)} FROM raw WHERE key = ?"
    changes = []
    for device, mine in groupby(keys, key=device_of):
        metadata = metadata_of(catalog, device)
        for key in mine:
            stored = catalog.db.execute(select, (key,)).fetchone()
            values = payload_values(values_of(columns, stored))
            changes.append((key, derived_values(values, metadata_at(metadata, at_of(key)))))
    catalog.columns_for("raw", [derived for _, derived in changes])
    stale = [column for column in catalog.columns("raw") if column in DERIVED]
    if stale:
        catalog.db.executemany(
            f"UPDATE raw SET {', '.join(f'{column} = ?' for column in stale)} WHERE key = ?",
            [(*map(derived.get, stale), key) for key, derived in changes],
        )
