"""Holds a store file against the oracle; reads it with plain SQL (docs/reference/store.md), nothing of `flows`."""

import sqlite3
from collections import Counter
from collections.abc import Set
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from tests.ledger.load import Event, Message, published
from tests.oracle import alerts, rollups
from tests.oracle.readings import FLAGS, Samples, derived, samples_of
from tests.packed import columns_of, unpacked

TIME_BITS = 43
HEAT_SOURCES = {0: "counter", 1: "measured", 2: "estimated", None: ""}
RESOLUTIONS = {"1m": "rollup_1m", "1h": "rollup_1h", "1d": "rollup_1d"}
OWN_COLUMNS = {"key", "ord", "late", "clock", "count", "heat_source", "body"}


class Expected(NamedTuple):
    """What must be stored of one device. published: how many readings were sent."""

    published: int
    samples: Samples
    rollups: dict[tuple[str, int], rollups.Row]
    transitions: dict[str, list[alerts.Change]]


def expected_of(messages: list[Message]) -> dict[str, Expected]:
    """Ask the oracle, device by device."""
    found = {}
    for device_id in sorted({message.device_id for message in messages}):
        readings = published(messages, device_id)
        samples = samples_of(readings).get(device_id, {})
        changes = alerts.transitions(readings).get(device_id, {})
        found[device_id] = Expected(len(readings), samples, rollups.rows(samples), changes)
    return found


class Verdict:
    """What was compared, and every difference in a sentence.

    counts: published, distinct, stored, lost, doubled, wrong, rollup rows, transitions, events.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.differences: list[str] = []

    @property
    def equal(self) -> bool:
        """Whether the store holds exactly what it must."""
        return not self.differences

    def differs(self, sentence: str) -> None:
        """Note a difference."""
        self.differences.append(sentence)


def compare(
    store: Path,
    expected: dict[str, Expected],
    events: list[Event],
    others: Set[str] = frozenset(),
    left: bool = False,
) -> Verdict:
    """Compare everything that must be stored with everything that is.

    others : devices that are somebody else's to compare.
    left   : the devices said at last that they go offline.
    """
    verdict = Verdict()
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
        db.row_factory = sqlite3.Row
        known = {row["device_id"]: row["device"] for row in db.execute("SELECT device_id, device FROM device")}
        for device_id in sorted(known.keys() - expected.keys() - others):
            verdict.differs(f"device {device_id} is stored, nobody published it")
        for device_id, wanted in expected.items():
            key = known.get(device_id, -1)
            verdict.counts.update({"published": wanted.published, "distinct": len(wanted.samples)})
            _compare_raw(verdict, db, device_id, key, wanted.samples)
            _compare_rollups(verdict, db, device_id, key, wanted.rollups)
            _compare_transitions(verdict, db, device_id, key, wanted.transitions, left)
        numbers = {number: device_id for device_id, number in known.items() if device_id not in others}
        _compare_events(verdict, db, numbers, events)
        query = "SELECT device_id, reason, sum(count) FROM dead_letter_count GROUP BY device_id, reason"
        for device_id, reason, count in db.execute(query):
            if device_id not in others:
                verdict.differs(f"{device_id}: {count} dead letters: {reason}")
    return verdict


def _rows_of(db: sqlite3.Connection, table: str, device: int) -> dict[int, dict[str, Any]]:
    """Rows of one device by time; columns without a value are left out."""
    span = (device << TIME_BITS, device + 1 << TIME_BITS)
    rows = db.execute(f"SELECT * FROM {table} WHERE key >= ? AND key < ?", span)
    columns = columns_of(db, table)
    return {
        row["key"] & (1 << TIME_BITS) - 1: {
            **{name: row[name] for name in row.keys() if row[name] is not None},
            **unpacked(columns, row["body"]),
        }
        for row in rows
    }


def _compare_raw(verdict: Verdict, db: sqlite3.Connection, device_id: str, device: int, samples: Samples) -> None:
    stored = _rows_of(db, "raw", device)
    verdict.counts.update({"stored": len(stored), "lost": len(samples.keys() - stored.keys())})
    verdict.counts["doubled"] += len(stored.keys() - samples.keys())
    for at in sorted(samples.keys() - stored.keys()):
        verdict.differs(f"{device_id}: the reading of {at} is lost")
    for at in sorted(stored.keys() - samples.keys()):
        verdict.differs(f"{device_id}: a reading of {at} is stored, none was published")
    for at in sorted(samples.keys() & stored.keys()):
        row = {name: value for name, value in stored[at].items() if name not in OWN_COLUMNS}
        sent = samples[at].keys() - derived(samples[at]).keys()
        wrong = [name for name in sorted(row.keys() | sent) if not _same(name, row, samples[at])]
        if wrong:
            verdict.counts["wrong"] += 1
            told = ", ".join(f"{name} {row.get(name)} for {samples[at].get(name)}" for name in wrong[:3])
            verdict.differs(f"{device_id}: the reading of {at} has {told}")


def _same(name: str, row: dict[str, Any], sample: dict[str, Any]) -> bool:
    """What was sent is kept exactly; what derives from it is not kept."""
    given, wanted = row.get(name), sample.get(name)
    if given is None or wanted is None:
        return False
    if name in FLAGS:
        return given in (0, 1) and bool(given) == wanted
    return bool(given == wanted)


def _compare_rollups(
    verdict: Verdict,
    db: sqlite3.Connection,
    device_id: str,
    device: int,
    expected: dict[tuple[str, int], rollups.Row],
) -> None:
    for resolution, table in RESOLUTIONS.items():
        stored = _rows_of(db, table, device)
        wanted = {start: row for (of, start), row in expected.items() if of == resolution}
        verdict.counts[f"{resolution} rows"] += len(wanted)
        for start in sorted(wanted.keys() - stored.keys()):
            verdict.differs(f"{device_id}: the {resolution} row of {start} is missing")
        for start in sorted(stored.keys() - wanted.keys()):
            verdict.differs(f"{device_id}: there is a {resolution} row of {start} that should not be")
        for start in sorted(wanted.keys() & stored.keys()):
            row = stored[start]
            columns = {name: value for name, value in row.items() if name not in OWN_COLUMNS}
            source = HEAT_SOURCES[row.get("heat_source")]
            for difference in rollups.differences(wanted[start], row["count"], columns, source):
                verdict.differs(f"{device_id}: {resolution} row of {start}: {difference}")


def _compare_transitions(
    verdict: Verdict,
    db: sqlite3.Connection,
    device_id: str,
    device: int,
    expected: dict[str, list[alerts.Change]],
    left: bool,
) -> None:
    stored: dict[str, list[alerts.Change]] = {}
    query = "SELECT * FROM alert_transition WHERE device = ? AND state != 'noted' ORDER BY ord"
    for row in db.execute(query, (device,)):
        change = alerts.Change(row["alert_type"], row["state"], row["level"], row["at"], row["value"])
        stored.setdefault(change.alert_type, []).append(change)
    offline = [change.state for change in stored.pop("device_offline", [])]
    if offline != ["raised"] * left:
        verdict.differs(f"{device_id}: device_offline is {offline}, and it {'left' if left else 'did not leave'}")
    for alert_type in sorted(stored.keys() | expected.keys()):
        given, wanted = stored.get(alert_type, []), expected.get(alert_type, [])
        verdict.counts["transitions"] += len(wanted)
        if given != wanted:
            first = next(
                n
                for n, pair in enumerate(zip([*given, None], [*wanted, None], strict=False))
                if pair[0] != pair[1]
            )
            told = f"{given[first : first + 1]}, expected {wanted[first : first + 1]}"
            verdict.differs(f"{device_id}: {alert_type}: transition {first} of {len(wanted)} is {told}")


def _compare_events(
    verdict: Verdict, db: sqlite3.Connection, numbers: dict[int, str], events: list[Event]
) -> None:
    rows = db.execute("SELECT * FROM alert_transition WHERE state = 'noted'")
    stored = Counter(
        Event(numbers[row["device"]], row["at"], row["value"]) for row in rows if row["device"] in numbers
    )
    verdict.counts["events"] += len(events)
    for event in sorted(stored.keys() | set(events)):
        if stored[event] != 1 or event not in events:
            verdict.differs(f"{event.device_id}: its own alert of {event.at} is noted {stored[event]} times")
