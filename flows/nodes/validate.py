"""validate: keep the fields a working sensor could have sent.

In     Reading
Out    ok    Reading, implausible fields removed; the other kinds as they came
       dead  DeadLetter "empty" where nothing is left, LetterChange where that was a letter before
State  none

A payload that is well-formed in every field was held against the table while `decode` parsed it (payload.py): it
has cells already, and where no span is overridden and the device calls no field invalid, it passes.
"""

from collections import Counter
from typing import Any

import msgspec

from flows.errors import ConfigError
from flows.model.dead_letter import KEPT_BYTES, DeadLetter, LetterChange, refused_again
from flows.model.quantities import BY_NAME, COUNTERS, FLAG_NAMES, QUANTITIES
from flows.model.reading import Reading, Value, finite
from flows.nodes.ports import Node, Ports, Snapshot, Stateless

SENTINELS = frozenset((-127.0, 32767.0, 65535.0))
"""What broken or absent sensors send. A counter may pass through these values."""


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Spans that override quantities.py, both ends included."""

    spans: dict[str, tuple[float, float]] = {}


def all_spans(params: Params) -> dict[str, tuple[float, float]]:
    """Merge the overrides into the table. Raises ConfigError naming the quantity and the span."""
    spans = {q.name: (q.low, q.high) for q in QUANTITIES if q.origin == "payload"}
    for name, (low, high) in params.spans.items():
        if name not in BY_NAME:
            raise ConfigError(f"spans.{name}", name, "is no quantity; docs/reference/quantities.md lists them")
        if low > high:
            raise ConfigError(f"spans.{name}", [low, high], f"lowest {low} is above highest {high}")
        spans[name] = (low, high)
    return spans


def check(
    reading: Reading, spans: dict[str, tuple[float, float]], removed: Counter[str]
) -> Reading | DeadLetter | LetterChange:
    """Decide one reading; why fields were removed is added to `removed`."""
    kept: dict[str, Value] = {}
    for name, value in reading.values.items():
        if name in reading.invalid:
            removed["untrusted"] += 1
        elif name in FLAG_NAMES:
            if value is True or value is False:
                kept[name] = value
            elif isinstance(value, int | float) and value in (0, 1):
                kept[name] = bool(value)
            else:
                removed["wrong type"] += 1
        elif isinstance(value, bool) or not isinstance(value, int | float):
            removed["wrong type"] += 1
        elif finite(value) is None:
            removed["not finite"] += 1
        elif value in SENTINELS and name not in COUNTERS:
            removed["sentinel"] += 1
        elif not spans[name][0] <= value <= spans[name][1]:
            removed["out of range"] += 1
        else:
            kept[name] = float(value)
    if not kept:
        return dead_reading(reading, "empty", "no field of the reading could be kept")
    reading.values = kept
    return reading


def dead_reading(reading: Reading, reason: str, detail: str) -> DeadLetter | LetterChange:
    """Refuse a reading; one that comes from a dead letter is that letter again."""
    retry = reading.retry
    if retry is not None and retry.letter_id is not None:
        return refused_again(retry, retry.letter_id, reason, detail)
    topic, raw = f"heatpump/{reading.device_id}/data", reading.text
    return DeadLetter(
        reading.order, reading.device_id, topic, reading.arrived, reason, detail, raw[:KEPT_BYTES], len(raw)
    )


class Validate(Stateless):
    """See the module."""

    def __init__(self, params: Params, _snapshot: Snapshot | None) -> None:
        super().__init__()
        self._spans = all_spans(params)
        self._of_the_table = not params.spans

    def on_items(self, items: list[Any], out: Ports) -> None:
        """Check every reading; pass the rest on."""
        ok, dead = out["ok"], out["dead"]
        for item in items:
            if type(item) is Reading:
                if item.sent is None and self._of_the_table and not item.invalid:
                    ok.append(item)
                    continue
                item = check(item, self._spans, self.counts)
                if type(item) is not Reading:
                    dead.append(item)
                    self.counts["dead readings"] += 1
                    continue
            ok.append(item)


NODE = Node("validate", Params, Validate, out=("ok", "dead"))
