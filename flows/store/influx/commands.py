"""What became of commands: a point each in the meta bucket, found by its tag, kept for ever.

Commands are as few as what users click: a series each costs nothing.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING

import msgspec

from flows.model.command import CommandOutcome
from flows.store.influx import events
from flows.store.influx.devices import write_due
from flows.store.influx.names import quoted, tag_of, text_of
from flows.store.influx.server import InfluxServer

if TYPE_CHECKING:
    from flows.store.influx.catalog import Catalog

COMMAND = "command"

_KEPT = '  |> keep(columns: ["id", "_value"])\n'

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(CommandOutcome).decode


def write_outcomes(catalog: "Catalog", outcomes: list[CommandOutcome]) -> None:
    """Keep what became of commands; the first outcome of an id stands."""
    write_due(catalog)
    catalog.outgoing.flush()
    first: dict[str, CommandOutcome] = {}
    for outcome in outcomes:
        first.setdefault(outcome.id, outcome)
    stored = _read(catalog.server, first)
    lines = [_line(outcome) for command_id, outcome in first.items() if command_id not in stored]
    # Behind all else: whoever waits for a command finds its effect stored.
    catalog.outgoing.add(catalog.server.address.meta, lines, "ns")


def select(server: InfluxServer, command_id: str) -> CommandOutcome | None:
    """Read what became of a command, None while its effect is not stored."""
    return _read(server, [command_id]).get(command_id)


def _read(server: InfluxServer, command_ids: Collection[str]) -> dict[str, CommandOutcome]:
    """Read outcomes by id, of these and perhaps of others with them."""
    chosen, bound = events.some_of("id", map(tag_of, command_ids))
    return {
        text_of(tag): _decode(body)
        for block in events.ask(server, COMMAND, "body", chosen + _KEPT, bound)
        for tag, body in zip(block.column("id"), block.column("_value"), strict=True)
    }


def _line(done: CommandOutcome) -> bytes:
    texts = {"by": done.by, "name": done.name, "outcome": done.outcome, "detail": done.detail}
    fields = [f"{name}={quoted(text)}" for name, text in texts.items()]
    fields += [f"seq={done.seq}", f"body={quoted(_encode(done).decode())}"]
    return f"{COMMAND},id={tag_of(done.id)} {','.join(fields)} {events.time_ns(done.at, done.seq)}".encode()
