"""Alert transitions, dead letters and what became of commands: written once, kept."""

from itertools import groupby

from flows.model.alert import Transition
from flows.model.command import CommandOutcome
from flows.model.dead_letter import KEPT_PER_HOUR, DeadLetter, LetterChange
from flows.model.times import HOUR_MS
from flows.store.sqlite.catalog import Catalog


def write_transitions(catalog: Catalog, changes: list[Transition]) -> None:
    """Add transitions, and say anew how their alerts stand."""
    catalog.db.executemany(
        "INSERT INTO alert_transition VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [
            (
                change.id,
                change.order,
                catalog.device(change.device_id),
                change.alert_type,
                change.at,
                change.arrived,
                change.level,
                change.state,
                change.value,
                change.message,
                change.since,
                change.by,
            )
            for change in changes
        ],
    )
    for alert_id in {change.id for change in changes}:
        update_alert(catalog, alert_id)


def update_alert(catalog: Catalog, alert_id: str) -> None:
    """Sum an alert's transitions up in its row of `alert`, or delete the row where none are left."""
    rows = catalog.db.execute(
        "SELECT device, ord, at, state, by FROM alert_transition WHERE id = ? ORDER BY ord", (alert_id,)
    ).fetchall()
    catalog.db.execute("DELETE FROM alert WHERE id = ?", (alert_id,))
    if not rows:
        return
    device, order, at, state, _ = rows[-1]
    catalog.db.execute(
        "INSERT INTO alert VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            alert_id,
            device,
            order,
            max(row[2] for row in rows),
            state not in ("cleared", "noted"),
            at if state == "cleared" else None,
            next((by for *_, was, by in reversed(rows) if was == "acknowledged"), ""),
        ),
    )


def write_dead_letters(catalog: Catalog, letters: list[DeadLetter]) -> None:
    """Count every letter once, and keep the first KEPT_PER_HOUR of a device, reason and hour."""
    db = catalog.db
    fresh = [letter for letter in letters if letter.arrived >= catalog.dead_letter_before]
    fresh.sort(key=lambda letter: (letter.device_id, letter.reason, letter.arrived // HOUR_MS, letter.order))
    for (device_id, reason, hour), group in groupby(
        fresh, key=lambda letter: (letter.device_id, letter.reason, letter.arrived // HOUR_MS * HOUR_MS)
    ):
        where = (device_id, reason, hour)
        newest, count = db.execute(
            "SELECT ord, count FROM dead_letter_count WHERE device_id = ? AND reason = ? AND hour = ?", where
        ).fetchone() or (-1, 0)
        for letter in group:
            if letter.order <= newest:
                continue
            newest, count = letter.order, count + 1
            if count <= KEPT_PER_HOUR:
                db.execute(
                    "INSERT INTO dead_letter (ord, device_id, topic, arrived, reason, detail, body, size)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (
                        letter.order,
                        device_id,
                        letter.topic,
                        letter.arrived,
                        reason,
                        letter.detail,
                        letter.payload,
                        letter.size,
                    ),
                )
        db.execute("INSERT OR REPLACE INTO dead_letter_count VALUES (?, ?, ?, ?, ?)", (*where, newest, count))


def write_letter_changes(catalog: Catalog, changes: list[LetterChange]) -> None:
    """Say how letters stand that commands were about, and what became of those commands.

    A closed letter stays as it is; a letter that is not there (any more) does not come back.
    """
    for change in sorted(changes, key=lambda change: change.order):
        done, closed = change.outcome, change.state != "open"
        tried = change.state != "dropped"
        catalog.db.execute(
            "UPDATE dead_letter SET state = ?, attempts = ?, tried_at = iif(?, ?, tried_at),"
            " last_reason = iif(?, ?, last_reason), last_detail = iif(?, ?, last_detail),"
            " resolved_by = ?, resolved_at = ? WHERE ord = ? AND state = 'open' AND attempts <= ?",
            (
                *(change.state, change.attempt, tried, done.at),
                *(not closed, change.reason, not closed, change.detail),
                *(done.by if closed else "", done.at if closed else None),
                *(change.letter_id, change.attempt),
            ),
        )
    write_outcomes(catalog, [change.outcome for change in changes])


def write_outcomes(catalog: Catalog, outcomes: list[CommandOutcome]) -> None:
    """Keep what became of commands; the first outcome of an id stands."""
    catalog.db.executemany(
        "INSERT INTO command VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [
            (done.id, done.seq, done.by, done.at, done.name, done.body, done.outcome, done.detail)
            for done in outcomes
        ],
    )
