"""decode: journal frames to readings, status, device alerts; what cannot be read is a dead letter.

In     Frame (messages), Tick, Command, Start
Out    items  Reading, Status, DeviceAlert, and the other kinds as they came
       dead   LetterChange of a letter that is refused again;
              DeadLetter bad_topic, bad_device_id, too_large, not_json, not_an_object, empty, device_mismatch,
              too_many_readings, bad_status, bad_alert, internal (a mistake of ours that the message met)
       rows   CommandOutcome of a command nobody knows, LetterChange of a letter that is closed here
State  ids of the newest commands, so that a repeated one has one effect; letters they were about (letters.py)
"""

import json
import logging
from collections import Counter
from functools import lru_cache
from typing import Any

import msgspec

from flows.model.alert import Level
from flows.model.cells import NOTHING, TREE, Tree
from flows.model.command import Command, refused
from flows.model.dead_letter import KEPT_BYTES, DeadLetter
from flows.model.device import DEVICE_ID
from flows.model.frame import Frame
from flows.model.quantities import Quantity
from flows.model.reading import (
    EARLIEST_MS,
    FUTURE_MS,
    MAX_READINGS,
    ORDER_STEP,
    Array,
    DeviceAlert,
    Reading,
    Status,
    elements,
    finite,
)
from flows.nodes import letters
from flows.nodes.payload import (
    Known,
    cells_of,
    decode_payload,
    decode_payloads,
    is_plain,
    levels_of,
    untrusted,
)
from flows.nodes.ports import Keyed, Node, Ports, Snapshot

MAX_STATUS_CHARS = 1_000
LONGEST_INTEGER = 310
"""Digits and sign: no float holds more."""
KNOWN_COMMANDS = ("alert_ack", "device_put", "device_forget", "retain")
_REMEMBERED_COMMANDS = 1_000
_ONLINE = {"true": True, "1": True, "online": True, "false": False, "0": False, "offline": False}
_LEVELS: tuple[Level, ...] = ("warning", "critical")
_TOPICS = 32_768
_EXACT = 2**53
"""Whole numbers below it are floats, too."""

log = logging.getLogger("heatpump.decode")

_decode = msgspec.json.Decoder().decode
_known_levels, _known_untrusted = Known(levels_of), Known(untrusted)


class Refused(Exception):
    """Why one message or reading becomes a dead letter: a word and a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def parse_reading(
    raw: bytes | Array, device_id: str, order: int, frame: Frame, payload: Any | None, removed: Counter[str]
) -> Reading:
    """Read one JSON object.

    raw     : it, or the array that it is part of.
    payload : what `decode_payload` found; else values are as sent, of any type.
    removed : why groups of values were left out is added to it; what is in them is for `validate` to judge.
    Raises Refused: not_json, not_an_object, empty, device_mismatch.
    """
    if payload is None or not (cells := cells_of(payload)):
        return _field_by_field(raw, device_id, order, frame, removed)
    try:
        levels, invalid = _known_levels(payload.alerts), _known_untrusted(payload.valid)
    except (msgspec.DecodeError, RecursionError):
        return _field_by_field(raw, device_id, order, frame, removed)
    named, timestamp, boot_id, number = payload.device, payload.timestamp, payload.boot_id, payload.seq
    version = payload.firmware_version if payload.version is None else payload.version
    if named is not None and named != device_id:
        raise _misnamed(named, device_id)
    return Reading(
        device_id,
        order,
        frame.arrived,
        cells,
        0,
        "device",
        float(timestamp) if type(timestamp) is int and 0 <= timestamp < _EXACT else finite(timestamp),
        boot_id if boot_id is None else _boot_id(boot_id),
        number if number is None else _number(number),
        version[:64] if isinstance(version, str) else None,
        levels,
        invalid,
        frame.retain,
        raw,
    )


def _field_by_field(
    raw: bytes | Array, device_id: str, order: int, frame: Frame, removed: Counter[str]
) -> Reading:
    """Read one JSON object of any shape; its values are as sent."""
    raw, fields = _fields(raw if isinstance(raw, bytes) else raw.text(order % ORDER_STEP))
    sent: dict[str, Any] = {}
    wrong = _collect(fields, TREE, sent)
    get = fields.get
    named = get("device")
    if named is not None and named != device_id:
        raise _misnamed(named, device_id)
    if wrong:
        removed["wrong type"] += wrong
    version = get("firmware_version") if get("version") is None else get("version")
    return Reading(
        device_id,
        order,
        frame.arrived,
        NOTHING,
        timestamp=finite(get("timestamp")),
        boot_id=_boot_id(get("boot_id")),
        number=_number(get("seq")),
        version=version[:64] if isinstance(version, str) else None,
        levels=levels_of(get("alerts")),
        invalid=untrusted(get("valid")),
        retained=frame.retain,
        raw=raw,
        sent=sent,
    )


def _misnamed(named: object, device_id: str) -> Refused:
    return Refused("device_mismatch", f"the payload names device {named!r:.80}, the topic {device_id!r}")


def _boot_id(sent: object) -> str | None:
    return f"{sent}"[:64] if isinstance(sent, str) or finite(sent) is not None else None


def _number(sent: object) -> int | None:
    return sent if type(sent) is int and 0 <= sent < _EXACT else None


def _fields(raw: bytes) -> tuple[bytes, dict[str, Any]]:
    """Read any JSON object: its text, without what no JSON may hold, and its fields."""
    try:
        fields = _object(_decode(raw))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        fields = _object(_parse_leniently(raw))
        raw = msgspec.json.encode(fields)
    if not fields:
        raise Refused("empty", "the reading has no fields")
    return raw, fields


def _object(payload: Any) -> dict[str, Any]:
    if not isinstance(payload, dict):
        raise Refused("not_an_object", f"a JSON object is needed, not {type(payload).__name__}")
    return payload


def _parse_leniently(raw: bytes) -> Any:
    """Read JSON with NaN, 1e999, endless digits or half a surrogate pair in it: that becomes null or �."""
    try:
        return _cleaned(json.loads(raw, parse_int=_integer))
    except RecursionError:
        raise Refused("not_json", "the JSON is nested too deeply") from None
    except ValueError as error:
        raise Refused("not_json", f"not JSON: {str(error)[:120]}") from None


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= LONGEST_INTEGER else None


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_cleaned(key): _cleaned(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_cleaned(inner) for inner in value]
    return value if value is None or isinstance(value, bool) or finite(value) is not None else None


def _collect(payload: dict[str, Any], tree: Tree, values: dict[str, Any]) -> int:
    """Collect the values of a payload, by quantity; give how many groups are no objects."""
    wrong = 0
    for key, part in tree.items():
        value = payload.get(key)
        if value is None:
            continue
        if isinstance(part, Quantity):
            values[part.name] = value
        elif isinstance(value, dict):
            wrong += _collect(value, part, values)
        else:
            wrong += 1
    return wrong


def parse_readings(frame: Frame) -> list[tuple[int, bytes]]:
    """Split a data message into its readings: (order, JSON bytes) each, oldest first.

    Raises Refused: not_json, empty, too_many_readings.
    """
    payload, first = frame.payload, frame.seq * ORDER_STEP
    if not payload.lstrip()[:1] == b"[":
        return [(first, payload)]
    try:
        parts = [bytes(part) for part in elements(payload)]
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        array = _parse_leniently(payload)
        if not isinstance(array, list):
            raise Refused("not_json", "not a JSON array") from None
        parts = [msgspec.json.encode(part) for part in array[: MAX_READINGS + 1]]
    if not parts:
        raise Refused("empty", "the array has no readings")
    if len(parts) > MAX_READINGS:
        raise Refused("too_many_readings", f"more than {MAX_READINGS} readings in one message")
    return [(first + index, part) for index, part in enumerate(parts)]


@lru_cache(_TOPICS)
def split_topic(topic: str) -> tuple[str, str, str]:
    """Split a topic: the device's id, "" if it is none; data, alerts, status or ""; the name of a status."""
    root, _, rest = topic.partition("/")
    device_id, _, kind = rest.partition("/")
    name, _, detail = kind.partition("/")
    kind = name if kind in ("data", "alerts") or (name == "status" and detail) else ""
    return device_id if DEVICE_ID.fullmatch(device_id) else "", kind if root == "heatpump" else "", detail


def parse_status(frame: Frame, device_id: str, name: str) -> Status:
    """Read a status message. Raises Refused: bad_status."""
    try:
        text = frame.payload.decode().strip()
    except UnicodeDecodeError:
        raise Refused("bad_status", f"status/{name:.80} is not UTF-8 text") from None
    value: str | bool = text[:MAX_STATUS_CHARS]
    if name == "online":
        online = _ONLINE.get(text.lower())
        if online is None:
            raise Refused("bad_status", f"status/online is {text[:40]!r}; true, false, 1, 0, online or offline")
        value = online
    elif not name or len(name) > 64:
        raise Refused("bad_status", "the status has no name or one longer than 64 characters")
    return Status(device_id, frame.seq * ORDER_STEP, frame.arrived, name, value, frame.retain)


def parse_alert(frame: Frame, device_id: str) -> DeviceAlert:
    """Read an alert that a device raised itself. Raises Refused: not_json, not_an_object, bad_alert."""
    body = _object(_parse_leniently(frame.payload))
    alert_type, level, value, message = (body.get(key) for key in ("type", "level", "value", "message"))
    if not isinstance(alert_type, str) or not 0 < len(alert_type) <= 64:
        raise Refused("bad_alert", f"type is {alert_type!r:.60}; a text of 1 to 64 characters is needed")
    if level not in _LEVELS:
        raise Refused("bad_alert", f"level is {level!r:.60}; warning or critical is allowed")
    sent = finite(body.get("timestamp"))
    plausible = sent is not None and EARLIEST_MS <= sent <= frame.arrived + FUTURE_MS
    return DeviceAlert(
        device_id,
        frame.seq * ORDER_STEP,
        frame.arrived,
        int(sent) if sent is not None and plausible else frame.arrived,
        alert_type,
        level,
        finite(value),
        message[:500] if isinstance(message, str) else "",
    )


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to set."""


class _None(msgspec.Struct):
    """decode keeps nothing per device."""


class _Shared(msgspec.Struct):
    """commands: ids of the newest, oldest first. letters: what those on dead letters had seen, see letters.py."""

    commands: dict[str, None] = {}
    letters: dict[int, int] = {}


class Decode(Keyed[_None, _Shared]):
    """See the module."""

    def __init__(self, params: Params, snapshot: Snapshot | None) -> None:
        super().__init__(1, _None, _Shared, snapshot)

    def on_items(self, items: list[Any], out: Ports) -> None:
        """Decode every message; pass the rest on."""
        passed, dead = out["items"], out["dead"]
        for item in items:
            if type(item) is Frame:
                self._message(item, passed, dead)
            elif type(item) is Command:
                self._command(item, passed, out)
            else:
                passed.append(item)

    def _message(self, frame: Frame, passed: list[Any], dead: list[DeadLetter]) -> None:
        device_id, kind, detail = split_topic(frame.topic)
        try:
            if kind == "data" and device_id and not frame.original_bytes:
                self._data(frame, device_id, passed, dead)
                return
            if not kind:
                raise Refused("bad_topic", "the topic is none of heatpump/{id}/data, status/…, alerts")
            if not device_id:
                raise Refused("bad_device_id", "a device id is 1 to 64 letters, digits, _ . -")
            if frame.original_bytes:
                raise Refused("too_large", f"{frame.original_bytes} bytes; a message may have 256 kB at most")
            if kind == "alerts":
                passed.append(parse_alert(frame, device_id))
            else:
                passed.append(parse_status(frame, device_id, detail))
        except Exception as error:
            if kind == "data":
                self.counts.update(("received", "dead readings"))
            dead.append(_letter(frame, device_id, frame.seq * ORDER_STEP, _why(error), frame.payload))

    def _data(self, frame: Frame, device_id: str, passed: list[Any], dead: list[DeadLetter]) -> None:
        text = frame.payload
        if text[:1] == b"{":  # one reading; `_message` makes a letter of what is refused
            payload = decode_payload(text) if is_plain(text) else None
            passed.append(parse_reading(text, device_id, frame.seq * ORDER_STEP, frame, payload, self.counts))
            self.counts["received"] += 1
            return
        parts = self._parts(frame)
        for order, raw, payload in parts:
            try:
                passed.append(parse_reading(raw, device_id, order, frame, payload, self.counts))
            except Exception as error:
                part = raw if isinstance(raw, bytes) else raw.text(order % ORDER_STEP)
                dead.append(_letter(frame, device_id, order, _why(error), part))
                self.counts["dead readings"] += 1
        self.counts["received"] += len(parts)

    def _parts(self, frame: Frame) -> list[tuple[int, bytes | Array, Any | None]]:
        """Split a data message: the order of each reading, its JSON, and what was decoded at once, if anything."""
        text = frame.payload
        plain = is_plain(text)
        payloads = decode_payloads(text) if plain and text.lstrip()[:1] == b"[" else None
        if payloads and len(payloads) <= MAX_READINGS:
            array = Array(text, len(payloads))
            return [(order, array, payload) for order, payload in enumerate(payloads, frame.seq * ORDER_STEP)]
        return [(order, raw, decode_payload(raw) if plain else None) for order, raw in parse_readings(frame)]

    def _command(self, command: Command, passed: list[Any], out: Ports) -> None:
        seen = self.shared.commands
        if command.id in seen:
            self.counts["repeated commands"] += 1
            return
        seen[command.id] = None
        if len(seen) > _REMEMBERED_COMMANDS:
            del seen[next(iter(seen))]
        if command.name in KNOWN_COMMANDS:
            passed.append(command)
        elif command.name in letters.LETTER_COMMANDS:
            letters.carry_out(command, self.shared.letters, self._message, out)
        else:
            out["rows"].append(refused(command, f"no command is called {command.name!r:.60}"))


def _why(error: Exception) -> Refused:
    """Name the reason; a mistake of ours costs one message, never the flow."""
    if isinstance(error, Refused):
        return error
    log.error("decode met what it should have refused: %s", error, exc_info=error)
    return Refused("internal", f"{type(error).__name__}: {str(error)[:200]}")


def _letter(frame: Frame, device_id: str, order: int, why: Refused, raw: bytes) -> DeadLetter:
    size = frame.original_bytes or len(raw)
    return DeadLetter(order, device_id, frame.topic, frame.arrived, why.reason, why.detail, raw[:KEPT_BYTES], size)


NODE = Node("decode", Params, Decode, out=("items", "dead", "rows"), version=1)
