"""Samples as other systems keep them: what tests read back, and what docs/how-to/import was made with."""

import csv
import gzip
import json
import sqlite3
import struct
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

Column = Mapping[int, float | str]
"""Values by event time. [ms since 1970, UTC]"""


def iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at % 1000:03d}Z"


def write_phpfina(folder: Path, feed: int, start_s: int, interval_s: int, values: list[float]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{feed}.meta").write_bytes(struct.pack("<4I", 0, 0, start_s, interval_s))
    (folder / f"{feed}.dat").write_bytes(struct.pack(f"<{len(values)}f", *values))


def write_phptimeseries(folder: Path, feed: int, points: Column) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    records = (struct.pack("<xIf", at // 1000, value) for at, value in points.items())
    (folder / f"feed_{feed}.MYD").write_bytes(b"".join(records))


def write_feeds(folder: Path, names: dict[int, str]) -> None:
    feeds = [{"id": str(feed), "tag": "heatpump", "name": name} for feed, name in names.items()]
    (folder / "feeds.json").write_text(json.dumps(feeds, indent=1) + "\n")


def write_homeassistant(path: Path, states: Mapping[str, Column], hours: Mapping[str, list[tuple]] = {}) -> None:
    """A database with the tables of Home Assistant 2023.4 and newer; hours: (start [ms], mean, state) each."""
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(
            """
            CREATE TABLE states_meta (metadata_id INTEGER PRIMARY KEY, entity_id VARCHAR(255));
            CREATE TABLE states (state_id INTEGER PRIMARY KEY, entity_id CHAR(0), state VARCHAR(255),
              last_changed_ts FLOAT, last_updated_ts FLOAT, metadata_id INTEGER);
            CREATE INDEX ix_states_metadata_id_last_updated_ts ON states (metadata_id, last_updated_ts);
            CREATE TABLE statistics_meta (id INTEGER PRIMARY KEY, statistic_id VARCHAR(255), source VARCHAR(32),
              unit_of_measurement VARCHAR(255), has_mean BOOLEAN, has_sum BOOLEAN, name VARCHAR(255));
            CREATE TABLE statistics (id INTEGER PRIMARY KEY, metadata_id INTEGER, start_ts FLOAT, mean FLOAT,
              min FLOAT, max FLOAT, state FLOAT, sum FLOAT);
            """
        )
        for number, (entity, points) in enumerate(states.items(), 1):
            db.execute("INSERT INTO states_meta VALUES (?, ?)", (number, entity))
            db.executemany(
                "INSERT INTO states (state, last_updated_ts, metadata_id) VALUES (?, ?, ?)",
                [(str(value), at / 1000, number) for at, value in points.items()],
            )
        for number, (entity, rows) in enumerate(hours.items(), 1):
            db.execute("INSERT INTO statistics_meta (id, statistic_id) VALUES (?, ?)", (number, entity))
            db.executemany(
                "INSERT INTO statistics (metadata_id, start_ts, mean, state) VALUES (?, ?, ?, ?)",
                [(number, at / 1000, mean, state) for at, mean, state in rows],
            )


def write_history_export(path: Path, states: Mapping[str, Column]) -> None:
    """What Home Assistant's history page downloads: entity by entity."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["entity_id", "state", "last_changed"])
        for entity, points in states.items():
            writer.writerows([entity, value, iso(at)] for at, value in points.items())


def write_annotated(path: Path, fields: Mapping[str, Column], measurement: str, **tags: str) -> None:
    """What `influx query --raw` writes: a table a field."""
    names = ["_start", "_stop", "_time", "_value", "_field", "_measurement", *tags]
    with path.open("w", newline="") as file:
        for table, (field, points) in enumerate(fields.items()):
            kind = "boolean" if all(value in ("true", "false") for value in points.values()) else "double"
            times = "dateTime:RFC3339," * 3
            file.write(f"#datatype,string,long,{times}{kind},string,string{',string' * len(tags)}\r\n")
            file.write(f"#group,false,false,true,true,false,false,true,true{',true' * len(tags)}\r\n")
            file.write(f"#default,_result{',' * (len(names) + 1)}\r\n,result,table,{','.join(names)}\r\n")
            ends = f"{iso(min(points))},{iso(max(points))}"
            for at, value in points.items():
                rest = ",".join([field, measurement, *tags.values()])
                file.write(f",,{table},{ends},{iso(at)},{value},{rest}\r\n")
            file.write("\r\n")


def write_lines(path: Path, fields: Mapping[str, Column], measurement: str, **tags: str) -> None:
    """Line protocol as `influxd inspect export-lp` writes it: field by field, nanoseconds, gzipped."""
    series = ",".join([measurement, *(f"{name}={value}" for name, value in tags.items())])
    with gzip.open(path, "wt") as file:
        for field, points in fields.items():
            for at, value in points.items():
                file.write(f"{series} {field}={value} {at}000000\n")
