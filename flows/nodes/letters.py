"""Commands on dead letters, for `decode`: a letter's message is read again, or the letter is dropped.

The command carries the letter as its sender saw it. The reading that comes of it carries the attempt, and whoever
decides it says what became of it: decode, validate and clock where they refuse it, device where it goes on to be
stored. So each attempt has one outcome, and nothing is tried again by itself.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from flows.model.command import Command, kept_body, refused
from flows.model.dead_letter import (
    KEPT_BYTES,
    DeadLetter,
    LetterChange,
    LetterCommand,
    Retry,
    Seen,
    dropped,
    refused_again,
    taken_up,
)
from flows.model.frame import Frame, FrameKind
from flows.model.reading import ORDER_STEP, DeviceAlert, Reading
from flows.model.times import iso
from flows.nodes.ports import Ports

LETTER_COMMANDS = ("dead_letter_retry", "dead_letter_drop")
_REMEMBERED = 1_000

Read = Callable[[Frame, list[Any], list[DeadLetter]], None]
"""Decodes a frame: what it says, and what is refused of it."""


def carry_out(command: Command, decided: dict[int, int], read: Read, out: Ports) -> None:
    """Retry or drop a letter.

    decided : by letter, how many attempts the newest command on it had seen; the newest thousand letters.
    """
    try:
        asked = msgspec.convert(command.body, LetterCommand)
    except msgspec.ValidationError as error:
        out["rows"].append(refused(command, f"{command.name}: {error}"))
        return
    letter_id, seen = asked.letter_id, asked.seen
    hindrance = _hindrance(command, letter_id, seen, decided)
    if hindrance:
        out["rows"].append(refused(command, hindrance))
        return
    decided.pop(letter_id, None)
    decided[letter_id] = seen.attempts
    if len(decided) > _REMEMBERED:
        del decided[next(iter(decided))]
    command = msgspec.structs.replace(command, body=kept_body(command.body))
    attempt = seen.attempts + (command.name == "dead_letter_retry")
    retry = Retry(command.seq * ORDER_STEP, letter_id, attempt, command, seen.free)
    if command.name == "dead_letter_drop":
        out["rows"].append(dropped(retry, letter_id))
    else:
        _try(retry, letter_id, seen, read, out)


def _hindrance(command: Command, letter_id: int, seen: Seen, decided: dict[int, int]) -> str:
    """Say why a letter cannot be acted on, "" if it can."""
    if seen.state != "open":
        return f"dead letter {letter_id} is not open: it was {seen.state}"
    if seen.attempts <= decided.get(letter_id, -1):
        return f"dead letter {letter_id} is not open as it was: another command came first; look at it again"
    if command.name == "dead_letter_drop":
        return ""
    if seen.size > len(seen.payload):
        kept = f"only the first {KEPT_BYTES // 1024} kB of it were kept"
        return f"dead letter {letter_id}: {kept}; it cannot be retried"
    if not seen.topic:
        return f"dead letter {letter_id} holds a row that the store refused, no message; it cannot be retried"
    return ""


def _try(retry: Retry, letter_id: int, seen: Seen, read: Read, out: Ports) -> None:
    """Read the message as it was read when it arrived, but as no sign of life, and newest in order."""
    command = retry.command
    arrived = min(seen.arrived, command.at)
    taken: list[Any] = []
    dead: list[DeadLetter] = []
    read(Frame(command.seq, FrameKind.MESSAGE, arrived, seen.topic, seen.payload, retain=True), taken, dead)
    parts = len(taken) + len(dead)
    if parts > 1:
        one_by_one = f"its {parts} readings were taken up; each that is refused again is a letter of its own"
        alone = msgspec.structs.replace(retry, letter_id=None)
        for reading in taken:
            reading.retry = msgspec.structs.replace(alone, order=reading.order)
        out["items"].extend(taken)
        out["dead"].extend(dead)
        out["rows"].append(taken_up(retry, letter_id, one_by_one))
    elif dead:
        out["dead"].append(refused_again(retry, letter_id, dead[0].reason, dead[0].detail))
    elif isinstance(taken[0], Reading):
        taken[0].retry = retry
        out["items"].append(taken[0])
    elif isinstance(taken[0], DeviceAlert):
        out["items"].append(taken[0])
        stored = f"stored as an alert that {taken[0].device_id} raised at {iso(taken[0].at)}"
        out["rows"].append(taken_up(retry, letter_id, stored))
    else:
        old = "it could be read now, but says how things stood then; a newer status is not undone"
        out["dead"].append(refused_again(retry, letter_id, "bad_status", old))


def settled(reading: Reading) -> list[LetterChange]:
    """Say that a reading is stored, where it was an attempt at a letter of its own."""
    retry = reading.retry
    if retry is None or retry.letter_id is None:
        return []
    return [taken_up(retry, retry.letter_id, f"stored as reading of {reading.device_id} at {iso(reading.at)}")]
