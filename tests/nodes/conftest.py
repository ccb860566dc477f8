"""Fixtures that build domain things and run a node's logic over them, batch by batch."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from flows.model.cells import cells_of
from flows.model.frame import Frame, FrameKind
from flows.model.quantities import BY_NAME
from flows.model.reading import ORDER_STEP, Reading
from flows.nodes.ports import Node

NOW = 1_770_000_000_000  # 2026-02-02T02:40Z


@pytest.fixture
def a_reading() -> Callable[..., Reading]:
    def make(seq: int = 1, device_id: str = "site1", arrived: int = NOW, **fields: Any) -> Reading:
        named = {name: fields.pop(name) for name in list(fields) if name in Reading.__struct_fields__}
        judged = {"cells": cells_of(fields)} if all(map(_could_be, fields.items())) else {"sent": fields}
        return Reading(device_id, seq * ORDER_STEP, arrived, **judged, **named)

    return make


def _could_be(field: tuple[str, Any]) -> bool:
    """Tell whether `validate` would leave a value as it is."""
    quantity, value = BY_NAME[field[0]], field[1]
    if quantity.kind == "flag":
        return type(value) is bool
    return type(value) is float and quantity.low <= value <= quantity.high


@pytest.fixture
def a_message() -> Callable[..., Frame]:
    def make(payload: bytes | str, topic: str = "heatpump/site1/data", seq: int = 1, **fields: Any) -> Frame:
        data = payload.encode() if isinstance(payload, str) else payload
        return Frame(seq, FrameKind.MESSAGE, fields.pop("arrived", NOW), topic, data, **fields)

    return make


@pytest.fixture
def run_node() -> Callable[..., SimpleNamespace]:
    """Run a node; `restart_every` saves and recovers its state between batches of so many items."""

    def run(node: Node, items: list[Any], restart_every: int | None = None, **params: Any) -> SimpleNamespace:
        given, snapshot = node.Params(**params), None
        out: dict[str, list[Any]] = {port: [] for port in node.out}
        logic = node.recover(given, None)
        size = restart_every or max(len(items), 1)
        for start in range(0, len(items), size):
            if restart_every and start:
                logic = node.recover(given, snapshot)
            logic.on_items(items[start : start + size], out)
            snapshot = logic.snapshot()
        return SimpleNamespace(**out, counts=logic.counts, logic=logic)

    return run
