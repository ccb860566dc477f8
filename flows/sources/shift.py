"""Move the times inside a payload: Unix times alone; uptime and nonsensical timestamps stay what they are."""

import json
from typing import Any

import msgspec

from flows.model.reading import EARLIEST_MS, finite

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_array = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_any = msgspec.json.Decoder()


def shifted(payload: bytes, shift_ms: int) -> bytes:
    """Move the `timestamp` of a reading, of each of an array, or of an alert; all else keeps its bytes.

    shift_ms : added to it. [ms]
    A payload that is nothing of these is given back as it is.
    """
    decoder = _array if payload.lstrip()[:1] == b"[" else _object
    try:
        return msgspec.json.encode(_moved(decoder.decode(payload), shift_ms, _of_raw))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _leniently(payload, shift_ms)


def _leniently(payload: bytes, shift_ms: int) -> bytes:
    """The same where some of the JSON is no JSON, such as NaN, or a reading of an array is no object."""
    try:
        return json.dumps(_moved(json.loads(payload), shift_ms, lambda value: value)).encode()
    except (ValueError, RecursionError):
        return payload


def _moved(value: Any, shift_ms: int, read: Any) -> Any:
    if isinstance(value, list):
        return [_moved(inner, shift_ms, read) for inner in value]
    if isinstance(value, dict) and "timestamp" in value:
        sent = read(value["timestamp"])
        number = finite(sent)
        if number is not None and number >= EARLIEST_MS:
            value["timestamp"] = sent + shift_ms
    return value


def _of_raw(raw: msgspec.Raw) -> Any:
    return _any.decode(raw)
