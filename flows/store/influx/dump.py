"""A server store as text, in the lines of a store file's (see flows/store/sqlite/dump.py)."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import msgspec

from flows.model.alert import Transition
from flows.model.command import CommandOutcome
from flows.model.episode import EpisodeRow
from flows.model.influx_address import InfluxAddress
from flows.model.reading import Clock
from flows.model.rows import DeviceRow, Forget, LatestRow, RawRow, Retain
from flows.physics.derive import DERIVED
from flows.store.export import BY_DEVICE, LetterCount, RollupRows, Section
from flows.store.influx import tally
from flows.store.influx.alert_points import is_open, latest, standing
from flows.store.influx.export import InfluxExport
from flows.store.influx.server import InfluxServer
from flows.store.protocol import StoredDeadLetter
from flows.store.retracing import body_of

Line = tuple[str, dict[str, Any]]
"""Table, values by column; None is left out."""

_CLOCKS: tuple[Clock, ...] = ("device", "boot", "arrival")

_ORDER: tuple[Section, ...] = (
    "device",
    "latest",
    "raw",
    "1m",
    "1h",
    "1d",
    "episode",
    "alert",
    "dead_letter",
    "dead_letter_count",
    "command",
    "forgotten",
    "retained",
)
_KEYED: frozenset[Section] = frozenset(("raw", "1m", "1h", "1d"))


def dump(address: InfluxAddress) -> Iterator[str]:
    """Give every row as one line: table, then what has a value, by name.

    What derives from a reading alone is left out, as in a store file.
    """
    with closing(InfluxExport(address)) as export:
        devices = export.devices()
        for section in _ORDER:
            rows = (
                row
                for device_id in (devices if section in BY_DEVICE else [""])
                for batch in export.read(section, device_id)
                for row in batch
            )
            lines = (_text(*line) for line in _LINES[section](rows))
            yield from lines if section in _KEYED else sorted(lines, key=_table_first)
    with closing(InfluxServer(address)) as server:
        yield _text("tally", {"one": 1, "readings": tally.read(server).readings})


def _text(table: str, values: dict[str, Any]) -> str:
    there = {name: value for name, value in values.items() if value is not None}
    return f"{table} {json.dumps(there, sort_keys=True, default=bytes.hex)}"


def _table_first(line: str) -> tuple[int, str]:
    """Sort lines as the tables of a store file come: what says how alerts stand is behind their changes."""
    return _TABLES.index(line.partition(" ")[0]), line


_TABLES = (
    "device",
    "attribute",
    "latest",
    "episode",
    "alert_transition",
    "alert",
    "dead_letter",
    "dead_letter_count",
    "command",
    "forgotten",
    "retained",
)


def _devices(rows: Iterator[DeviceRow]) -> Iterator[Line]:
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        device = found.setdefault(row.device_id, {"device_id": row.device_id})
        if row.online is not None:
            device.update(online=int(row.online), online_ord=row.order)
        if row.last_seen is not None:
            device.update(last_seen=row.last_seen, last_seen_ord=row.order)
        if row.metadata is not None:
            device.update(metadata=msgspec.json.encode(row.metadata).decode(), metadata_ord=row.order)
        for name, value in row.attributes.items():
            yield "attribute", {"device_id": row.device_id, "name": name, "ord": row.order, "value": value}
    for device in found.values():
        yield "device", device


def _latest(rows: Iterator[LatestRow]) -> Iterator[Line]:
    for row in rows:
        yield "latest", {"device_id": row.device_id, "ord": row.order, "readings": row.values}


def _raw(rows: Iterator[RawRow]) -> Iterator[Line]:
    for row in rows:
        own = {"device_id": row.device_id, "at": row.at, "ord": row.order, "arrived": row.arrived}
        sent = {name: value for name, value in row.values.items() if name not in DERIVED}
        yield "raw", {**own, "clock": _CLOCKS.index(row.clock), **sent}


def _rollups(parts: Iterator[RollupRows]) -> Iterator[Line]:
    for part in parts:
        table = part.table
        own = (table.start.tolist(), table.order.tolist(), table.count.tolist(), table.heat.tolist())
        for start, order, count, heat, values in zip(*own, table.values.tolist(), strict=True):
            there = {name: value for name, value in zip(table.names, values, strict=True) if value == value}
            row = {"device_id": part.device_id, "at": start, "ord": order, "count": count}
            yield f"rollup_{part.resolution}", {**row, "heat_source": heat if heat >= 0 else None, **there}


def _episodes(rows: Iterator[EpisodeRow]) -> Iterator[Line]:
    for row in rows:
        episode = row.episode
        span = {"kind": episode.kind, "start": episode.start, "end": episode.end}
        yield "episode", {"device_id": row.device_id, "ord": row.order, **span, "body": body_of(episode)}


def _alerts(rows: Iterator[Transition]) -> Iterator[Line]:
    alerts: dict[str, list[Transition]] = {}
    for row in rows:
        alerts.setdefault(row.id, []).append(row)
        values = msgspec.structs.asdict(row)
        yield "alert_transition", {"ord": values.pop("order"), **values}
    for alert_id, changes in alerts.items():
        stands = standing(changes)
        own = {"id": alert_id, "device_id": stands.last.device_id, "ord": stands.last.order}
        now = {"open": int(is_open(stands)), "cleared_at": stands.cleared_at}
        by = {"acknowledged_by": stands.acknowledged_by}
        yield "alert", {**own, "at": latest(changes).at, **now, **by}


def _letters(rows: Iterator[StoredDeadLetter]) -> Iterator[Line]:
    for row in rows:
        values = msgspec.structs.asdict(row)
        yield "dead_letter", {"ord": values.pop("id"), **values}


def _counts(rows: Iterator[LetterCount]) -> Iterator[Line]:
    for row in rows:
        values = msgspec.structs.asdict(row)
        yield "dead_letter_count", {"ord": values.pop("order"), **values}


def _commands(rows: Iterator[CommandOutcome]) -> Iterator[Line]:
    for row in rows:
        yield "command", msgspec.structs.asdict(row)


def _forgotten(rows: Iterator[Forget]) -> Iterator[Line]:
    for row in rows:
        yield "forgotten", {"device_id": row.device_id, "ord": row.order}


def _retained(rows: Iterator[Retain]) -> Iterator[Line]:
    for row in rows:
        values = msgspec.structs.asdict(row)
        del values["order"]
        yield "retained", values


_LINES: dict[Section, Callable[[Iterator[Any]], Iterator[Line]]] = {
    "device": _devices,
    "latest": _latest,
    "raw": _raw,
    "1m": _rollups,
    "1h": _rollups,
    "1d": _rollups,
    "episode": _episodes,
    "alert": _alerts,
    "dead_letter": _letters,
    "dead_letter_count": _counts,
    "command": _commands,
    "forgotten": _forgotten,
    "retained": _retained,
}
