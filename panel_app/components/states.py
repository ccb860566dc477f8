"""states: what the page shows instead of itself, or above a part: one sentence, one action each."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from markupsafe import Markup

from panel_app.account import OWN, Account
from panel_app.components.device import Answer, activity, last_seen, site_zone, value
from panel_app.components.page_state import NEWEST, Failure, Refused, nearest
from panel_app.components.render import render
from panel_app.components.walk import walk
from panel_app.words import at, day, lasting, number, unit_of, value_of, when, with_unit


def loading(device_id: str, what: str = "24 hours") -> Markup:
    """Bones of the page; the page shows them once 150 ms have passed. Says back: action "cancel"."""
    return render("state_loading", sentence=f"Loading {what} of {device_id}." if device_id else "Loading.")


def first_run(simulator: str, answer: Answer | None, demo: bool = True, loads: bool = False) -> Markup:
    """No device yet. Says back: action "demo".

    simulator : a command line that makes a device speak; answer: of GET /api/walk.
    demo      : whether it can be loaded from here; else it is not offered. loads: that was asked for.
    """
    if loads:
        return render(
            "state_waiting",
            sentence="The demo is loading.",
            detail="Its devices appear by themselves.",
            whole=True,
        )
    drawn = walk(answer, waits=True, command=simulator)
    return render("state_first_run", simulator=simulator, demo=demo, walk=drawn)


def waiting(device_id: str) -> Markup:
    """A device that was announced a moment ago: that it has said nothing yet is no trouble."""
    return render(
        "state_waiting",
        sentence=f"{device_id} is known; waiting for the first reading.",
        detail="What it measures appears by itself.",
        whole=False,
    )


def nothing_yet(account: Account) -> Markup:
    """None of the devices that an account may see has sent anything."""
    return render(
        "state_waiting",
        sentence=f"None of the devices that {account.name} may see has sent anything yet.",
        detail=f"{account.name} may see {account.sees}; what is measured there appears by itself.",
        whole=True,
    )


def all_devices_alone(account: Account) -> Markup:
    """The page is about all devices, and the account may see some."""
    return render("state_all_devices_alone", name=account.name, sees=account.sees)


def unknown_device(
    device_id: str, devices: Sequence[Answer], refused: Refused | None = None, account: Account = OWN
) -> Markup:
    """The API knows no such device, or does not show it. Says back: action "device" with the id of a known one.

    refused : its messages that could not be read, None where there is none.
    """
    names = nearest(device_id, devices)
    first = names[0] if names else str(devices[0]["device_id"]) if devices else ""
    return render(
        "state_unknown_device",
        device_id=device_id,
        names=names,
        first=first,
        known=len(devices),
        refused=refused,
        account=account,
    )


def stale(status: Answer, now_ms: int, answer: Answer | None = None) -> Markup:
    """The device is silent: its values are from then. Says back: action "walk".

    answer : of GET /api/walk of this device, once it was asked for.
    """
    device_id, seen, zone = status["device_id"], last_seen(status), site_zone(status)
    if seen is None:
        sentence = f"{device_id} has not sent a reading yet."
    else:
        ago, moment = lasting(max(now_ms - seen, 0)), when(seen, now_ms, zone, seconds=True)
        sentence = f"{device_id} last spoke {ago} ago, at {moment}; the values are from then."
    values = [
        (label, value_of(field, value(status, field)), unit_of(field))
        for field, label in (("temp_outlet", "Flow"), ("power", "Power"), ("temp_inlet", "Return"))
        if value(status, field) is not None
    ]
    doing = activity(status)
    was = "" if doing == "unknown" else f"it was {'resting' if doing in ('off', 'standby') else doing}"
    return render("state_stale", sentence=sentence, values=values[:2], was=was, walk=walk(answer))


AWAY = "the store does not answer: "
"""How a problem of /api/health begins that says why."""


def store_down(
    now_ms: int,
    since_ms: int | None,
    waiting: int | None,
    zone: ZoneInfo,
    pipeline: bool = True,
    health: Answer | None = None,
) -> Markup:
    """The store does not answer. Says back: action "pipeline", which is offered to who may see that.

    since_ms : when it answered last, None where that is not known. [ms since 1970, UTC]
    waiting  : messages that wait in the journal (backlog of /api/pipeline), None where that is not known.
    health   : of /api/health, for who may know why.
    """
    why = [each.removeprefix(AWAY) for each in (health or {}).get("problems", []) if each.startswith(AWAY)]
    lasts, shown = "The store does not answer", "".join(why[:1])
    if since_ms is not None:
        lasts = f"The store has not answered for {lasting(now_ms - since_ms)}"
        shown = f"Charts and values are from {when(since_ms, now_ms, zone, True)}, when it last answered."
    kept = "" if waiting is None else f" Nothing is lost: {number(waiting)} messages wait in the journal."
    return render("state_store_down", sentence=f"{lasts}.{kept}", shown=shown, pipeline=pipeline)


def catching_up(
    now_ms: int, behind_ms: int, left: int, total: int, rate: float, shown_ms: int | None, zone: ZoneInfo
) -> Markup:
    """The pipeline reads what had waited. Says back: action "pipeline".

    behind_ms : of /api/pipeline. left, total: of the backlog when it began [frames]; rate: [frames/s].
    shown_ms  : event time of what is shown, None where it is not known. [ms since 1970, UTC]
    """
    done = max(total - left, 0)
    soon = f"; live again in about {lasting(max(left / rate, 1) * 1_000)}" if rate > 0 else ""
    return render(
        "state_catching_up",
        sentence=f"Replaying {lasting(behind_ms)} of backlog{soon}.",
        done=done,
        total=max(total, 1),
        progress=f"{number(done)} of {number(total)} messages",
        rate=f"{number(rate)}/s",
        shown="" if shown_ms is None else f"Values shown are from {when(shown_ms, now_ms, zone, seconds=True)}.",
    )


def no_data(device_id: str, start_ms: int, end_ms: int, nearest_ms: int | None, zone: ZoneInfo) -> Markup:
    """Nothing was sent in the span. Says back: action "go" with data-at, in ms; without a nearest one no action.

    nearest_ms : event time of the reading nearest to the span. [ms since 1970, UTC]
    """
    days = (end_ms - start_ms) // 86_400_000
    marks = [day(start_ms + (end_ms - start_ms) * part // 3, zone) for part in range(4)] if days >= 3 else []
    return render(
        "state_no_data",
        sentence=f"{device_id} sent nothing between {_plain(start_ms, end_ms, zone)}.",
        marks=marks,
        nearest_ms=nearest_ms,
        nearest=None if nearest_ms is None else day(nearest_ms, zone).split(" ", 1)[1],
    )


def parts_failed(
    failures: Sequence[Failure], now_ms: int, next_ms: int | None, zone: ZoneInfo, live: bool = True
) -> Markup:
    """Some parts could not be loaded, or done; the rest of the page stays. Says back: action "retry".

    next_ms : when it is tried again by itself. [ms since 1970, UTC]
    live    : whether what is new would be heard; else nothing on the page is called current.
    """
    again = "" if next_ms is None else f"Next try in {with_unit(number(max(next_ms - now_ms, 0) / 1_000), 's')}. "
    parts = [failure.part for failure in failures if not failure.alert]
    acknowledged = [failure.part for failure in failures if failure.alert]
    failed = [
        f"{_named(what)} could not be {done}"
        for what, done in ((parts, "loaded"), (acknowledged, "confirmed"))
        if what
    ]
    causes: dict[str, int] = {}
    for failure in failures:
        cause = f"the API answered {failure.status}" if failure.status else failure.detail
        causes[cause] = max(causes.get(cause, 0), failure.at)
    why = "; ".join(f"{cause} at {when(at, now_ms, zone, seconds=True)}" for cause, at in causes.items())
    later = "Should it come through yet, the alert says so. " if acknowledged else ""
    others = "The other figures on this page are current." if live and parts and NEWEST not in parts else ""
    sentence = f"{'; '.join(failed)}: {why}."
    return render(
        "state_part_failed",
        sentence=sentence[:1].upper() + sentence[1:],
        detail=f"{again}{later}{others}".strip(),
    )


def _named(parts: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part)


def _plain(start_ms: int, end_ms: int, zone: ZoneInfo) -> str:
    """Name a span: by its days where it is longer than one, else by its hours."""
    if end_ms - start_ms <= 86_400_000:
        return f"{day(start_ms, zone)} {at(start_ms, zone):%H:%M} and {day(end_ms, zone)} {at(end_ms, zone):%H:%M}"
    return f"{day(start_ms, zone)} and {day(end_ms, zone)}"
