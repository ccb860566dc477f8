"""bar: which device, find, whether the page is live, how many alerts are open."""

from datetime import UTC, datetime
from typing import Any

from panel_app.components.render import render


def bar(
    devices: list[dict[str, Any]],
    chosen: str,
    live: bool,
    heard_at: float,
    alerts: int,
    pages: list[tuple[str, str]],
    title: str = "",
) -> str:
    """Draw the living part of the app bar.

    devices  : of GET /api/devices.
    chosen   : a device id; "" or one that is not known stands beside the others all the same.
    heard_at : when something was heard last, 0 for never. [s since 1970]
    alerts   : how many are open.
    pages    : path and title of each.
    title    : of a page that is about no single device; it stands in place of the choice of one.
    """
    options = [(device["device_id"], _called(device)) for device in devices]
    if chosen and chosen not in (device_id for device_id, _ in options):
        options.insert(0, (chosen, chosen))
    return render(
        "bar",
        options=options,
        chosen=chosen or (options[0][0] if options else ""),
        live=live,
        heard=datetime.fromtimestamp(heard_at, UTC).strftime("%H:%M:%S UTC") if heard_at else "",
        alerts=alerts,
        pages=pages,
        title=title,
    )


def _called(device: dict[str, Any]) -> str:
    name = device.get("name")
    return f"{device['device_id']} · {name}" if name else str(device["device_id"])
