"""What was refused, and why: kept with its original, never lost unseen; and what commands make of it."""

from typing import Annotated, Literal

import msgspec

from flows.model.command import Command, CommandOutcome, done, refused

LetterState = Literal["open", "retried", "dropped"]
MOST_ID = (1 << 62) - 1
Counted = Annotated[int, msgspec.Meta(ge=0, le=MOST_ID)]

REASONS = (
    "bad_topic",
    "bad_device_id",
    "too_large",
    "too_many_readings",
    "not_json",
    "not_an_object",
    "empty",
    "device_mismatch",
    "bad_status",
    "bad_alert",
    "older_than_retention",
    "store_refused",
    "internal",
    "forgotten",
)
"""Why this build refuses anything. A store may have letters of a newer one, which knows more."""

KEPT_BYTES = 16_384
"""How much of a refused original is kept."""

KEPT_PER_HOUR = 100
"""How many originals are kept per device, reason and hour; the rest are counted."""


class DeadLetter(msgspec.Struct, frozen=True):
    """One refused message or reading.

    order     : journal seq * ORDER_STEP + index in the message; its identity, no other letter ever has it.
    device_id : from the topic; "" where the topic names no valid device.
    topic     : "" of a row that the store refused.
    reason    : one word, see REASONS.
    detail    : one sentence for a person.
    payload   : the original bytes, at most 16 kB of their head.
    size      : length of the original. [bytes]
    """

    order: int
    device_id: str
    topic: str
    arrived: int
    reason: str
    detail: str
    payload: bytes
    size: int


class Seen(msgspec.Struct, frozen=True):
    """A letter as the sender of a command saw it in the store, which the nodes cannot look into.

    attempts : how many there were; a command that saw an older state of the letter has no effect.
    arrived  : of the original. [ms since 1970, UTC]
    payload  : what is kept of it; in JSON base64. size: of all of it. [bytes]
    free     : the first millisecond from `arrived` on of which its device has no reading. [ms since 1970, UTC]
    """

    state: LetterState
    attempts: Counted
    topic: str
    arrived: Counted
    payload: bytes
    size: Counted
    free: Counted = 0


class LetterCommand(msgspec.Struct, frozen=True):
    """The body of `dead_letter_retry` and `dead_letter_drop`."""

    letter_id: Counted
    seen: Seen


class Retry(msgspec.Struct, frozen=True):
    """One attempt at a letter, carried by the reading that came of it to the node that decides.

    order     : of the reading.
    letter_id : None where the letter held several readings: each is on its own then.
    attempt   : 1 of the first.
    free      : see Seen.
    """

    order: int
    letter_id: int | None
    attempt: int
    command: Command
    free: int = 0


class LetterChange(msgspec.Struct, frozen=True):
    """What a command did to a letter; the store keeps it and the command's outcome together.

    order   : of the reading that came of it, or of the command.
    attempt : how many there were, this one included.
    state   : open where it was refused again, for `reason` and `detail`.
    """

    order: int
    letter_id: int
    attempt: int
    state: LetterState
    reason: str
    detail: str
    outcome: CommandOutcome


def taken_up(retry: Retry, letter_id: int, detail: str) -> LetterChange:
    """Close a letter: what it held is stored."""
    outcome = done(retry.command, detail)
    return LetterChange(retry.order, letter_id, retry.attempt, "retried", "", "", outcome)


def dropped(retry: Retry, letter_id: int) -> LetterChange:
    """Close a letter unread."""
    outcome = done(retry.command, f"dropped dead letter {letter_id}")
    return LetterChange(retry.order, letter_id, retry.attempt, "dropped", "", "", outcome)


def refused_again(retry: Retry, letter_id: int, reason: str, detail: str) -> LetterChange:
    """Leave a letter open, with the newest reason."""
    outcome = refused(retry.command, f"{reason}: {detail}")
    return LetterChange(retry.order, letter_id, retry.attempt, "open", reason, detail, outcome)


def not_stored(change: LetterChange, reason: str, detail: str) -> LetterChange:
    """Take back that a letter is closed: the store refused what it held."""
    outcome = msgspec.structs.replace(change.outcome, outcome="refused", detail=f"{reason}: {detail}")
    return msgspec.structs.replace(change, state="open", reason=reason, detail=detail, outcome=outcome)
