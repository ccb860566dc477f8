"""What a node is: logic between named ports, and the state it keeps per device.

All kinds of items travel down one pipe, in the journal's order; the first port of a node is that pipe. A node
handles the kinds it knows and passes the rest on. The other ports lead only to sinks.
"""

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import msgspec

Ports = dict[str, list[Any]]
Snapshot = tuple[int, bytes, dict[str, bytes]]
"""(version, what is shared, state by device), both msgpack."""

PIPE_KEY = "pipe"


class Logic(Protocol):
    """A node at work."""

    counts: Counter[str]
    """What it did, by a word: dropped, duplicate, fields removed …; shown, never stored.

    What becomes of readings is counted as in conservation.FATES: received, duplicate, dropped, dead readings; and
    pending, how many wait in the node now.
    """

    def on_items(self, items: list[Any], out: Ports) -> None:
        """Take items in order, append to the lists of `out`, one for each port."""

    def snapshot(self) -> Snapshot | None:
        """Return the state to recover from, None of a stateless node."""

    def sizes(self) -> dict[str, int]:
        """Say how large the state is: devices, dirty, pending … Other threads ask, while the state changes."""


class Node(msgspec.Struct, frozen=True):
    """A node's declaration.

    name    : what graph files call it.
    Params  : what a graph file may set.
    build   : makes the logic from params and a snapshot (None: nothing to recover).
    out     : its ports, the pipe first.
    version : of its snapshots; 0 of a stateless node.
    upgrade : older version → next version, applied until `version` is reached.
    """

    name: str
    Params: type[msgspec.Struct]
    build: Callable[[Any, Snapshot | None], Logic]
    out: tuple[str, ...]
    version: int = 0
    upgrade: dict[int, Callable[[Snapshot], Snapshot]] = {}

    @property
    def doc(self) -> str:
        """The text at the head of the node's file: what it does, In, Out, State."""
        return sys.modules[self.Params.__module__].__doc__ or self.name

    def can_read(self, version: int) -> bool:
        """Tell whether a snapshot of that version can be brought up to date."""
        while version in self.upgrade:
            version += 1
        return version == self.version

    def recover(self, params: Any, snapshot: Snapshot | None) -> Logic:
        """Build the logic from a snapshot of this or an older version."""
        while snapshot is not None and snapshot[0] in self.upgrade:
            snapshot = self.upgrade[snapshot[0]](snapshot)
        return self.build(params, snapshot)


State = TypeVar("State", bound=msgspec.Struct)
Shared = TypeVar("Shared", bound=msgspec.Struct)


class Keyed(Generic[State, Shared]):
    """Base of logic that remembers something per device.

    devices : state by device id.
    shared  : what belongs to no device.
    Only devices touched since the last snapshot are encoded again.
    """

    def __init__(self, version: int, state: type[State], shared: type[Shared], snapshot: Snapshot | None) -> None:
        self.counts: Counter[str] = Counter()
        self._version = version
        self._new = state
        self._encoder = msgspec.msgpack.Encoder()
        self._touched: set[str] = set()
        self._encoded: dict[str, bytes] = {}
        self.devices: dict[str, State] = {}
        self.shared: Shared = shared()
        if snapshot is not None:
            _, shared_bytes, self._encoded = snapshot
            self._encoded = dict(self._encoded)
            self.shared = msgspec.msgpack.decode(shared_bytes, type=shared)
            decoder = msgspec.msgpack.Decoder(state)
            self.devices = {device: decoder.decode(data) for device, data in self._encoded.items()}

    def state_of(self, device_id: str) -> State:
        """Return a device's state to change, new if there is none."""
        self._touched.add(device_id)
        state = self.devices.get(device_id)
        if state is None:
            state = self.devices[device_id] = self._new()
        return state

    def forget(self, device_id: str) -> None:
        """Drop a device's state."""
        self.devices.pop(device_id, None)
        self._encoded.pop(device_id, None)
        self._touched.discard(device_id)

    def snapshot(self) -> Snapshot:
        """Encode what changed and return all of it."""
        for device_id in self._touched:
            self._encoded[device_id] = self._encoder.encode(self.devices[device_id])
        self._touched.clear()
        return self._version, self._encoder.encode(self.shared), dict(self._encoded)

    def sizes(self) -> dict[str, int]:
        """Count the devices."""
        return {"devices": len(self.devices)}


class Stateless:
    """Base of logic that remembers nothing."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def snapshot(self) -> None:
        """Nothing to recover."""

    def sizes(self) -> dict[str, int]:
        """Nothing is kept."""
        return {}
