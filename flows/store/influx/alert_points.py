"""Alerts as points: one a transition, in two buckets.

Both have the tags device_id, alert_type and level, and the transition as fields. In the bucket of readings they
are for whoever looks at these; they go with them. In the meta bucket each has `body` too: the transition as JSON;
and `standing`: how the alert stands, on the point of its latest event time alone, "" on the others. So alerts are
read as they stand by time, as if there were one row each.
"""

from collections.abc import Iterable

import msgspec

from flows.model.alert import Transition
from flows.store.influx.events import time_ns
from flows.store.influx.names import quoted, tag_of
from flows.store.protocol import StoredAlert

ALERT = "alert"

MOST_TOLD = 20
"""Transitions of an open alert that are told beside its points: one of weeks may have thousands."""

_encode = msgspec.json.Encoder().encode
decode_transition = msgspec.json.Decoder(Transition).decode
decode_standing = msgspec.json.Decoder(StoredAlert).decode


def standing(transitions: list[Transition]) -> StoredAlert:
    """Sum an alert's transitions up. transitions: by order."""
    last = transitions[-1]
    by = next((change.by for change in reversed(transitions) if change.state == "acknowledged"), "")
    return StoredAlert(last, last.at if last.state == "cleared" else None, by)


def is_open(alert: StoredAlert) -> bool:
    """Tell whether an alert is neither cleared nor noted."""
    return alert.last.state not in ("cleared", "noted")


def latest(transitions: Iterable[Transition]) -> Transition:
    """Find the one whose point has the standing."""
    return max(transitions, key=lambda change: (change.at, change.order))


def told(transitions: list[Transition]) -> list[Transition]:
    """Leave out transitions, where there are more than MOST_TOLD, of which the standing and its point are not.

    transitions : by order.
    """
    if len(transitions) <= MOST_TOLD:
        return transitions
    acknowledged = [change for change in transitions if change.state == "acknowledged"]
    needed = {*transitions[-MOST_TOLD:], *acknowledged[-1:], latest(transitions)}
    return [change for change in transitions if change in needed]


def reading_line(change: Transition) -> bytes:
    """Write a transition for the bucket of readings."""
    return f"{_series(change)} {_fields(change)} {time_ns(change.at, change.order)}".encode()


def meta_line(change: Transition, stands: StoredAlert | None) -> bytes:
    """Write a transition for the meta bucket. stands: of its alert, on the point that has it."""
    told = _encode(stands).decode() if stands else ""
    own = f"body={quoted(_encode(change).decode())},standing={quoted(told)}"
    return f"{_series(change)} {own},{_fields(change)} {time_ns(change.at, change.order)}".encode()


def _series(change: Transition) -> str:
    tags = {"device_id": change.device_id, "alert_type": change.alert_type, "level": change.level}
    return ",".join([ALERT, *(f"{name}={tag_of(value)}" for name, value in tags.items())])


def _fields(change: Transition) -> str:
    fields = [f"id={quoted(change.id)}", f"state={quoted(change.state)}", f"message={quoted(change.message)}"]
    if change.value is not None:
        fields.append(f"value={change.value!r}")
    numbers = f"since={change.since},arrived={change.arrived},order={change.order}"
    return ",".join([*fields, f"by={quoted(change.by)}", numbers])
