"""Commands: what users ask the flow to do; journaled like everything else that changes the store."""

from typing import Literal

import msgspec

from flows.model.frame import Frame

Outcome = Literal["done", "refused"]


class Command(msgspec.Struct, frozen=True):
    """One request of a user.

    id     : the sender's; the same id twice has one effect.
    by     : who asked.
    at     : when it was asked, as the journal took it. [ms since 1970, UTC]
    name   : alert_ack, device_put, device_forget, dead_letter_retry, dead_letter_drop or retain.
    body   : by name: {"alert_id"} · DeviceMetadata as a dict with "device_id" · {"device_id"} · LetterCommand ·
             what goes (nodes/device.py).
    """

    seq: int
    id: str
    by: str
    at: int
    name: str
    body: dict[str, object]


class CommandRequest(msgspec.Struct, frozen=True):
    """A command as it is sent, and as its frame carries it; see Command."""

    id: str
    by: str
    name: str
    body: dict[str, object] = {}


_decoder = msgspec.json.Decoder(CommandRequest)


def command_of(frame: Frame) -> Command:
    """Read a command from its frame."""
    asked = _decoder.decode(frame.payload)
    return Command(frame.seq, asked.id, asked.by, frame.arrived, asked.name, asked.body)


class CommandOutcome(msgspec.Struct, frozen=True):
    """What became of a command; one row, kept for ever.

    body   : see `kept_body`; JSON.
    detail : why it was refused, or what was done.
    """

    seq: int
    id: str
    by: str
    at: int
    name: str
    body: str
    outcome: Outcome
    detail: str


def done(command: Command, detail: str) -> CommandOutcome:
    """Record that a command took effect."""
    return _outcome(command, "done", detail)


def refused(command: Command, detail: str) -> CommandOutcome:
    """Record why a command had no effect."""
    return _outcome(command, "refused", detail)


def kept_body(body: dict[str, object]) -> dict[str, object]:
    """Leave out what the sender only saw when it asked: a whole dead letter is not kept twice."""
    return {name: value for name, value in body.items() if name != "seen"}


def _outcome(command: Command, word: Outcome, detail: str) -> CommandOutcome:
    body = msgspec.json.encode(kept_body(command.body)).decode()
    return CommandOutcome(command.seq, command.id, command.by, command.at, command.name, body, word, detail)
