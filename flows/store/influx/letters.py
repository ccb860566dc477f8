"""Dead letters: every one counted once, the first of an hour kept, with what commands made of them."""

from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING

import msgspec

from flows.model.dead_letter import KEPT_PER_HOUR, MOST_ID, DeadLetter, LetterChange, LetterState
from flows.model.times import HOUR_MS
from flows.store.influx import events
from flows.store.influx.answers import times_ms
from flows.store.influx.commands import write_outcomes
from flows.store.influx.letter_points import COUNTED, LETTER, STATES, count_line, decode, id_field, letter_line
from flows.store.influx.names import COUNT, ORDER, tag_of, text_of
from flows.store.influx.server import InfluxServer
from flows.store.protocol import DeadLetterCount, StoredDeadLetter

if TYPE_CHECKING:
    from flows.store.influx.catalog import Catalog

MOST_KNOWN = 20_000
"""Counts known by heart; beyond it they are asked for again."""

_BELOW = """
  |> filter(fn: (r) => r._value >= 0.0 and r._value < p_before)
  |> keep(columns: ["_time", "_value"])
  |> top(n: {limit:d})
"""
_TIMES = '  |> keep(columns: ["_time", "_value"])\n'
_THERE = '  |> filter(fn: (r) => r._value != "")\n  |> keep(columns: ["_value"])\n'
_COUNTS = '  |> keep(columns: ["_time", "device_id", "reason", "_field", "_value"])\n'

Group = tuple[str, str, int]
"""Device, reason, start of the hour. [ms since 1970, UTC]"""


class Letters:
    """What the writer knows of dead letters, of hours of which it asked.

    counts : by group, how many there are, and the newest one's order.
    hours  : that were asked for: what is not in counts has none.
    """

    def __init__(self) -> None:
        self.counts: dict[Group, tuple[int, int]] = {}
        self.hours: set[int] = set()


def write_dead_letters(catalog: "Catalog", letters: list[DeadLetter]) -> None:
    """Count every letter once, and keep the first KEPT_PER_HOUR of a device, reason and hour."""
    fresh = [letter for letter in letters if letter.arrived >= catalog.leaving.dead_letter_before]
    fresh.sort(key=lambda letter: (*_group(letter), letter.order))
    known = _known(catalog, {_group(letter)[2] for letter in fresh})
    kept: list[bytes] = []
    counted: list[bytes] = []
    for group, theirs in groupby(fresh, key=_group):
        count, newest = before = known.counts.get(group, (0, -1))
        for letter in theirs:
            if letter.order > newest:
                count, newest = count + 1, letter.order
                if count <= KEPT_PER_HOUR:
                    kept.append(letter_line(_stored(letter)))
        if (count, newest) != before:
            known.counts[group] = count, newest
            counted.append(count_line(*group, count, newest))
    # Counts behind letters: what is counted is stored, what is not is written again.
    catalog.outgoing.add(catalog.server.address.meta, [*kept, *counted], "ns")


def write_letter_changes(catalog: "Catalog", changes: list[LetterChange]) -> None:
    """Say how letters stand that commands were about, and what became of those commands.

    A closed letter stays as it is; a letter that is not there (any more) does not come back.
    """
    catalog.outgoing.flush()
    there = {letter.id: letter for letter in _read(catalog.server, {change.letter_id for change in changes})}
    for change in sorted(changes, key=lambda change: change.order):
        letter = there.get(change.letter_id)
        if letter and letter.state == "open" and letter.attempts <= change.attempt:
            there[letter.id] = changed = _changed(letter, change)
            catalog.outgoing.add(catalog.server.address.meta, [letter_line(changed, letter.state)], "ns")
    write_outcomes(catalog, [change.outcome for change in changes])


def forget(catalog: "Catalog") -> None:
    """Ask anew for what was known of letters: some are about to be deleted. All of a batch is sent before."""
    catalog.outgoing.flush()
    catalog.letters.counts.clear()
    catalog.letters.hours.clear()


def select(
    server: InfluxServer,
    device_id: str | None,
    reason: str | None,
    before: int | None,
    limit: int,
    state: LetterState | None,
) -> list[StoredDeadLetter]:
    """Read letters with id < before, newest first; state: None for any.

    First the ids alone, then the letters that are shown.
    """
    states = STATES if state is None else (state,)
    of, bound = events.of_device(device_id)
    if reason is not None:
        chosen, names = events.any_of("reason", [tag_of(reason)])
        of, bound = of + chosen, {**bound, **names}
    below = float(MOST_ID if before is None else before)
    rest = of + _BELOW.format(limit=limit)
    times: dict[int, int] = {}
    for block in events.ask(server, LETTER, map(id_field, states), rest, {**bound, "before": below}):
        ids = [int(float(text)) for text in block.column("_value")]
        times.update(zip(ids, times_ms(block.column("_time")).tolist(), strict=True))
    shown = sorted(times, reverse=True)[:limit]
    if not shown:
        return []
    at = [times[letter_id] for letter_id in shown]
    letters: dict[int, StoredDeadLetter] = {}
    for block in events.ask(server, LETTER, states, of + _THERE, bound, min(at), max(at) + 1):
        letters.update((letter.id, letter) for letter in map(decode, block.column("_value")))
    return [letters[letter_id] for letter_id in shown if letter_id in letters]


def select_one(server: InfluxServer, letter_id: int) -> StoredDeadLetter | None:
    """Read one letter, or None."""
    return next(iter(_read(server, [letter_id])), None)


def counts(server: InfluxServer, device_id: str | None, start: int, end: int) -> list[DeadLetterCount]:
    """Read refusals by device, reason and hour, of hours that start in [start, end)."""
    found = _counts(server, device_id, start, end)
    return [
        DeadLetterCount(*group, count)
        for group, (count, _) in sorted(found.items(), key=lambda each: (each[0][2], *each[0][:2]))
    ]


def _group(letter: DeadLetter) -> Group:
    return letter.device_id, letter.reason, letter.arrived // HOUR_MS * HOUR_MS


def _known(catalog: "Catalog", hours: set[int]) -> Letters:
    """Give what is known, of these hours too."""
    known = catalog.letters
    if len(known.counts) > MOST_KNOWN:
        forget(catalog)
    missing = hours - known.hours
    if missing:
        known.hours |= missing
        stored = _counts(catalog.server, None, min(missing), max(missing) + 1)
        known.counts.update((group, found) for group, found in stored.items() if group[2] in missing)
    return known


def _counts(server: InfluxServer, device_id: str | None, start: int, end: int) -> dict[Group, tuple[int, int]]:
    of, bound = events.of_device(device_id)
    found: dict[Group, dict[str, int]] = {}
    for block in events.ask(server, COUNTED, (COUNT, ORDER), of + _COUNTS, bound, start, end):
        hours = times_ms(block.column("_time")).tolist()
        cells = map(block.column, ("device_id", "reason", "_field", "_value"))
        for hour, device, reason, field, value in zip(hours, *cells, strict=True):
            found.setdefault((text_of(device), text_of(reason), hour), {})[field] = int(float(value))
    # Of a point that is being written one field may be there before the other.
    return {group: (fields[COUNT], fields[ORDER]) for group, fields in found.items() if len(fields) == 2}


def _read(server: InfluxServer, letter_ids: Iterable[int]) -> list[StoredDeadLetter]:
    """Read letters, of those ids that there are."""
    wanted = set(letter_ids)
    found: dict[int, StoredDeadLetter] = {}
    chosen, bound = events.any_of("_value", map(float, sorted(wanted)))
    for block in events.ask(server, LETTER, ORDER, chosen + _TIMES, bound):
        for at in times_ms(block.column("_time")).tolist():
            for there in events.ask(server, LETTER, STATES, _THERE, start=at, end=at + 1):
                found.update((letter.id, letter) for letter in map(decode, there.column("_value")))
    return [letter for letter_id, letter in found.items() if letter_id in wanted]


def _stored(letter: DeadLetter) -> StoredDeadLetter:
    return StoredDeadLetter(
        letter.order,
        letter.device_id,
        letter.topic,
        letter.arrived,
        letter.reason,
        letter.detail,
        letter.payload,
        letter.size,
    )


def _changed(letter: StoredDeadLetter, change: LetterChange) -> StoredDeadLetter:
    done, closed = change.outcome, change.state != "open"
    return msgspec.structs.replace(
        letter,
        state=change.state,
        attempts=change.attempt,
        tried_at=letter.tried_at if change.state == "dropped" else done.at,
        last_reason=letter.last_reason if closed else change.reason,
        last_detail=letter.last_detail if closed else change.detail,
        resolved_by=done.by if closed else "",
        resolved_at=done.at if closed else None,
    )
