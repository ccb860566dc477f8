"""homeassistant: its database (home-assistant_v2.db, read-only, also while it runs), or a history export as CSV.

states are kept for days, written when they change; statistics are means of hours, kept for ever. `unavailable` and
`unknown` end what is held. Schema: home-assistant/core, recorder/db_schema.py, from 2023.4 on (metadata_id).
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from flows.errors import ConfigError
from flows.history.mapping import Mapping, Rule, not_there
from flows.history.points import BLOCK, Points, Series, ascending
from flows.history.tally import Tally
from flows.model.times import HOUR_MS

_IDS = {
    "states": "SELECT metadata_id FROM states_meta WHERE entity_id = ?",
    "statistics": "SELECT id FROM statistics_meta WHERE statistic_id = ?",
}
_STATES = "SELECT last_updated_ts, state FROM states WHERE metadata_id = ? AND last_updated_ts IS NOT NULL"


def is_database(path: Path) -> bool:
    """Tell a SQLite file from a text."""
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"


def series(path: Path, mapping: Mapping, tally: Tally) -> dict[str, Series]:
    """Open the entities that a mapping names, by quantity. Raises ConfigError for one that is not there."""
    table: str = mapping.source.table
    with _reading(path) as db:
        there = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if f"{table}_meta" not in there:
            allowed = f"has no {table}_meta: it is no database of Home Assistant 2023.4 or newer"
            raise ConfigError("source", str(path), allowed)
        found = {rule.quantity: _id_of(db, table, rule, mapping) for rule in mapping.rules}
    read = _states if table == "states" else _statistics
    return {rule.quantity: read(path, found[rule.quantity], rule, tally) for rule in mapping.rules}


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=10.0)) as db:
            yield db
    except sqlite3.Error as error:
        raise ConfigError("source", str(path), f"cannot be read as a SQLite file: {error}") from None


def _id_of(db: sqlite3.Connection, table: str, rule: Rule, mapping: Mapping) -> int:
    row = db.execute(_IDS[table], (rule.field,)).fetchone()
    if row is None:
        column = "entity_id" if table == "states" else "statistic_id"
        like = f"SELECT {column} FROM {table}_meta WHERE {column} LIKE '%sensor.%' ORDER BY 1"
        raise not_there(mapping, rule, f"has no {table}", (name for (name,) in db.execute(like)))
    return int(row[0])


def _states(path: Path, number: int, rule: Rule, tally: Tally) -> Series:
    with _reading(path) as db:
        rows = db.execute(f"{_STATES} ORDER BY last_updated_ts", (number,))
        newest = -1
        while block := rows.fetchmany(BLOCK):
            at = np.array([round(seconds * 1000) for seconds, _ in block], dtype=np.int64)
            values = rule.convert(rule.numbers([state or "" for _, state in block], tally))
            tally.rows += len(block)
            points = ascending(at, values, rule.quantity, tally)
            first = int(np.searchsorted(points.at, newest, "right"))
            newest = int(points.at[-1])
            yield Points(points.at[first:], points.values[first:])


def _statistics(path: Path, number: int, rule: Rule, tally: Tally) -> Series:
    """Read hours: a mean counts from its start, a counter stands at its end."""
    column = rule.use or ("state" if rule.is_counter else "mean")
    shift = HOUR_MS if column in ("state", "sum") else 0
    query = f"SELECT start_ts, {column} FROM statistics WHERE metadata_id = ? AND start_ts IS NOT NULL"
    with _reading(path) as db:
        rows = db.execute(f"{query} ORDER BY start_ts", (number,))
        while block := rows.fetchmany(BLOCK):
            at = np.array([round(seconds * 1000) + shift for seconds, _ in block], dtype=np.int64)
            values = np.array([np.nan if value is None else value for _, value in block], dtype=np.float64)
            tally.rows += len(block)
            yield ascending(at, rule.convert(values), rule.quantity, tally)
