"""A node and a store fed with items, batch by batch, the node saved and recovered between all of them."""

from pathlib import Path
from typing import Any

from flows.model.reading import Reading
from flows.model.rows import DeviceRow, RawRow
from flows.nodes.ports import Node
from flows.store import open_writer


def fed(node: Node, items: list[Any], batch: int, store: Path, **params: Any) -> int:
    """Store readings of device "d" and what the node makes of them; say what is still dirty at the end."""
    writer, snapshot, dirty = open_writer(store), None, 0
    writer.apply([DeviceRow("d", 1, last_seen=0)])
    for first in range(0, len(items), batch):
        part = items[first : first + batch]
        raw = [
            RawRow.of("d", r.at, r.order, r.arrived, "device", r.values) for r in part if isinstance(r, Reading)
        ]
        out: dict[str, list[Any]] = {port: [] for port in node.out}
        logic = node.recover(node.Params(**params), snapshot)
        logic.on_items(part, out)
        writer.apply(raw + out["rows"])
        snapshot, dirty = logic.snapshot(), logic.sizes()["dirty"]
    writer.close()
    return dirty
