"""A recorded CSV as what its device would have sent: one payload a row, an empty cell is an absent field.

The form is that of heat-pump-stats (flows/demo/data/heat-pump-stats): `time_utc` in ISO 8601, then any of COLUMNS;
other columns are ignored. Nothing in it says whether the compressor runs (`operation_mode` is what was asked for),
so `status.compressor` stays absent and the pipeline judges by power.

A recording on change says nothing while a value stays the same, for hours: its rule is "empty means hold". The
pipeline holds a value for 900 s, so a device that reports on change repeats each value before that; so do we.
"""

import csv
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from flows.errors import ConfigError

TIME_COLUMN = "time_utc"

REPEAT_MS = 600_000
"""An unchanged value is sent again with the first reading this long after it was sent last. [ms]"""

Payload = dict[str, Any]


class Sent(NamedTuple):
    """One reading: event time [ms since 1970, UTC] and its payload (docs/reference/mqtt.md), without timestamp."""

    at: int
    payload: Payload


class Survey(NamedTuple):
    """What a recording holds: how many readings, and the times of the first and the last. [ms since 1970, UTC]"""

    readings: int
    first: int
    last: int


class _Cell(Exception):
    """What a cell must be."""


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _Cell("must be a number, or empty for nothing reported")
    return value


def _flag(text: str) -> bool:
    if text not in ("ON", "OFF"):
        raise _Cell("must be ON or OFF, or empty for nothing reported")
    return text == "ON"


def _time(text: str) -> int:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise _Cell("must be a time such as 2024-10-10T05:01:00Z") from None
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)


COLUMNS: dict[str, tuple[str, str, Callable[[str], float | bool]]] = {
    "power_in_w": ("electrical", "power", _number),
    "immersion_power_w": ("electrical", "backup", _number),
    "flow_lpm": ("hydraulic", "flow", _number),
    "flow_temp_c": ("temperature", "outlet", _number),
    "return_temp_c": ("temperature", "inlet", _number),
    "outdoor_temp_c": ("temperature", "ambient", _number),
    "indoor_temp_c": ("temperature", "indoor", _number),
    "dhw_temp_c": ("temperature", "dhw", _number),
    "flow_setpoint_c": ("setpoint", "flow", _number),
    "room_setpoint_c": ("setpoint", "indoor", _number),
    "dhw_setpoint_c": ("setpoint", "dhw", _number),
    "three_way_valve_dhw": ("status", "dhw", _flag),
    "defrost": ("status", "defrost", _flag),
    "buh_step1": ("status", "backup", _flag),
    "buh_step2": ("status", "backup", _flag),
}
"""By column: group and key in the payload, and how its cells read. Two flags of one field: either is enough."""


def readings(path: Path, repeat_ms: int = REPEAT_MS) -> Iterator[Sent]:
    """Read a recording row by row; rows in which nothing was reported are left out.

    repeat_ms : see REPEAT_MS; 0: never.
    Raises ConfigError that names the file, the line and column, and what was expected.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            sent = _read(path.name, csv.reader(file, strict=True))
            yield from _repeated(sent, repeat_ms) if repeat_ms else sent
    except OSError as error:
        raise ConfigError("recording", str(path), f"cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError("recording", str(path), f"is no CSV file in UTF-8: {error}") from None


def survey(path: Path) -> Survey:
    """Read the whole recording once, so that a mistake in it shows before anything is sent. Raises ConfigError."""
    found, first, last = 0, 0, 0
    for sent in readings(path):
        found, first, last = found + 1, first or sent.at, sent.at
    if not found:
        raise ConfigError("recording", str(path), "has no row in which anything was reported")
    return Survey(found, first, last)


def _read(name: str, rows: Any) -> Iterator[Sent]:
    header = [column.strip() for column in next(rows, [])]
    known = [column for column in header if column in COLUMNS]
    if TIME_COLUMN not in header or not known:
        raise ConfigError(
            f"{name} line 1", ",".join(header)[:120], f"must name {TIME_COLUMN} and one of {', '.join(COLUMNS)}"
        )
    before = -1
    for row in rows:
        if not row:
            continue
        where = f"{name} line {rows.line_num}"
        if len(row) != len(header):
            raise ConfigError(where, len(row), f"cells, but the header names {len(header)} columns")
        cells = {column: cell.strip() for column, cell in zip(header, row, strict=True)}
        at = _cell(where, TIME_COLUMN, cells[TIME_COLUMN], _time)
        if at < before:
            raise ConfigError(
                f"{where}, column {TIME_COLUMN}",
                cells[TIME_COLUMN],
                "is before the row above it: sort the file by time",
            )
        before = at
        payload = _payload(where, {column: cells[column] for column in known if cells[column]})
        if payload:
            yield Sent(at, payload)


def _repeated(readings: Iterator[Sent], repeat_ms: int) -> Iterator[Sent]:
    """Add to each reading the values that were last sent too long ago."""
    known: dict[tuple[str, str], tuple[int, float | bool]] = {}
    for at, payload in readings:
        known.update(((group, key), (at, value)) for group in payload for key, value in payload[group].items())
        for (group, key), (sent, value) in known.items():
            if at - sent >= repeat_ms:
                payload.setdefault(group, {})[key] = value
                known[group, key] = (at, value)
        yield Sent(at, payload)


def _payload(where: str, cells: dict[str, str]) -> Payload:
    payload: Payload = {}
    for column, text in cells.items():
        group, key, read = COLUMNS[column]
        value, fields = _cell(where, column, text, read), payload.setdefault(group, {})
        fields[key] = value or fields.get(key, value) if read is _flag else value
    return payload


def _cell(where: str, column: str, text: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(text)
    except _Cell as why:
        raise ConfigError(f"{where}, column {column}", text, str(why)) from None
