"""header: which device, what it is doing, whether it is heard, and what is known of it."""

from markupsafe import Markup

from panel_app.components.device import (
    CHIPS,
    Answer,
    activity,
    current,
    is_recording,
    is_simulated,
    is_stale,
    silent_ms,
)
from panel_app.components.render import render
from panel_app.words import age, number, shortened, with_unit

_MOST = 40


def header(status: Answer, now_ms: int) -> Markup:
    """Draw the title line.

    status : answer of /api/devices/{id}/status. now_ms : [ms since 1970, UTC].
    """
    attributes, metadata = status.get("attributes", {}), status.get("metadata", {})
    silent = silent_ms(status, now_ms)
    stale, recorded = is_stale(status, now_ms), is_recording(status)
    facts = [
        ("rssi", _signal(attributes.get("rssi"))),
        ("firmware", _short(attributes.get("version") or attributes.get("firmware_version"))),
        ("boundary", _short(metadata.get("spf_boundary"))),
        ("", _short(metadata.get("timezone"))),
    ]
    return render(
        "header",
        device_id=status["device_id"],
        name=metadata.get("name") or "",
        location=metadata.get("location") or "",
        chip=None if stale else CHIPS.get(activity(current(status, now_ms))),
        heard="recording" if recorded else "offline" if stale else "online",
        seen="no reading yet"
        if silent is None
        else f"{'newest reading' if recorded else 'last seen'} {age(silent)} ago",
        facts=[(name, text) for name, text in facts if text],
        simulated=is_simulated(status),
    )


def _signal(text: object) -> str:
    try:
        return with_unit(number(float(str(text))), "dBm")
    except ValueError:
        return ""


def _short(text: object) -> str:
    return shortened(str(text or "").strip(), _MOST)
