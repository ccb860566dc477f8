"""What of an item is shown to people: copied, since nodes change readings in place, and cut to a bound."""

import math
from typing import Any

import msgspec

from flows.model.alert import Transition
from flows.model.dead_letter import DeadLetter, LetterChange
from flows.model.frame import Frame
from flows.model.reading import ORDER_STEP, Reading, Status
from flows.model.times import iso

MOST_FIELDS = 100
MOST_CHARS = 80
MOST_HEAD = 300
"""Characters of a message that are shown."""


class Glance(msgspec.Struct):
    """An item as it was at one instant.

    first, last : orders of what may come of it: one of a reading, those of all its readings of a message.
    values      : of a reading; None of another kind.
    text        : of a message its head, of another kind what it says.
    at          : event time, 0 before `clock` has set it. [ms since 1970, UTC]
    size        : of a message. [bytes]
    """

    kind: str
    device_id: str
    arrived: int
    first: int
    last: int
    values: dict[str, Any] | None = None
    text: str = ""
    at: int = 0
    clock: str = ""
    size: int = 0
    invalid: tuple[str, ...] = ()


def glance_at(item: Any) -> Glance:
    """Copy what is shown of an item of the pipe."""
    if type(item) is Reading:
        values = {name: _cut(value) for name, value in list(item.values.items())[:MOST_FIELDS]}
        return Glance(
            "reading",
            item.device_id,
            item.arrived,
            item.order,
            item.order,
            values,
            at=item.at,
            clock=item.clock if item.at else "",
            invalid=item.invalid,
        )
    kind = type(item).__name__.lower()
    device_id, arrived = getattr(item, "device_id", ""), getattr(item, "arrived", 0)
    order = getattr(item, "order", None)
    if type(item) is Frame:
        first = item.seq * ORDER_STEP
        head = item.payload[: 4 * MOST_HEAD].decode(errors="replace")[:MOST_HEAD]
        device_id, size = item.topic.split("/")[1:2], item.original_bytes or len(item.payload)
        return Glance(
            "message", "".join(device_id)[:64], arrived, first, first + ORDER_STEP - 1, text=head, size=size
        )
    if order is None:
        seq = getattr(item, "seq", -1)
        first, last = (-1, -1) if seq < 0 else (seq * ORDER_STEP, (seq + 1) * ORDER_STEP - 1)
        name = getattr(item, "name", "")
        return Glance(kind, device_id, arrived or getattr(item, "at", 0), first, last, text=name)
    text = f"{item.name} {item.value}"[:MOST_CHARS] if type(item) is Status else ""
    return Glance(kind, device_id, arrived, order, order, text=text)


def said(item: Any) -> str:
    """Say in a few words what a node gave to a sink."""
    if isinstance(item, DeadLetter | LetterChange):
        return f"{item.reason}: {item.detail}"[:200] if item.reason else ""
    if isinstance(item, Transition):
        return f"{item.alert_type} {item.state}, {item.level}"
    return ""


def difference(before: Glance, after: Glance | None) -> dict[str, Any]:
    """Say what a node changed; a removed field's reason is for others to add.

    removed : [{field, value}]; added: [{field, value}]; changed: [{field, value, was}].
    time    : the event time, where it was set here, and `clock` where it came from.
    """
    if after is None or after.values is None:
        return {"removed": [], "added": [], "changed": []}
    old, new = before.values or {}, after.values
    said: dict[str, Any] = {
        "removed": [{"field": name, "value": value} for name, value in old.items() if name not in new],
        "added": [{"field": name, "value": value} for name, value in new.items() if name not in old],
        "changed": [
            {"field": name, "value": value, "was": old[name]}
            for name, value in new.items()
            if name in old and old[name] != value
        ],
    }
    if after.at and after.at != before.at:
        said |= {"time": iso(after.at), "clock": after.clock}
    return said


def _cut(value: object) -> object:
    """Keep numbers and flags; of anything else a few characters."""
    if isinstance(value, bool) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, int) and abs(value) < 2**53:
        return value
    try:
        return repr(value)[:MOST_CHARS] if not isinstance(value, str) else value[:MOST_CHARS]
    except ValueError:  # more digits than Python writes
        return "a number of thousands of digits"
