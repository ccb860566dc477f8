"""InfluxReader: every method is one or a few bounded questions in Flux; an answer may lie between two batches."""

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import msgspec
import numpy as np

from flows.model.command import CommandOutcome
from flows.model.dead_letter import LetterState
from flows.model.episode import Episode, EpisodeKind
from flows.model.influx_address import InfluxAddress
from flows.model.quantities import FLAG_NAMES, HEAT_SOURCES, Value
from flows.model.rollup import Resolution, RollupRow
from flows.model.table import Numbers, Table, Times
from flows.physics.compose import rows_of
from flows.physics.derive import DERIVED
from flows.store.influx import alerts, commands, devices, episodes, fences, letters, tally
from flows.store.influx.names import CLOCK, COUNT, HEAT_SOURCE, LATE, ORDER
from flows.store.influx.rowreading import (
    DERIVED_FROM,
    RawRows,
    newest,
    newest_values,
    raw_times,
    read_raw,
    read_rollups,
    rollup_rows,
    with_derived,
)
from flows.store.influx.server import PING_TIMEOUT_MS, InfluxServer
from flows.store.protocol import (
    Columns,
    DeadLetterCount,
    Fence,
    History,
    StoredAlert,
    StoredDeadLetter,
    StoredDevice,
    StoredReading,
    StoreStats,
    T,
)

QUESTIONS_BESIDE = 8
"""So many questions may be on their way beside another."""

USUAL_PACE_MS = 60_000
"""Of devices that send as often, the newest rows are looked for where they should be. [ms]"""

MARGIN = 1.05
"""So much further back than they should be."""


class _Pace(msgspec.Struct, frozen=True):
    """How a device was seen to send.

    every  : from row to row. [ms]
    behind : the newest row, before the end of the span. [ms]
    """

    every: float
    behind: int

    def since(self, end: int, rows: int) -> int:
        """Tell where so many rows before an end should begin. [ms since 1970, UTC]"""
        return end - self.behind - round((MARGIN * rows + 1) * self.every)


def _pace(at: Times, end: int) -> _Pace:
    """Look at two or more rows, oldest first."""
    return _Pace((int(at[-1]) - int(at[0])) / (len(at) - 1), end - int(at[-1]))


class InfluxReader:
    """Everyone's side of the server store; see StoreReader. Threads may share it.

    _paces : of devices that were asked for their newest rows, by id.
    The server may be away, and the buckets not be made yet: then a read raises RetryableStoreError.
    """

    def __init__(self, address: InfluxAddress) -> None:
        self._server = InfluxServer(address)
        self._pinged = InfluxServer(address, PING_TIMEOUT_MS)
        self._beside = ThreadPoolExecutor(QUESTIONS_BESIDE, "influx-reader")
        self._paces: dict[str, _Pace] = {}

    def ping(self) -> None:
        """Raise StoreError if the store cannot be read; a server that holds its answer back is not waited for."""
        fences.read(self._pinged)

    def beside(self, question: Callable[[], T]) -> Callable[[], T]:
        """Ask now: each question takes a while before it is answered at all."""
        return self._beside.submit(question).result

    def fence(self) -> Fence | None:
        """Return the last durable fence, None of a new store."""
        return fences.read(self._server)

    def stats(self) -> StoreStats:
        """Count what is there: readings and alerts, as of the last batch."""
        found = tally.read(self._server)
        return StoreStats(found.readings, found.alerts, found.oldest, found.newest)

    def devices(self, with_latest: bool = True) -> list[StoredDevice]:
        """All devices by id."""
        return devices.select_all(self._server, with_latest)

    def device(self, device_id: str) -> StoredDevice | None:
        """One device, or None."""
        found = devices.select(self._server, device_id)
        if found is None or found.latest or found.last_seen:
            return found
        # Its readings may be another program's.
        return msgspec.structs.replace(found, latest=newest_values(self._server, device_id))

    def readings(
        self,
        device_id: str,
        start: int,
        end: int,
        limit: int,
        newest_first: bool = True,
        history: History | None = None,
    ) -> list[StoredReading]:
        """At most `limit` raw rows of a span."""
        told = self._history(device_id, history)
        rows = self._rows(device_id, start, end, limit, newest_first)
        if not len(rows.table.at):
            return []
        table = with_derived(rows.table, told())
        parts = zip(table.at.tolist(), rows.late.tolist(), rows.clock, _values(table), strict=True)
        found = [StoredReading(device_id, at, at + late, clock, values) for at, late, clock, values in parts]
        return found[::-1] if newest_first else found

    def raw_columns(
        self,
        device_id: str,
        start: int,
        end: int,
        fields: list[str],
        limit: int,
        history: History | None = None,
    ) -> Columns:
        """Raw values by column, oldest first, at most `limit` rows."""
        if not fields:
            return Columns(raw_times(self._server, device_id, start, end, limit).tolist(), {})
        derived = not DERIVED.isdisjoint(fields)
        names = {*fields, *DERIVED_FROM} - DERIVED if derived else set(fields)
        told = self._history(device_id, history if derived else [])
        table = read_raw(self._server, device_id, start, end, names, limit, own=[ORDER]).table
        if derived and len(table.at):
            table = with_derived(table, told())
        found = {name: listed(table.values[:, n], name in FLAG_NAMES) for n, name in enumerate(table.names)}
        return Columns(table.at.tolist(), {name: found.get(name) or [None] * len(table.at) for name in fields})

    def rollups(self, device_id: str, resolution: Resolution, start: int, end: int, limit: int) -> list[RollupRow]:
        """Rollup rows whose bucket starts in the span, oldest first."""
        found = read_rollups(self._server, resolution, [device_id], start, end, None, limit)
        return rows_of(found[device_id], device_id, resolution) if device_id in found else []

    def rollup_columns(
        self, device_id: str, resolution: Resolution, start: int, end: int, columns: list[str], limit: int
    ) -> Columns:
        """Named rollup columns (a column no row has is all None), oldest first."""
        rows = rollup_rows(self._server, resolution, [device_id], start, end, columns, limit).get(device_id)
        if rows is None:
            return Columns([], {name: [] for name in columns})
        found = {name: listed(values) for name, values in rows.numbers.items()}
        if columns:
            found[COUNT] = rows.number(COUNT, 0).tolist()
            found[HEAT_SOURCE] = [HEAT_SOURCES.index(text) if text else None for text in rows.text(HEAT_SOURCE)]
        return Columns(rows.at.tolist(), {name: found.get(name) or [None] * len(rows.at) for name in columns})

    def episodes(
        self, device_id: str, kinds: Collection[EpisodeKind], start: int, end: int, limit: int
    ) -> list[Episode]:
        """Episodes of these kinds that reach into the span, newest start first."""
        return episodes.select(self._server, device_id, kinds, start, end, limit)

    def alerts(
        self, device_id: str | None, start: int, end: int, limit: int, open_only: bool = False
    ) -> list[StoredAlert]:
        """Alerts with a transition in the span, newest first."""
        return alerts.select(self._server, device_id, start, end, limit, open_only)

    def alert(self, alert_id: str) -> StoredAlert | None:
        """One alert, or None."""
        return alerts.select_one(self._server, alert_id)

    def dead_letters(
        self,
        device_id: str | None,
        reason: str | None,
        before: int | None,
        limit: int,
        state: LetterState | None = "open",
    ) -> list[StoredDeadLetter]:
        """Dead letters with id < before, newest first; state: None for any."""
        return letters.select(self._server, device_id, reason, before, limit, state)

    def dead_letter(self, letter_id: int) -> StoredDeadLetter | None:
        """One dead letter, or None."""
        return letters.select_one(self._server, letter_id)

    def dead_letter_counts(self, device_id: str | None, start: int, end: int) -> list[DeadLetterCount]:
        """Refusals by device, reason and hour, kept bodies or not."""
        return letters.counts(self._server, device_id, start, end)

    def command(self, command_id: str) -> CommandOutcome | None:
        """What became of a command, None while its effect is not stored."""
        return commands.select(self._server, command_id)

    def close(self) -> None:
        """Let connections go; safe to call twice."""
        self._beside.shutdown()
        self._server.close()
        self._pinged.close()

    def _history(self, device_id: str, known: History | None) -> Callable[[], History]:
        if known is not None:
            return lambda: known
        return self.beside(partial(devices.history, self._server, device_id))

    def _rows(self, device_id: str, start: int, end: int, limit: int, newest_first: bool) -> RawRows:
        """Read rows for `readings`; of a device that was asked before, where the newest are expected."""
        pace = self._paces.get(device_id)
        if newest_first and limit > 1 and pace is not None and pace.every <= USUAL_PACE_MS:
            expected = pace.since(end, limit)
            if expected > start:
                rows = read_raw(self._server, device_id, expected, end, own=[LATE, CLOCK])
                if len(rows.table.at) >= limit:
                    return self._paced(device_id, newest(rows, limit), end)
        rows = read_raw(self._server, device_id, start, end, None, limit, newest_first, [LATE, CLOCK])
        if newest_first and limit > 1 and len(rows.table.at) == limit:
            return self._paced(device_id, rows, end)
        return rows

    def _paced(self, device_id: str, rows: RawRows, end: int) -> RawRows:
        self._paces[device_id] = _pace(rows.table.at, end)
        return rows


def _values(table: Table) -> list[dict[str, Value]]:
    """Give the values of each row by name."""
    columns = [listed(table.values[:, place], name in FLAG_NAMES) for place, name in enumerate(table.names)]
    rows = [*zip(*columns, strict=True)] or [()] * len(table.at)
    found: list[dict[str, Value]] = [dict(zip(table.names, row, strict=True)) for row in rows]
    for place in np.flatnonzero(np.isnan(table.values).any(axis=1)).tolist():
        found[place] = {name: value for name, value in found[place].items() if value is not None}
    return found


def listed(values: Numbers, flag: bool = False) -> list[float | None]:
    """Make a list of a column: None where it is missing, flags as bools."""
    cells: list[float | None] = (values != 0.0 if flag else values).tolist()
    for place in np.flatnonzero(np.isnan(values)).tolist():
        cells[place] = None
    return cells
