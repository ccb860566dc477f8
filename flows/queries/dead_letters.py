"""dead_letters: what was refused, why, and what became of it; and what a command on a letter carries."""

import base64
from collections.abc import Callable, Collection

import msgspec

from flows.errors import BadQuery, NotFound
from flows.model.dead_letter import REASONS, LetterState
from flows.model.reading import ORDER_STEP
from flows.model.times import iso
from flows.queries.permitted import newest
from flows.store.protocol import StoredDeadLetter, StoreReader

LEVELS, MOST_LEVEL = 4, 65
"""Of a topic a command carries so many levels of so many characters: the port takes few brackets.

No longer level means anything, so that a topic cut like this is refused for what it was refused for whole.
"""


MOST_WAITING = 100
"""Open letters are counted up to here."""

MaySee = Callable[[str], bool]
"""Tells whether the letters of a device, of "" those of none, may be seen."""


def _all(device_id: str) -> bool:
    return True


class DeadLetterLine(msgspec.Struct, frozen=True):
    """One refused message without its body; see StoredDeadLetter. size: of the original. [bytes]"""

    id: int
    device_id: str
    topic: str
    arrived: str
    reason: str
    detail: str
    size: int
    state: LetterState
    attempts: int
    tried_at: str | None
    last_reason: str
    last_detail: str
    resolved_by: str
    resolved_at: str | None


class DeadLetterAnswer(DeadLetterLine, frozen=True):
    """One refused message with the head of its body. encoding: utf-8, or base64 where the bytes are no text."""

    encoding: str
    payload: str


class RefusedInHour(msgspec.Struct, frozen=True):
    """How many messages of a device were refused for one reason in the hour from `hour` on."""

    device_id: str
    reason: str
    hour: str
    count: int


def waiting(reader: StoreReader) -> int:
    """Count the letters that are open, up to MOST_WAITING."""
    return len(reader.dead_letters(None, None, None, MOST_WAITING))


def dead_letters(
    reader: StoreReader,
    device_id: str | None,
    reason: str | None,
    before: int | None,
    limit: int,
    state: LetterState | None = "open",
    own: Collection[str] | None = None,
) -> tuple[list[DeadLetterLine], int | None]:
    """List dead letters (state None: any), newest first, and the `before` of the next page, None on the last.

    own : only of these devices, None for all and for letters of none.
    Raises BadQuery for a reason that no letter found has, and none can have.
    """
    found = newest(
        lambda one, most: reader.dead_letters(one, reason, before, most, state),
        device_id,
        own,
        limit + 1,
        lambda letter: letter.device_id,
        lambda letter: letter.id,
    )
    if reason is not None and not found and reason not in REASONS:
        raise BadQuery("reason", reason[:80], f"must be one of {', '.join(REASONS)}")
    page = found[:limit]
    return [_line(letter) for letter in page], page[-1].id if len(found) > limit else None


def dead_letter(reader: StoreReader, letter_id: int, may_see: MaySee = _all) -> DeadLetterAnswer:
    """Get one with its body. Raises NotFound, also where its device must not be seen."""
    letter = _known(reader, letter_id, may_see)
    try:
        encoding, payload = "utf-8", letter.body.decode()
    except UnicodeDecodeError:
        encoding, payload = "base64", base64.b64encode(letter.body).decode()
    return DeadLetterAnswer(**msgspec.structs.asdict(_line(letter)), encoding=encoding, payload=payload)


def command_body(reader: StoreReader, letter_id: int, may_see: MaySee = _all) -> dict[str, object]:
    """Give a command on a letter what the flow needs of it: its nodes read no store. Raises NotFound."""
    letter = _known(reader, letter_id, may_see)
    seen = {
        "state": letter.state,
        "attempts": letter.attempts,
        "topic": "/".join(level[:MOST_LEVEL] for level in letter.topic.split("/", LEVELS - 1)),
        "arrived": letter.arrived,
        "payload": base64.b64encode(letter.body).decode() if letter.state == "open" else "",
        "size": letter.size,
        "free": _free(reader, letter) if letter.state == "open" else 0,
    }
    return {"letter_id": letter_id, "seen": seen}


def _free(reader: StoreReader, letter: StoredDeadLetter) -> int:
    """Find the first time from a letter's arrival on at which its device has no reading. [ms since 1970, UTC]"""
    until = letter.arrived + ORDER_STEP
    taken = set(reader.raw_columns(letter.device_id, letter.arrived, until, [], ORDER_STEP).time)
    return next(at for at in range(letter.arrived, until + 1) if at not in taken)


def refused_by_hour(
    reader: StoreReader, device_id: str | None, start: int, end: int, own: Collection[str] | None = None
) -> list[RefusedInHour]:
    """Count refusals, those whose bodies were not kept too. start, end: [ms since 1970, UTC].

    own : only of these devices, None for all and for letters of none.
    """
    counts = reader.dead_letter_counts(device_id, start, end)
    return [
        RefusedInHour(count.device_id, count.reason, iso(count.hour), count.count)
        for count in counts
        if own is None or count.device_id in own
    ]


def _known(reader: StoreReader, letter_id: int, may_see: MaySee) -> StoredDeadLetter:
    letter = reader.dead_letter(letter_id)
    if letter is None or not may_see(letter.device_id):
        raise NotFound(f"dead letter {letter_id} is not known; it may be older than their retention")
    return letter


def _line(letter: StoredDeadLetter) -> DeadLetterLine:
    return DeadLetterLine(
        letter.id,
        letter.device_id,
        letter.topic,
        iso(letter.arrived),
        letter.reason,
        letter.detail,
        letter.size,
        letter.state,
        letter.attempts,
        iso(letter.tried_at) if letter.tried_at is not None else None,
        letter.last_reason,
        letter.last_detail,
        letter.resolved_by,
        iso(letter.resolved_at) if letter.resolved_at is not None else None,
    )
