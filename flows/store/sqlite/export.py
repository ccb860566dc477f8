"""The embedded store taken apart: short reads one after the other, so that they hold nothing up."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import starmap
from pathlib import Path
from typing import Any

import msgspec

from flows.model.alert import Transition
from flows.model.cells import matrix_of_table, rows_of
from flows.model.command import CommandOutcome
from flows.model.device import DeviceMetadata
from flows.model.episode import EpisodeRow
from flows.model.rollup import Resolution
from flows.model.rows import DeviceRow, Forget, LatestRow, RawRow, Retain
from flows.store.export import EpisodeGone, Exported, LetterCount, RollupRows, Section
from flows.store.protocol import Fence, StoredDeadLetter
from flows.store.retracing import GONE, episode_of
from flows.store.sqlite import devices
from flows.store.sqlite.catalog import layout_of
from flows.store.sqlite.connection import connect_reader, speaking
from flows.store.sqlite.migrations import check_current
from flows.store.sqlite.rowreading import ROLLUP, history_of, raw_table, rollup_table, select_span, times_of
from flows.store.sqlite.schema import CLOCKS, END_OF_TIME, ROLLUP_TABLES, at_of

BUSY_MS = 5_000
ROWS = 5_000
"""Most rows of a batch."""
LETTERS = 500
"""Most dead letters of a batch: 16 kB each."""

_RAW = "key, ord, late, clock, body"

Key = tuple[Any, ...]
"""What comes before a page: the key of the last row of the one before."""

_decode_metadata = msgspec.json.Decoder(list[DeviceMetadata]).decode


class SqliteExport:
    """See StoreExport."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with speaking(path):
            self._db = connect_reader(path, BUSY_MS)
            try:
                check_current(self._db, path)
            except BaseException:
                self._db.close()
                raise

    def fence(self) -> Fence | None:
        """Return the last durable fence, None of a new store."""
        with self._reading() as db:
            row = db.execute("SELECT journal_id, seq, base FROM fence").fetchone()
        return Fence(*row) if row else None

    def devices(self) -> list[str]:
        """Every device that has rows of its own, sorted."""
        with self._reading() as db:
            return [device_id for (device_id,) in db.execute("SELECT device_id FROM device ORDER BY device_id")]

    def read(self, section: Section, device_id: str = "") -> Iterator[Exported]:
        """Read a section: of one device where it is in BY_DEVICE, else whole."""
        match section:
            case "raw":
                return self._raw(device_id)
            case "1m" | "1h" | "1d":
                return self._rollups(device_id, section)
            case "alert":
                return self._pages(_transitions, (device_id, "", 0))
            case "episode":
                return self._pages(_episodes, (device_id, "", 0))
            case "episode_gone":
                return self._pages(_episodes_gone, (device_id, "", 0))
            case "dead_letter_count":
                return self._pages(_letter_counts, ("", "", -1))
            case "dead_letter":
                return self._pages(_letters, (-1,))
            case "command":
                return self._pages(_commands, ("",))
            case "device" | "latest":
                return self._once(_device if section == "device" else _latest, device_id)
            case _:
                return self._once(_forgotten if section == "forgotten" else _retained, "")

    def close(self) -> None:
        """Release files; safe to call twice."""
        self._db.close()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with speaking(self._path):
            self._db.execute("BEGIN")
            try:
                yield self._db
            finally:
                self._db.execute("ROLLBACK")

    def _once(self, read: Callable[[sqlite3.Connection, str], Exported], device_id: str) -> Iterator[Exported]:
        with self._reading() as db:
            batch = read(db, device_id)
        yield batch

    def _pages(
        self, read: Callable[[sqlite3.Connection, Key], tuple[Exported, Key]], after: Key
    ) -> Iterator[Exported]:
        """Read page by page, each behind the key of the last row of the one before."""
        while True:
            with self._reading() as db:
                batch, after = read(db, after)
            if not batch:
                return
            yield batch

    def _raw(self, device_id: str) -> Iterator[Exported]:
        start = 0
        while True:
            with self._reading() as db:
                device = devices.key(db, device_id)
                if device is None:
                    return
                rest = f"ORDER BY key LIMIT {ROWS}"
                rows = select_span(db, "raw", _RAW, device, start, END_OF_TIME, rest).fetchall()
                layout, history = layout_of(db, "raw"), history_of(db, device)
            if not rows:
                return
            keys, orders, lates, clocks, bodies = zip(*rows, strict=True)
            table = raw_table(layout, keys, bodies, history)
            cells = rows_of(matrix_of_table(table))
            yield [
                RawRow(device_id, at, order, at + late, CLOCKS[clock], row)
                for row, at, order, late, clock in zip(
                    cells, table.at.tolist(), orders, lates, clocks, strict=True
                )
            ]
            start = at_of(keys[-1]) + 1

    def _rollups(self, device_id: str, resolution: Resolution) -> Iterator[Exported]:
        start, name = 0, ROLLUP_TABLES[resolution]
        while True:
            with self._reading() as db:
                device = devices.key(db, device_id)
                if device is None:
                    return
                rest = f"ORDER BY key LIMIT {ROWS}"
                rows = select_span(db, name, ROLLUP, device, start, END_OF_TIME, rest).fetchall()
                layout = layout_of(db, name)
            if not rows:
                return
            table = rollup_table(layout, rows)
            table.start[:] = times_of(table.start)
            yield [RollupRows(device_id, resolution, table)]
            start = int(table.start[-1]) + 1


def _forgotten(db: sqlite3.Connection, _: str) -> Exported:
    return list(starmap(Forget, db.execute("SELECT device_id, ord FROM forgotten ORDER BY device_id")))


def _retained(db: sqlite3.Connection, _: str) -> Exported:
    """Read the times below which rows were let go; a device's are newer than its last Forget."""
    return [
        Retain(device_id, order, *before)
        for device_id, order, *before in db.execute(
            "SELECT device_id, coalesce(ord + 1, 0), raw_before, minute_before, dead_letter_before"
            " FROM retained LEFT JOIN forgotten USING (device_id) ORDER BY device_id"
        )
    ]


def _device(db: sqlite3.Connection, device_id: str) -> Exported:
    """Read the parts of a device, each with its own order; one without any is there all the same."""
    found = db.execute("SELECT * FROM device WHERE device_id = ?", (device_id,)).fetchone()
    if found is None:
        return []
    device, _, online, online_order, last_seen, last_seen_order, metadata, metadata_order = found
    rows = []
    if online_order is not None:
        rows.append(DeviceRow(device_id, online_order, online=bool(online)))
    if last_seen_order is not None:
        rows.append(DeviceRow(device_id, last_seen_order, last_seen=last_seen))
    if metadata_order is not None:
        rows.append(DeviceRow(device_id, metadata_order, metadata=_decode_metadata(metadata)))
    attributes = db.execute("SELECT ord, name, value FROM attribute WHERE device = ? ORDER BY name", (device,))
    rows += [DeviceRow(device_id, order, attributes={name: value}) for order, name, value in attributes]
    if not rows:
        (forgotten,) = db.execute("SELECT max(ord) FROM forgotten WHERE device_id = ?", (device_id,)).fetchone()
        rows.append(DeviceRow(device_id, 0 if forgotten is None else forgotten + 1))
    return rows


def _latest(db: sqlite3.Connection, device_id: str) -> Exported:
    found = db.execute(
        "SELECT device, ord FROM latest JOIN device USING (device) WHERE device_id = ?", (device_id,)
    ).fetchone()
    if found is None:
        return []
    newest = devices.newest_values(db, "WHERE device_id = ?", (device_id,))
    return [LatestRow(device_id, found[1], newest[found[0]])]


def _episodes(db: sqlite3.Connection, after: Key) -> tuple[Exported, Key]:
    rows = _episode_rows(db, after, "!=")
    device_id, *_ = after
    found = [
        EpisodeRow(device_id, order, episode_of(kind, start, end, body)) for kind, start, end, order, body in rows
    ]
    return found, (device_id, *rows[-1][:2]) if rows else after


def _episodes_gone(db: sqlite3.Connection, after: Key) -> tuple[Exported, Key]:
    rows = _episode_rows(db, after, "=")
    device_id, *_ = after
    gone = [EpisodeGone(device_id, order, kind, start) for kind, start, _, order, _ in rows]
    return gone, (device_id, *rows[-1][:2]) if rows else after


def _episode_rows(db: sqlite3.Connection, after: Key, compared: str) -> list[Any]:
    """Read episodes whose body compares like this with that of one that is gone. after: device, kind, start."""
    return db.execute(
        "SELECT kind, start, end, ord, body FROM episode WHERE device ="
        " (SELECT device FROM device WHERE device_id = ?) AND (kind, start) > (?, ?)"
        f" AND body {compared} ? ORDER BY kind, start LIMIT {ROWS}",
        (*after, GONE),
    ).fetchall()


def _transitions(db: sqlite3.Connection, after: Key) -> tuple[Exported, Key]:
    device_id, *_ = after
    rows = db.execute(
        "SELECT id, ord, alert_type, at, arrived, level, state, value, message, since, by FROM alert_transition"
        " WHERE device = (SELECT device FROM device WHERE device_id = ?) AND (id, ord) > (?, ?)"
        f" ORDER BY id, ord LIMIT {ROWS}",
        after,
    ).fetchall()
    changes = [Transition(alert_id, order, device_id, *rest) for alert_id, order, *rest in rows]
    return changes, (device_id, *rows[-1][:2]) if rows else after


def _letter_counts(db: sqlite3.Connection, after: Key) -> tuple[Exported, Key]:
    rows = db.execute(
        "SELECT device_id, reason, hour, ord, count FROM dead_letter_count"
        f" WHERE (device_id, reason, hour) > (?, ?, ?) ORDER BY device_id, reason, hour LIMIT {ROWS}",
        after,
    ).fetchall()
    return [*starmap(LetterCount, rows)], rows[-1][:3] if rows else after


def _letters(db: sqlite3.Connection, after: Key) -> tuple[Exported, Key]:
    rows = db.execute(f"SELECT * FROM dead_letter WHERE ord > ? ORDER BY ord LIMIT {LETTERS}", after).fetchall()
    return [*starmap(StoredDeadLetter, rows)], rows[-1][:1] if rows else after


def _commands(db: sqlite3.Connection, after: Key) -> tuple[Exported, Key]:
    rows = db.execute(
        f"SELECT id, seq, by, at, name, body, outcome, detail FROM command WHERE id > ? ORDER BY id LIMIT {ROWS}",
        after,
    ).fetchall()
    return [CommandOutcome(seq, command_id, *rest) for command_id, seq, *rest in rows], rows[-1][
        :1
    ] if rows else after
