"""The server store taken apart: bounded questions one after the other."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TypeVar

import msgspec

from flows.model.alert import Transition
from flows.model.cells import matrix_of_table, rows_of
from flows.model.command import CommandOutcome
from flows.model.episode import EpisodeRow
from flows.model.influx_address import InfluxAddress
from flows.model.rollup import Resolution
from flows.model.rows import DeviceRow, Forget, LatestRow, RawRow, Retain
from flows.model.times import DAY_MS, HOUR_MS
from flows.store.export import EpisodeGone, Exported, LetterCount, RollupRows, Section
from flows.store.influx import devices, documents, events, fences, leaving
from flows.store.influx.alert_points import ALERT, decode_transition
from flows.store.influx.answers import times_ms
from flows.store.influx.checking import END_OF_TIME
from flows.store.influx.commands import COMMAND
from flows.store.influx.device_point import Body, decode
from flows.store.influx.letter_points import COUNTED, LETTER, STATES
from flows.store.influx.letter_points import decode as decode_letter
from flows.store.influx.names import COUNT, ORDER, tag_of, text_of
from flows.store.influx.rowreading import raw_times, read_raw, read_rollups, with_derived
from flows.store.influx.server import InfluxServer, moment
from flows.store.influx.shelf import BODY, END, EPISODE, episodes_in
from flows.store.protocol import Fence, StoredDeadLetter
from flows.store.retracing import episode_of

ROWS = 5_000
"""Most rows of a batch."""

WINDOWS_MS: dict[str, int] = {"raw": 6 * HOUR_MS, "1m": DAY_MS, "1h": 60 * DAY_MS, "1d": 1_000 * DAY_MS}
"""How much time a question is about: some thousand rows."""

_EPISODES = """
from(bucket: p_bucket)
  |> range(start: p_start, stop: p_end)
  |> filter(fn: (r) => r._measurement == p_measurement and r.device_id == p_device)
  |> filter(fn: (r) => r._field == p_body or r._field == p_until or r._field == p_order)
  |> keep(columns: ["kind", "_time", "_field", "_value"])
"""
_VALUES = '  |> keep(columns: ["_value"])\n'
_SOME_TEXT = '  |> filter(fn: (r) => r._value != "")\n' + _VALUES
_BY_REASON = '  |> keep(columns: ["device_id", "reason", "_time", "_field", "_value"])\n'
_FIRST = '  |> first()\n  |> group()\n  |> min(column: "_time")\n  |> keep(columns: ["_time"])\n'

_decode_outcome = msgspec.json.Decoder(CommandOutcome).decode
_decode_cutoffs = msgspec.json.Decoder(leaving.Cutoffs).decode

Row = TypeVar("Row")


class InfluxExport:
    """See StoreExport."""

    def __init__(self, address: InfluxAddress) -> None:
        self._server = InfluxServer(address)

    def fence(self) -> Fence | None:
        """Return the last durable fence, None of a new store."""
        return fences.read(self._server)

    def devices(self) -> list[str]:
        """Every device that has rows of its own, sorted."""
        return [device.device_id for device in devices.select_all(self._server, with_latest=False)]

    def read(self, section: Section, device_id: str = "") -> Iterator[Exported]:
        """Read a section: of one device where it is in BY_DEVICE, else whole."""
        match section:
            case "forgotten":
                yield self._forgotten()
            case "device" | "latest":
                body = self._body(device_id)
                yield self._parts(device_id, body) if section == "device" else _latest(device_id, body)
            case "raw":
                yield from self._raw(device_id)
            case "1m" | "1h" | "1d":
                yield from self._rollups(device_id, section)
            case "episode" | "episode_gone":
                kept, gone = self._episodes(device_id)
                yield from _cut(kept) if section == "episode" else _cut(gone)
            case "alert":
                yield from _cut(self._transitions(device_id))
            case "dead_letter_count":
                yield from _cut(self._letter_counts())
            case "dead_letter":
                yield from self._letters()
            case "command":
                yield from _cut(self._commands())
            case "retained":
                yield self._retained()

    def close(self) -> None:
        """Let connections go; safe to call twice."""
        self._server.close()

    def _forgotten(self) -> list[Forget]:
        orders = leaving.load(self._server).forgotten
        return [Forget(device_id, order) for device_id, order in sorted(orders.items())]

    def _retained(self) -> list[Retain]:
        """Read the times below which rows were let go; a device's are newer than its last Forget."""
        orders = leaving.load(self._server).forgotten
        return [
            Retain(device_id, orders.get(device_id, -1) + 1, *msgspec.structs.astuple(_decode_cutoffs(body)))
            for device_id, body in sorted(documents.read(self._server, leaving.RETAINED))
        ]

    def _body(self, device_id: str) -> Body:
        for _, body in events.states(self._server, "device", device_id):
            return decode(body)
        return Body()

    def _parts(self, device_id: str, body: Body) -> list[DeviceRow]:
        """Take a device's parts, each with its own order; one without any is there all the same."""
        said, rows = body.said, []
        if said.online:
            rows.append(DeviceRow(device_id, said.online[0], online=said.online[1]))
        if said.last_seen:
            rows.append(DeviceRow(device_id, said.last_seen[0], last_seen=said.last_seen[1]))
        if body.metadata:
            rows.append(DeviceRow(device_id, body.metadata.order, metadata=body.metadata.metadata))
        for name, (order, value) in sorted(said.attributes.items()):
            rows.append(DeviceRow(device_id, order, attributes={name: value}))
        if not rows:
            rows.append(DeviceRow(device_id, leaving.load(self._server).forgotten.get(device_id, -1) + 1))
        return rows

    def _raw(self, device_id: str) -> Iterator[list[RawRow]]:
        history = devices.history(self._server, device_id)

        def read(start: int, end: int) -> list[RawRow]:
            rows = read_raw(self._server, device_id, start, end)
            table = with_derived(rows.table, history) if len(rows.table.at) else rows.table
            cells = rows_of(matrix_of_table(table))
            parts = (table.at.tolist(), rows.order.tolist(), rows.late.tolist(), rows.clock, cells)
            return [
                RawRow(device_id, at, order, at + late, clock, row)
                for at, order, late, clock, row in zip(*parts, strict=True)
            ]

        def next_at(after: int) -> int | None:
            found = raw_times(self._server, device_id, after, END_OF_TIME, limit=1)
            return int(found[0]) if len(found) else None

        return _walk(read, next_at, WINDOWS_MS["raw"])

    def _rollups(self, device_id: str, resolution: Resolution) -> Iterator[list[RollupRows]]:
        def read(start: int, end: int) -> list[RollupRows]:
            found = read_rollups(self._server, resolution, [device_id], start, end)
            return [RollupRows(device_id, resolution, table) for table in found.values()]

        def next_at(after: int) -> int | None:
            found = read_rollups(self._server, resolution, [device_id], after, END_OF_TIME, [], limit=1)
            return int(found[device_id].start[0]) if found else None

        return _walk(read, next_at, WINDOWS_MS[resolution])

    def _episodes(self, device_id: str) -> tuple[list[EpisodeRow], list[EpisodeGone]]:
        """Read episodes, and what is left of those that are no more."""
        answer = self._server.ask(
            _EPISODES,
            bucket=self._server.address.meta,
            measurement=EPISODE,
            device=tag_of(device_id),
            start=moment(0),
            end=moment(END_OF_TIME),
            body=BODY,
            until=END,
            order=ORDER,
        )
        kept, gone = [], []
        for (_, kind, at), fields in sorted(episodes_in(answer).items()):
            order = int(float(fields[ORDER]))
            if BODY in fields:
                episode = episode_of(kind, at, int(float(fields[END])), fields[BODY])
                kept.append(EpisodeRow(device_id, order, episode))
            else:
                gone.append(EpisodeGone(device_id, order, kind, at))
        return kept, gone

    def _transitions(self, device_id: str) -> list[Transition]:
        rest, bound = events.of_device(device_id)
        found = map(decode_transition, self._values(ALERT, "body", rest + _VALUES, bound))
        return sorted(found, key=lambda change: (change.id, change.order))

    def _commands(self) -> list[CommandOutcome]:
        found = map(_decode_outcome, self._values(COMMAND, "body", _VALUES))
        return sorted(found, key=lambda outcome: outcome.id)

    def _letter_counts(self) -> list[LetterCount]:
        found: dict[tuple[str, str, int], dict[str, int]] = {}
        for block in events.ask(self._server, COUNTED, (COUNT, ORDER), _BY_REASON):
            hours = times_ms(block.column("_time")).tolist()
            cells = map(block.column, ("device_id", "reason", "_field", "_value"))
            for hour, device, reason, field, value in zip(hours, *cells, strict=True):
                found.setdefault((text_of(device), text_of(reason), hour), {})[field] = int(float(value))
        return [LetterCount(*key, fields[ORDER], fields[COUNT]) for key, fields in sorted(found.items())]

    def _letters(self) -> Iterator[list[StoredDeadLetter]]:
        def read(start: int, end: int) -> list[StoredDeadLetter]:
            bodies = chain.from_iterable(
                self._values(LETTER, state, _SOME_TEXT, start=start, end=end) for state in STATES
            )
            return sorted(map(decode_letter, bodies), key=lambda letter: letter.id)

        def next_at(after: int) -> int | None:
            for block in events.ask(self._server, LETTER, ORDER, _FIRST, start=after):
                return int(times_ms(block.column("_time"))[0])
            return None

        return _walk(read, next_at, HOUR_MS)

    def _values(
        self,
        measurement: str,
        field: str,
        rest: str,
        bound: events.Bound = events.NOTHING,
        start: int = 0,
        end: int = END_OF_TIME,
    ) -> Iterator[str]:
        for block in events.ask(self._server, measurement, field, rest, bound, start, end):
            yield from block.column("_value")


def _walk(
    read: Callable[[int, int], list[Row]], next_at: Callable[[int], int | None], window_ms: int
) -> Iterator[list[Row]]:
    """Read window by window, from one where something is to the next.

    next_at : gives the first time at or after another at which something is. [ms since 1970, UTC]
    """
    start = next_at(0)
    while start is not None:
        rows = read(start, start + window_ms)
        start += window_ms
        yield from _cut(rows)
        if not rows:
            start = next_at(start)


def _cut(rows: Sequence[Row]) -> Iterator[list[Row]]:
    for first in range(0, len(rows), ROWS):
        yield [*rows[first : first + ROWS]]


def _latest(device_id: str, body: Body) -> list[LatestRow]:
    return [LatestRow(device_id, body.latest.order, body.latest.values)] if body.latest else []
