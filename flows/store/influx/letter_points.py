"""Dead letters as points: one a letter that is kept, by device and reason, and one a device, reason and hour.

A letter's whole text is in the field named by its state, "" in those of states that it left; beside each, as a
number, the letter's id, −1 where it left. So letters of one state are sorted by id without reading any of them,
and those that are shown are read without the others of their time.
"""

from typing import get_args

import msgspec

from flows.model.dead_letter import LetterState
from flows.store.influx import events
from flows.store.influx.names import COUNT, ORDER, quoted, tag_of
from flows.store.protocol import StoredDeadLetter

LETTER, COUNTED = "dead_letter", "dead_letter_count"
STATES: tuple[LetterState, ...] = get_args(LetterState)

LEFT = -1
"""In place of an id: the letter is in that state no more."""

_encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(StoredDeadLetter).decode


def letter_line(letter: StoredDeadLetter, left: LetterState | None = None) -> bytes:
    """Write a letter. left: the state that it was in before."""
    fields = [f"{ORDER}={letter.id}", *_state(letter.state, letter.id, _encode(letter).decode())]
    if left is not None and left != letter.state:
        fields += _state(left, LEFT, "")
    tags = f"device_id={tag_of(letter.device_id)},reason={tag_of(letter.reason)}"
    return f"{LETTER},{tags} {','.join(fields)} {events.time_ns(letter.arrived, letter.id)}".encode()


def count_line(device_id: str, reason: str, hour: int, count: int, newest: int) -> bytes:
    """Write how many letters there were. newest: the highest id."""
    tags = f"device_id={tag_of(device_id)},reason={tag_of(reason)}"
    return f"{COUNTED},{tags} {COUNT}={count},{ORDER}={newest} {events.time_ns(hour, 0)}".encode()


def _state(state: LetterState, order: int, body: str) -> tuple[str, str]:
    return f"{id_field(state)}={order}", f"{state}={quoted(body)}"


def id_field(state: LetterState) -> str:
    """Name the field that has the ids of letters in a state."""
    return f"{state}_id"
