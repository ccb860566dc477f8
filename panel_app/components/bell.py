"""bell: how many alerts stand on all devices, and which."""

from collections.abc import Mapping

import msgspec
from markupsafe import Markup

from panel_app.components.device import Answer, open_alerts
from panel_app.components.render import render
from panel_app.words import instant, lasting

MOST_LISTED, MOST_COUNTED = 20, 99


class _Line(msgspec.Struct, frozen=True):
    id: str
    device_id: str
    called: str
    type: str
    level: str
    lasts: str
    acknowledged_by: str


def bell(alerts: list[Answer] | None, names: Mapping[str, str], now_ms: int, most: int) -> Markup:
    """Draw the bell and the list that it opens, worst first; each line leads to its device.

    alerts : the open ones of all devices; None while they are not known.
    names  : by device id, "" where it has none.
    now_ms : [ms since 1970, UTC].
    most   : the API was asked for no more alerts than that: as many can be more.
    """
    standing = open_alerts(alerts or [])
    return render(
        "bell",
        known=alerts is not None,
        count=len(standing),
        badge=f"{MOST_COUNTED}+" if len(standing) > MOST_COUNTED else str(len(standing)),
        lines=[_line(alert, names, now_ms) for alert in standing[:MOST_LISTED]],
        unlisted=len(standing) - MOST_LISTED,
        or_more=len(standing) >= most,
    )


def _line(alert: Answer, names: Mapping[str, str], now_ms: int) -> _Line:
    device_id = str(alert["device_id"])
    name = names.get(device_id, "")
    return _Line(
        id=str(alert["id"]),
        device_id=device_id,
        called=f"{device_id} · {name}" if name else device_id,
        type=str(alert["alert_type"]),
        level=str(alert["alert_level"]),
        # Sites have clocks of their own: how long it stands is the same for all.
        lasts=lasting(max(now_ms - instant(alert["since"]), 0)),
        acknowledged_by=str(alert.get("acknowledged_by") or ""),
    )
