"""heatpump dead-letters: look at what was refused; try it again, or drop it."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import Data
from flows.cli.words import counted, printable

if TYPE_CHECKING:
    from flows.model.dead_letter import LetterState
    from flows.queries.dead_letters import DeadLetterLine
    from flows.settings import Settings
    from flows.store.protocol import StoreReader

ANSWER_S = 5.0
"""How long the outcome of the last command is waited for. [s]"""


class State(StrEnum):
    """How a letter stands."""

    open = "open"
    retried = "retried"
    dropped = "dropped"
    all = "all"


_STATES: "dict[State, LetterState | None]" = {
    State.open: "open",
    State.retried: "retried",
    State.dropped: "dropped",
    State.all: None,
}

Ids = Annotated[list[int] | None, typer.Argument(metavar="ID", help="Letters, by id.", show_default=False)]
Device = Annotated[str | None, typer.Option(help="Only letters of this device.")]
Reason = Annotated[str | None, typer.Option(help="Only letters refused for this reason.")]
All = Annotated[bool, typer.Option("--all", help="All open ones that --device and --reason leave, newest first.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before --all.")]
By = Annotated[str, typer.Option(help="Who asks, as shown later.")]


def list_(
    device: Device = None,
    reason: Reason = None,
    state: State = State.open,
    limit: Limit = 50,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    data: Data = None,
) -> None:
    """List dead letters, newest first.

    Each with id, arrival (UTC), device and reason; below it size, state, tries and detail.

    Examples:
      heatpump dead-letters list

      heatpump dead-letters list --device site1 --reason empty --state all
    """
    from contextlib import closing

    import msgspec

    from flows.queries.dead_letters import dead_letters

    with closing(_reader(data)) as reader:
        page, more = dead_letters(reader, device, reason, None, limit, _STATES[state])
    if as_json:
        typer.echo(msgspec.json.encode(page))
        return
    for letter in page:
        newest = f"{letter.last_reason}: {letter.last_detail}" if letter.last_reason else letter.detail
        tries = "1 try" if letter.attempts == 1 else f"{letter.attempts} tries"
        told = f"{counted(letter.size, 'byte')}, {letter.state}, {tries}: {newest}"
        where = letter.device_id or letter.topic[:30]
        for first, *rest in (str(letter.id), letter.arrived[:19], where, letter.reason), ("", told):
            typer.echo(printable("  ".join([f"{first:<10}", *rest]).replace("\n", " ")))
    if not page:
        typer.echo(_none(_STATES[state]))
    if more is not None:
        typer.echo(f"there are more than {limit}; see --limit, --device, --reason")


list_.__name__ = "list"


def show(
    letter_id: Annotated[int, typer.Argument(metavar="ID", help="The letter, by id.")], data: Data = None
) -> None:
    """Show one dead letter: what is known of it, then what is kept of its message.

    Examples:
      heatpump dead-letters show 8192
    """
    from contextlib import closing

    import msgspec

    from flows.queries.dead_letters import dead_letter

    with closing(_reader(data)) as reader:
        letter = dead_letter(reader, _checked(letter_id))
    for name, value in msgspec.structs.asdict(letter).items():
        if name != "payload" and value not in (None, ""):
            typer.echo(f"{name:<12} {printable(str(value))}")
    typer.echo(f"\n{printable(letter.payload)}")


def retry(
    ids: Ids = None,
    all_: All = False,
    device: Device = None,
    reason: Reason = None,
    limit: Limit = 100,
    yes: Yes = False,
    by: By = "cli",
    data: Data = None,
) -> int:
    """Have dead letters read again; one that is refused again stays open, with the newest reason.

    The flow must run. Says what became of each; exit code 1 where one is not done.

    Examples:
      heatpump dead-letters retry 8192

      heatpump dead-letters retry --all --reason empty --device site1
    """
    return _command("retry", ids or [], all_, (device, reason, limit), yes, by, data)


def drop(
    ids: Ids = None,
    all_: All = False,
    device: Device = None,
    reason: Reason = None,
    limit: Limit = 100,
    yes: Yes = False,
    by: By = "cli",
    data: Data = None,
) -> int:
    """Close dead letters unread; they stay listed as dropped until retention takes them.

    The flow must run. Says what became of each; exit code 1 where one is not done.

    Examples:
      heatpump dead-letters drop 8192

      heatpump dead-letters drop --all --reason bad_topic --yes
    """
    return _command("drop", ids or [], all_, (device, reason, limit), yes, by, data)


LETTER_COMMANDS = (list_, show, retry, drop)


def _command(
    verb: str,
    ids: list[int],
    all_: bool,
    chosen: tuple[str | None, str | None, int],
    yes: bool,
    by: str,
    data: Data,
) -> int:
    """Send a command on each letter, then wait for their outcomes."""
    from contextlib import closing

    from flows.errors import ConfigError, HeatPumpError
    from flows.queries.dead_letters import dead_letters

    device, reason, limit = chosen
    if all_ == bool(ids):
        both = "the letters are named already" if ids else "no letter is named"
        raise HeatPumpError(f"{both}: name letters by id, or give --all")
    for option, text in (("--device", device), ("--reason", reason)):
        if ids and text is not None:
            raise ConfigError(option, text, "chooses from --all: leave it out where letters are named by id")
    if not 0 < len(by) <= 100:
        raise ConfigError("--by", by[:20], "must have 1 to 100 characters")
    settings = _settings(data)
    with closing(_reader(data)) as reader:
        if all_:
            page, more = dead_letters(reader, device, reason, None, limit)
            ids = [letter.id for letter in reversed(page)]
            rest = "" if more is None else ", and there are more"
            if not ids:
                typer.echo(_none("open"))
                return 1
            if not yes and not _agreed(f"{verb} {_summary(page)}{rest}?"):
                typer.echo(f"nothing was done: `{verb} --all` asks first, or takes --yes")
                return 1
        ids = list(dict.fromkeys(map(_checked, ids)))
        return _carry_out(settings, reader, f"dead_letter_{verb}", ids, by)


def _carry_out(settings: "Settings", reader: "StoreReader", name: str, ids: list[int], by: str) -> int:
    import secrets
    import time

    from flows.flow_port import FlowPort
    from flows.model.command import CommandRequest
    from flows.queries.dead_letters import command_body

    bodies = {letter_id: command_body(reader, letter_id) for letter_id in ids}
    asked: dict[int, str] = {}
    flow = FlowPort(settings)
    for letter_id, body in bodies.items():
        asked[letter_id] = secrets.token_hex(16)
        flow.submit(CommandRequest(asked[letter_id], by, name, body))
    deadline, not_done = time.monotonic() + ANSWER_S, 0
    for letter_id, command_id in asked.items():
        while (outcome := reader.command(command_id)) is None and time.monotonic() < deadline:
            time.sleep(0.02)
        told = f"{outcome.outcome}: {outcome.detail}" if outcome else "pending: journaled, but not decided yet"
        not_done += outcome is None or outcome.outcome != "done"
        typer.echo(f"{letter_id} {printable(told)}")
    return int(not_done > 0)


def _summary(page: "list[DeadLetterLine]") -> str:
    """Say what --all means just now."""
    from collections import Counter

    reasons = Counter(letter.reason for letter in page)
    told = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    devices = counted(len({letter.device_id for letter in page}), "device")
    return f"{counted(len(page), 'dead letter')} of {devices} ({told})"


def _agreed(question: str) -> bool:
    """Ask; an end of the input is no."""
    try:
        return typer.confirm(question)
    except typer.Abort:
        return False


def _none(state: "LetterState | None") -> str:
    return f"no {state} dead letter matches" if state else "no dead letter matches"


def _checked(letter_id: int) -> int:
    """Give back an id that a letter can have. Raises ConfigError."""
    from flows.errors import ConfigError
    from flows.model.dead_letter import MOST_ID

    if not 0 <= letter_id <= MOST_ID:
        raise ConfigError("ID", letter_id, "is no id of a letter; `heatpump dead-letters list` shows them")
    return letter_id


def _settings(data: Data) -> "Settings":
    from flows.settings import load_settings

    return load_settings(data=data)


def _reader(data: Data) -> "StoreReader":
    from flows.store import open_reader

    return open_reader(_settings(data).store)
