"""derive: add what follows from one message alone, and hand the reading to the store.

In     Reading, MetadataChanged, Forgotten
Out    items  Reading with derived quantities; the other kinds as they came
       rows   RawRow
       live   Reading
State  per device: metadata history
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from flows.model.cells import matrix_of, rows_of
from flows.model.device import DEFAULT_METADATA, DeviceMetadata, Forgotten, MetadataChanged, metadata_at
from flows.model.reading import Reading
from flows.model.rows import RawRow
from flows.nodes.ports import Keyed, Node, Ports, Snapshot
from flows.physics.derive import add_derived, add_phase_sums


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to set: refrigerant and the like are the device's metadata."""


class _State(msgspec.Struct):
    """metadata: oldest valid_from first."""

    metadata: list[DeviceMetadata] = []


class _Shared(msgspec.Struct):
    """Nothing is shared."""


class Derive(Keyed[_State, _Shared]):
    """See the module."""

    def __init__(self, params: Params, snapshot: Snapshot | None) -> None:
        super().__init__(1, _State, _Shared, snapshot)

    def on_items(self, items: list[Any], out: Ports) -> None:
        """Complete every reading."""
        readings: list[Reading] = []
        metadata: list[DeviceMetadata] = []
        for item in items:
            kind = type(item)
            if kind is Reading:
                state = self.devices.get(item.device_id)
                readings.append(item)
                metadata.append(DEFAULT_METADATA if state is None else metadata_at(state.metadata, item.at))
            elif kind is MetadataChanged:
                self.state_of(item.device_id).metadata = item.history
            elif kind is Forgotten:
                self.forget(item.device_id)
        out["items"].extend(items)
        out["live"].extend(readings)
        if readings:
            out["rows"].extend(_completed(readings, metadata))


def _completed(readings: list[Reading], metadata: list[DeviceMetadata]) -> Iterator[RawRow]:
    """Derive for many readings at once, each by its own metadata."""
    matrix = matrix_of([reading.cells for reading in readings]).copy()
    sums = add_phase_sums(matrix)
    by_metadata: dict[int, list[int]] = {}
    for row, entry in enumerate(metadata):
        by_metadata.setdefault(id(entry), []).append(row)
    for rows in by_metadata.values():
        add_derived(matrix, rows if len(by_metadata) > 1 else slice(None), metadata[rows[0]])
    for row, (reading, cells) in enumerate(zip(readings, rows_of(matrix), strict=True)):
        reading.cells = cells
        summed = tuple([name for name, mask in sums.items() if mask[row]]) if sums else ()
        yield RawRow(reading.device_id, reading.at, reading.order, reading.arrived, reading.clock, cells, summed)


NODE = Node("derive", Params, Derive, out=("items", "rows", "live"), version=1)
