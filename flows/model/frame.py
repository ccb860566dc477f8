"""A frame: one entry of the journal, the only thing the pipeline reads."""

from enum import IntEnum

import msgspec


class FrameKind(IntEnum):
    """What a frame says."""

    MESSAGE = 1
    TICK = 2
    COMMAND = 3
    START = 4
    HISTORY = 5


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One entry of the journal.

    seq            : the order of everything; never reused.
    kind           : message, tick, command, start or history.
    arrived        : when the journal took it. [ms since 1970, UTC]
    topic          : MQTT topic of a message, heatpump/{device_id}/history of history, else empty.
    payload        : the message's bytes; of a tick, command or start: JSON (see Tick, Command, Start); of history:
                     see flows/model/history.py.
    qos            : 0 or 1.
    retain         : a retained copy, not a new message.
    dup            : the broker marked it a redelivery.
    packet_id      : MQTT packet id, 0 for QoS 0 and non-messages.
    original_bytes : length before ingest cut an oversized payload to its head, else 0.
    """

    seq: int
    kind: FrameKind
    arrived: int
    topic: str = ""
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int = 0
    original_bytes: int = 0


class Tick(msgspec.Struct, frozen=True):
    """A journaled second: one in which ingest was subscribed throughout.

    n       : how many there have been, this one included; how long no reading came is counted in these.
    arrived : server time. [ms since 1970, UTC]
    """

    seq: int
    n: int
    arrived: int


class Start(msgspec.Struct, frozen=True):
    """The flow started: what it ran with. Settings here change what is stored; nodes take them from it.

    settings : version, graph (its hash), raw_retention_ms, offline_ticks, minute_retention_ms.
    """

    seq: int
    arrived: int
    version: str = ""
    graph: str = ""
    raw_retention_ms: int = 30 * 86_400_000
    minute_retention_ms: int = 90 * 86_400_000
    dead_letter_retention_ms: int = 90 * 86_400_000
    offline_ticks: int = 600


def tick_of(frame: Frame) -> Tick:
    """Read a tick from its frame."""
    return Tick(frame.seq, msgspec.json.decode(frame.payload)["n"], frame.arrived)


def start_of(frame: Frame) -> Start:
    """Read a start from its frame; settings that an older version did not write have their defaults."""
    body = msgspec.json.decode(frame.payload)
    return msgspec.convert({**body, "seq": frame.seq, "arrived": frame.arrived}, Start)


def tick_payload(n: int) -> bytes:
    """Encode what the frame of a tick carries."""
    return b'{"n":%d}' % n


def start_payload(start: Start) -> bytes:
    """Encode what the frame of a start carries; seq and arrival are the frame's."""
    return msgspec.json.encode(start)
