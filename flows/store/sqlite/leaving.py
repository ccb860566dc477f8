"""What leaves the store: forgotten devices, and rows that retention no longer covers."""

from flows.model.rows import Forget, Retain
from flows.model.times import HOUR_MS
from flows.store.sqlite.catalog import Catalog
from flows.store.sqlite.events import update_alert
from flows.store.sqlite.schema import END_OF_TIME, ROLLUP_TABLES, span_keys


def forget(catalog: Catalog, requests: list[Forget]) -> None:
    """Delete everything of devices up to an order, and remember it: a replay brings nothing back."""
    for request in requests:
        if catalog.forgotten.get(request.device_id, -1) >= request.order:
            continue
        catalog.forgotten[request.device_id] = request.order
        catalog.db.execute("INSERT OR REPLACE INTO forgotten VALUES (?, ?)", (request.device_id, request.order))
        for table in ("dead_letter", "dead_letter_count"):
            catalog.db.execute(
                f"DELETE FROM {table} WHERE device_id = ? AND ord <= ?", (request.device_id, request.order)
            )
        device = catalog.known_device(request.device_id)
        if device is not None:
            _forget(catalog, device, request)


def _forget(catalog: Catalog, device: int, request: Forget) -> None:
    db, order = catalog.db, request.order
    span = (*span_keys(device, 0, END_OF_TIME), order)
    gone = db.execute("DELETE FROM raw WHERE key >= ? AND key < ? AND ord <= ?", span).rowcount
    db.execute("UPDATE tally SET readings = readings - ?", (gone,))
    for table in ROLLUP_TABLES.values():
        db.execute(f"DELETE FROM {table} WHERE key >= ? AND key < ? AND ord <= ?", span)
    for table in ("latest", "attribute", "episode"):
        db.execute(f"DELETE FROM {table} WHERE device = ? AND ord <= ?", (device, order))
    alerts = db.execute("SELECT id FROM alert WHERE device = ?", (device,)).fetchall()
    db.execute("DELETE FROM alert_transition WHERE device = ? AND ord <= ?", (device, order))
    for (alert_id,) in alerts:
        update_alert(catalog, alert_id)
    for part in ("online", "last_seen", "metadata"):
        db.execute(
            f"UPDATE device SET {part} = NULL, {part}_ord = NULL WHERE device = ? AND {part}_ord <= ?",
            (device, order),
        )
    db.execute("DELETE FROM retained WHERE device_id = ?", (request.device_id,))
    catalog.raw_before.pop(request.device_id, None)
    catalog.minute_before.pop(request.device_id, None)
    if _nothing_left(catalog, device):
        catalog.drop_device(request.device_id)


def _nothing_left(catalog: Catalog, device: int) -> bool:
    keyed = " OR ".join(
        f"EXISTS (SELECT 1 FROM {table} WHERE key >= :first AND key < :last)"
        for table in ("raw", *ROLLUP_TABLES.values())
    )
    by_device = " OR ".join(
        f"EXISTS (SELECT 1 FROM {table} WHERE device = :device)"
        for table in ("latest", "attribute", "alert", "episode")
    )
    parts = "coalesce(online_ord, last_seen_ord, metadata_ord) IS NOT NULL"
    first, last = span_keys(device, 0, END_OF_TIME)
    bounds = {"device": device, "first": first, "last": last}
    (left,) = catalog.db.execute(
        f"SELECT {parts} OR {keyed} OR {by_device} FROM device WHERE device = :device", bounds
    ).fetchone()
    return not left


def retain(catalog: Catalog, requests: list[Retain]) -> None:
    """Delete raw and minute rows of devices, or dead letters, before a time; remember the times."""
    for request in requests:
        if request.device_id:
            _retain_device(catalog, request)
        else:
            _retain_dead_letters(catalog, request.dead_letter_before)
    catalog.db.executemany(
        "INSERT INTO retained VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " raw_before = max(raw_before, excluded.raw_before),"
        " minute_before = max(minute_before, excluded.minute_before),"
        " dead_letter_before = max(dead_letter_before, excluded.dead_letter_before)",
        [(r.device_id, r.raw_before, r.minute_before, r.dead_letter_before) for r in requests],
    )


def _retain_device(catalog: Catalog, request: Retain) -> None:
    device_id = request.device_id
    catalog.raw_before[device_id] = max(request.raw_before, catalog.raw_before.get(device_id, 0))
    catalog.minute_before[device_id] = max(request.minute_before, catalog.minute_before.get(device_id, 0))
    device = catalog.known_device(device_id)
    if device is None:
        return
    db, between = catalog.db, "WHERE key >= ? AND key < ?"
    gone = db.execute(f"DELETE FROM raw {between}", span_keys(device, 0, request.raw_before)).rowcount
    db.execute("UPDATE tally SET readings = readings - ?", (gone,))
    db.execute(f"DELETE FROM rollup_1m {between}", span_keys(device, 0, request.minute_before))


def _retain_dead_letters(catalog: Catalog, before: int) -> None:
    catalog.dead_letter_before = max(before, catalog.dead_letter_before)
    catalog.db.execute("DELETE FROM dead_letter WHERE arrived < ?", (before,))
    catalog.db.execute("DELETE FROM dead_letter_count WHERE hour <= ?", (before - HOUR_MS,))
