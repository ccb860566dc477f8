"""derive: add what follows from one message alone, and hand the reading to the store.

In     Reading, MetadataChanged, Forgotten
Out    items  Reading with derived quantities; the other kinds as they came
       rows   RawRow
       live   Reading
State  per device: metadata history
"""

from typing import Any

import msgspec

from flows.model.device import DEFAULT_METADATA, DeviceMetadata, Forgotten, MetadataChanged, metadata_at
from flows.model.reading import Reading
from flows.model.rows import RawRow
from flows.nodes.ports import Keyed, Node, Ports, Snapshot
from flows.physics.derive import derived_values, phase_sums


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
        passed, rows, live = out["items"], out["rows"], out["live"]
        for item in items:
            kind = type(item)
            if kind is Reading:
                device_id, at, values = item.device_id, item.at, item.values
                state = self.devices.get(device_id)
                sums = phase_sums(values)
                if sums:
                    values.update(sums)
                metadata = metadata_at(state.metadata, at) if state is not None else DEFAULT_METADATA
                values.update(derived_values(values, metadata))
                rows.append(RawRow(device_id, at, item.order, item.arrived, item.clock, values, tuple(sums)))
                live.append(item)
            elif kind is MetadataChanged:
                self.state_of(item.device_id).metadata = item.history
            elif kind is Forgotten:
                self.forget(item.device_id)
            passed.append(item)


NODE = Node("derive", Params, Derive, out=("items", "rows", "live"), version=1)
