"""bar: which device, find; whether the page is live."""

from datetime import UTC, datetime

from markupsafe import Markup

from panel_app.components.render import render


def bar(
    devices: list[tuple[str, str]], chosen: str, pages: list[tuple[str, str]], is_of_one: bool = True
) -> Markup:
    """Draw what can be chosen and found.

    devices   : id and name of each; the name "" where it has none.
    chosen    : a device id; "" or one that is not known stands beside the others all the same.
    pages     : path and title of each.
    is_of_one : whether the page is about one device, which can be chosen then.
    """
    options = [(device_id, f"{device_id} · {name}" if name else device_id) for device_id, name in devices]
    if chosen and chosen not in (device_id for device_id, _ in options):
        options.insert(0, (chosen, chosen))
    first = options[0][0] if options else ""
    return render("bar", options=options, chosen=chosen or first, pages=pages, is_of_one=is_of_one)


def pulse(live: bool, heard_at: float, failing: bool = False) -> Markup:
    """Draw whether the page is live.

    heard_at : when something was heard last, 0 for never. [s since 1970]
    failing  : whether the page itself cannot do all that it should.
    """
    heard = datetime.fromtimestamp(heard_at, UTC).strftime("%H:%M:%S UTC") if heard_at else ""
    return render("pulse", live=live, heard=heard, failing=failing)
