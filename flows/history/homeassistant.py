"""homeassistant: its database (home-assistant_v2.db, read-only, also while it runs), or a history export as CSV.

states are kept for days, written when they change; statistics are means of hours, kept for ever. `unavailable` and
`unknown` end what is held. Schema: home-assistant/core, recorder/db_schema.py, from 2023.4 on (metadata_id).
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import compress
from pathlib import Path

import numpy as np

from flows.errors import ConfigError
from flows.history.mapping import Mapping, Rule, not_there
from flows.history.points import BLOCK, Points, Series, ascending, newer
from flows.history.tally import Tally
from flows.history.times import TimeReader, refuse_undated
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
    return _rows(path, _STATES, "last_updated_ts", number, rule, tally)


def _statistics(path: Path, number: int, rule: Rule, tally: Tally) -> Series:
    """Read hours: a mean counts from its start, a counter stands at its end."""
    column = rule.use or ("state" if rule.is_counter else "mean")
    shift = HOUR_MS if column in ("state", "sum") else 0
    query = f"SELECT start_ts, {column} FROM statistics WHERE metadata_id = ? AND start_ts IS NOT NULL"
    for points in _rows(path, query, "start_ts", number, rule, tally):
        yield Points(points.at + shift, points.values)


def _rows(path: Path, query: str, column: str, number: int, rule: Rule, tally: Tally) -> Series:
    """Read the rows of an entity, those that have a time. column: the time's, in seconds."""
    seconds, done, newest = TimeReader("unix", "UTC"), 0, -1
    with _reading(path) as db:
        rows = db.execute(f"{query} ORDER BY {column}", (number,))
        while block := rows.fetchmany(BLOCK):
            times = [str(time) for time, _ in block]
            at = seconds.read(times)
            places = np.arange(done + 1, done + 1 + len(block))
            refuse_undated(at, times, places, f"{column} of {rule.field}", "unix", tally)
            texts = ["" if value is None else str(value) for _, value in compress(block, at >= 0)]
            tally.rows += len(block)
            done += len(block)
            points = ascending(at[at >= 0], rule.convert(rule.numbers(texts, tally), tally), rule.quantity, tally)
            points, newest = newer(points, newest, tally)
            yield points
