"""walk_facts: what the store and the flow know about the way of a device's readings."""

from collections.abc import Collection
from difflib import get_close_matches

import msgspec

from flows.errors import FlowDown, StoreError
from flows.flow_port import FlowPort
from flows.model.dead_letter import KEPT_PER_HOUR
from flows.model.times import HOUR_MS
from flows.queries.times import LATEST_MS
from flows.queries.walk import Facts, LinkState, Refusal, System
from flows.store.protocol import StoredDevice, StoreReader

LETTERS_LOOKED_AT = 20
"""Of a device's newest dead letters: those of its alerts and status lie between those of its data."""


class _Journal(msgspec.Struct):
    connected: bool = False
    problem: str = ""


class _Store(msgspec.Struct):
    waiting: str = ""


class _Pipeline(msgspec.Struct):
    journal: _Journal
    store: _Store
    backlog: int = 0
    behind_ms: int = 0


def system_of(flow: FlowPort, hears_broker: bool | None, options: str, shown_detail: str = "") -> System:
    """Ask the flow. hears_broker: whether the asker itself does, None where it does not try. See System."""
    if hears_broker is False:
        return System("broken", "the API is not subscribed at the broker", shown_detail=shown_detail)
    try:
        pipeline = msgspec.json.decode(flow.pipeline(), type=_Pipeline)
    except FlowDown as error:
        return System("broken", f"the flow {error.why}", shown_detail=shown_detail)
    except msgspec.MsgspecError:
        return System("broken", "the flow gives no answer that makes sense", shown_detail=shown_detail)
    state: LinkState = "ok" if pipeline.journal.connected else "broken"
    detail = "the flow is subscribed"
    if state == "broken":
        detail = f"the flow is not subscribed: {pipeline.journal.problem or 'not yet'}"
    return System(
        state,
        detail,
        store_waits=pipeline.store.waiting,
        shown_detail=shown_detail,
        backlog=pipeline.backlog,
        behind_ms=pipeline.behind_ms,
        options=options,
    )


def look(
    reader: StoreReader,
    device_id: str | None,
    system: System,
    now: int,
    timeout_ms: int,
    own: Collection[str] | None = None,
) -> tuple[System, Facts]:
    """Read the facts of a device, of None those of the one that spoke last. now: [ms since 1970, UTC]

    own : nothing is said of other devices than these, None for all.
    A store that cannot be read is a fact, too.
    """
    try:
        reader.ping()  # one that holds its answers back is found out in 2 s, by a question in 20
        return system, _facts(reader, device_id, now, timeout_ms, own)
    except StoreError as error:
        told = str(error).partition(";")[0]
        return msgspec.structs.replace(system, store_detail=told), Facts(now, timeout_ms, device_id or "")


def _facts(
    reader: StoreReader, device_id: str | None, now: int, timeout_ms: int, own: Collection[str] | None
) -> Facts:
    listed = reader.devices(with_latest=False)
    devices = [device for device in listed if own is None or device.device_id in own]
    refused = None
    if device_id is None:
        newest = max(devices, key=lambda device: device.last_seen, default=None)
        if own is not None and newest is None:
            device_id = min(own, default=None)
        elif own is None and (newest is None or not newest.last_seen):
            device_id, refused = _newest_refusal(reader, None, now)
        if newest is not None and not device_id:
            device_id = newest.device_id
    name = device_id or ""
    if name and refused is None:
        _, refused = _newest_refusal(reader, name, now)
    device = next((device for device in devices if device.device_id == name), None)
    if device is None:
        known = [device.device_id for device in devices]
        similar = [] if refused else get_close_matches(name, known, 3) if name else []
        return Facts(now, timeout_ms, name, refused=refused, nameless=_nameless(reader, now, own), similar=similar)
    return _registered(reader, device, refused, now, timeout_ms, own)


def _registered(
    reader: StoreReader,
    device: StoredDevice,
    refused: Refusal | None,
    now: int,
    timeout_ms: int,
    own: Collection[str] | None,
) -> Facts:
    name = device.device_id
    newest = reader.readings(name, 0, LATEST_MS, 1)
    offline = [
        alert.last.since
        for alert in reader.alerts(name, 0, LATEST_MS, 100, open_only=True)
        if alert.last.alert_type == "device_offline"
    ]
    return Facts(
        now,
        timeout_ms,
        name,
        device.online,
        offline[0] if offline else None,
        device.last_seen,
        newest[0].at if newest else None,
        refused,
        "" if device.last_seen or refused else _nameless(reader, now, own),
    )


def _newest_refusal(reader: StoreReader, device_id: str | None, now: int) -> tuple[str, Refusal | None]:
    """Find the newest refused data message; of None of any device that has a name."""
    for letter in reader.dead_letters(device_id, None, None, LETTERS_LOOKED_AT, None):
        if letter.device_id and letter.state != "retried" and (not letter.topic or letter.topic.endswith("/data")):
            counts = reader.dead_letter_counts(letter.device_id, now // HOUR_MS * HOUR_MS, now + 1)
            often = any(count.reason == letter.reason and count.count > KEPT_PER_HOUR for count in counts)
            return letter.device_id, Refusal(letter.arrived, letter.reason, letter.detail.rstrip("."), often)
    return "", None


def _nameless(reader: StoreReader, now: int, own: Collection[str] | None) -> str:
    """Topic of the newest message within an hour that named no device: for who may see all alone."""
    if own is not None:
        return ""
    letters = reader.dead_letters("", None, None, 1)
    return letters[0].topic[:80] if letters and now - letters[0].arrived <= HOUR_MS else ""
