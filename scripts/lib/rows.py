"""Readings of a fleet as the rows that the pipeline hands to the store, without the pipeline."""

import json
from collections.abc import Iterator
from typing import Any

from flows.model.quantities import QUANTITIES
from flows.model.rows import RawRow
from scripts.lib.fleet import STEP_MS, Payload, Pump

_PATHS = {quantity.name: quantity.path for quantity in QUANTITIES if quantity.path}


def raw_rows(number: int, first: int, payload: Payload = Payload.measured) -> Iterator[RawRow]:
    """One device's readings from `first` [ms since 1970, UTC] on, 10 s apart, for ever."""
    pump, turn = Pump(number), 0
    while True:
        at = first + turn * STEP_MS + number % 977
        values = sent(json.loads(pump.text(at, payload)))
        yield RawRow.of(
            pump.device_id, at, (turn * 10_000 + number) * 8192 + (1 << 40), at + 150, "device", values
        )
        turn += 1


def sent(payload: dict[str, Any]) -> dict[str, Any]:
    """Name what a payload says by quantity."""
    values = {}
    for name, (group, *keys) in _PATHS.items():
        value = payload.get(group)
        for key in keys:
            value = value.get(key) if value is not None else None
        if value is not None:
            values[name] = value
    return values
