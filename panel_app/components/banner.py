"""banner: what needs somebody, worst first; acknowledged alerts are quiet, cleared ones say goodbye.

What a device itself reported stands a day: it has no end.
"""

from collections.abc import Mapping

import msgspec
from markupsafe import Markup

from panel_app.components.device import Answer, bound_of, current, open_alerts, reported, site_zone, value
from panel_app.components.render import render
from panel_app.words import instant, lasting, limit, number, plain, said, shortened, when

CLEARED_FOR_MS = 600_000
"""How long a cleared alert is still told of. [ms]"""


class _Line(msgspec.Struct, frozen=True):
    id: str
    type: str
    level: str
    text: str
    acknowledged_by: str = ""


def banner(status: Answer, alerts: list[Answer], now_ms: int, may_ack: bool = True) -> Markup:
    """Draw a banner for each open alert and each type that the device reported, a notice for each that cleared.

    status : answer of /api/devices/{id}/status; limits and newest values are told from it.
    alerts : answer of /api/alerts of this device.
    now_ms : [ms since 1970, UTC]. may_ack: whether the reader may acknowledge.
    Says back: action "ack" with the alert's id.
    """
    standing = [_standing(current(status, now_ms), alert, now_ms) for alert in open_alerts(alerts)]
    over: dict[str, list[Answer]] = {}
    for alert in alerts:
        if _just_cleared(alert, now_ms):
            over.setdefault(str(alert["alert_type"]), []).append(alert)
    cleared = [_cleared(status, each, now_ms) for each in over.values()]
    notes = [_reported(status, each, now_ms) for each in reported(alerts, now_ms)]
    return render("banner", standing=standing, notes=notes, cleared=cleared, may_ack=may_ack)


def _standing(status: Answer, alert: Answer, now_ms: int) -> _Line:
    level, alert_type = str(alert["alert_level"]), str(alert["alert_type"])
    parts = []
    found = bound_of(status, alert_type)
    if found is None:
        parts.append(shortened(str(alert.get("message") or "")))
    else:
        field, _, bound = found
        newest = value(status, field)
        parts.append(said(field, newest if newest is not None else alert.get("value")))
        parts.append(_limit(field, bound, level))
    parts.append(f"since {when(instant(alert['since']), now_ms, site_zone(status))}")
    return _Line(
        id=str(alert["id"]),
        type=alert_type,
        level=level,
        text=", ".join(part for part in parts if part),
        acknowledged_by=str(alert.get("acknowledged_by") or ""),
    )


def _limit(field: str, bound: Mapping[str, float | None], level: str) -> str:
    threshold = bound.get(level)
    return "" if threshold is None else f"limit {limit(field, threshold)}"


def _reported(status: Answer, alerts: list[Answer], now_ms: int) -> _Line:
    """Tell the newest that the device reported of a type, whole: nothing else on the page says it."""
    newest = alerts[0]
    measured = newest.get("value")
    often = f"{number(len(alerts))} times, the last time " if len(alerts) > 1 else ""
    parts = (
        str(newest.get("message") or ""),
        "" if measured is None else f"value {plain(float(measured))}",
        f"reported by the device {often}at {when(instant(newest['time']), now_ms, site_zone(status))}",
    )
    return _Line(
        id=str(newest["id"]),
        type=str(newest["alert_type"]),
        level=str(newest["alert_level"]),
        text=", ".join(part for part in parts if part),
    )


def _just_cleared(alert: Answer, now_ms: int) -> bool:
    at = alert.get("cleared_at")
    return alert.get("state") == "cleared" and isinstance(at, str) and now_ms - instant(at) <= CLEARED_FOR_MS


def _cleared(status: Answer, alerts: list[Answer], now_ms: int) -> _Line:
    """Say goodbye to the alerts of one type at once: what flaps must not push the page off the screen."""
    last = max(alerts, key=lambda alert: instant(alert["cleared_at"]))
    at = instant(last["cleared_at"])
    lasted = lasting(max(at - instant(last["since"]), 0))
    often = f"{number(len(alerts))} times, the last time " if len(alerts) > 1 else ""
    return _Line(
        id=str(last["alert_type"]),
        type=str(last["alert_type"]),
        level="well",
        text=f"cleared {often}at {when(at, now_ms, site_zone(status))} after {lasted}",
    )
