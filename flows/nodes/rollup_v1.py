"""Rollup's snapshots of version 1 brought to version 2: those had the sums of the open minute, these its samples.

The samples are not in the snapshot but in the store: the open minute is refolded from raw rows once it closes.
"""

from array import array
from typing import Any

import msgspec

from flows.model.reading import Value
from flows.nodes.ports import Snapshot
from flows.physics.fold import Fold, take
from flows.physics.segments import MINUTE_MS


class _Fold(msgspec.Struct):
    held: dict[str, tuple[int, Value]] = {}
    at: int = -1


class _Span(msgspec.Struct):
    start: int
    end: int


class _State(msgspec.Struct):
    fold: _Fold
    dirty: list[_Span] = []
    spoilt: int = 0
    metadata: list[Any] = []
    order: int = 0
    since: int = 0


def upgrade(snapshot: Snapshot) -> Snapshot:
    """Turn a snapshot of version 1 into one of version 2."""
    _, shared, devices = snapshot
    decode, encode = msgspec.msgpack.Decoder(_State).decode, msgspec.msgpack.Encoder().encode
    return 2, shared, {device_id: encode(_upgraded(decode(data))) for device_id, data in devices.items()}


def _upgraded(state: _State) -> dict[str, Any]:
    at = state.fold.at
    older = {name: known for name, known in state.fold.held.items() if known[0] < at}
    newest = {name: value for name, (sent, value) in state.fold.held.items() if sent == at}
    fold = Fold(
        tuple(older),
        array("d", [value for _, value in older.values()]).tobytes(),
        array("q", [sent for sent, _ in older.values()]).tobytes(),
        max((sent for sent, _ in older.values()), default=-1),
    )
    spoilt = state.spoilt
    if at >= 0:
        take(fold, at, newest)
        spoilt = max(spoilt, fold.minute + MINUTE_MS)
    dirty = [(span.start, span.end) for span in state.dirty]
    return {**msgspec.structs.asdict(state), "fold": fold, "spoilt": spoilt, "dirty": dirty}
