"""Reading alerts as they stand."""

import sqlite3
from typing import Any

from flows.model.alert import Transition
from flows.store.protocol import StoredAlert

_SELECT = """
SELECT t.id, t.ord, device_id, t.alert_type, t.at, t.arrived, t.level, t.state, t.value, t.message, t.since, t.by,
       a.cleared_at, a.acknowledged_by
FROM alert a JOIN alert_transition t ON t.id = a.id AND t.ord = a.ord JOIN device d ON d.device = a.device
"""


def select(
    db: sqlite3.Connection, device_id: str | None, start: int, end: int, limit: int, open_only: bool
) -> list[StoredAlert]:
    """Read alerts with a transition in [start, end), the one that changed last first."""
    where = """a.at >= :start AND (a.at < :end OR EXISTS (
        SELECT 1 FROM alert_transition x WHERE x.id = a.id AND x.at >= :start AND x.at < :end))"""
    if device_id is not None:
        where += " AND a.device = (SELECT device FROM device WHERE device_id = :device_id)"
    if open_only:
        where += " AND a.open = 1"
    rows = db.execute(
        f"{_SELECT} WHERE {where} ORDER BY a.at DESC, a.ord DESC LIMIT {limit:d}",
        {"start": start, "end": end, "device_id": device_id},
    )
    return [_alert(row) for row in rows]


def select_one(db: sqlite3.Connection, alert_id: str) -> StoredAlert | None:
    """Read one alert, or None."""
    row = db.execute(f"{_SELECT} WHERE a.id = ?", (alert_id,)).fetchone()
    return _alert(row) if row else None


def _alert(row: tuple[Any, ...]) -> StoredAlert:
    *transition, cleared_at, acknowledged_by = row
    return StoredAlert(Transition(*transition), cleared_at, acknowledged_by)
