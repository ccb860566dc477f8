"""Commands and chunks of history as nobody should send them, past the checks of the command port.

What the port takes goes into the journal; what it refuses, it must refuse by one of its documented errors.
"""

import random
import zlib
from typing import Any
from uuid import UUID

import msgspec
import numpy as np

from flows.errors import BadQuery
from flows.http_port import Refused
from flows.ingest.commands import read_command
from flows.model.command import CommandRequest
from flows.model.history import Chunk, chunk_of, payload_of

NAMES = (
    "device_put", "device_put", "device_put", "device_forget", "alert_ack", "dead_letter_retry", "dead_letter_drop",
    "ota", "", "\x00", "x" * 200,
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, 10**30, 10**400, -(2**63) - 1, 0.5, -0.0, 1e300, 5e-324, 20,
    "", "x", "é" * 100, "\x00", "a" * 30_000, "Europe/Berlin", "Mars/Base", "..", "R410A", "R32", [], {}, [[]],
    {"a": 1}, {"voltage_high": {"warning": 1e300}}, {"voltage_high": {"warning": -1, "critical": 10**30}},
    {"": {}}, {"x": None}, 1_770_000_000_000, 4_102_444_800_000, 10**15, 10**18,
)  # fmt: skip
FIELDS = (
    "valid_from", "name", "location", "timezone", "refrigerant", "pressure_absolute", "glycol_percent", "carnot_fraction",
    "spf_boundary", "limits", "alert_id", "seen", "unknown",
)  # fmt: skip
QUANTITIES = ("temp_inlet", "temp_outlet", "power", "electric_energy", "compressor_running", "nonsense", "cop")


def command_body(rng: random.Random, devices: list[str], now: int) -> CommandRequest | None:
    """Make a command, and have the port read it; None where it refuses it."""
    body: dict[str, Any] = {"device_id": rng.choice((*devices, *devices, *devices, "", "ä", None, 7, "x" * 65))}
    for _ in range(rng.randrange(4)):
        body[rng.choice(FIELDS)] = rng.choice(VALUES)
    if rng.random() < 0.3:
        body["valid_from"] = now - rng.randrange(3 * 86_400_000)
    if rng.random() < 0.2:
        body["letter_id"] = rng.choice(VALUES)
    name = rng.choice(NAMES)
    if name == "device_forget" and rng.random() < 0.8:
        name = "device_put"
    if name.startswith("dead_letter"):
        body["letter_id"] = "none"  # those that are tried again are made elsewhere, and counted
    request = {
        "id": f"c-{rng.randrange(1 << 40)}",
        "by": rng.choice(("me", "é" * 100, "\x00")),
        "name": name,
        "body": body,
    }
    if rng.random() < 0.05:
        request[rng.choice(("id", "by", "name", "body", "x"))] = rng.choice(VALUES)
    text = bytearray(msgspec.json.encode(request))
    if rng.random() < 0.1:
        text[rng.randrange(len(text))] = rng.randrange(256)
    try:
        return read_command(bytes(text))
    except Refused:
        return None


def history_body(rng: random.Random, device_id: str, now: int) -> bytes:
    """Make a chunk of history, whole or harmed: one that an older or newer version may have let in."""
    count = rng.choice((0, 1, 30, 300))
    start = now - rng.randrange(60 * 86_400_000)
    names = tuple(dict.fromkeys(rng.choice(QUANTITIES) for _ in range(rng.randrange(4))))
    at = start + np.cumsum([rng.choice((1, 1000, 60_000, 300_000, 10**7)) for _ in range(count)], dtype=np.int64)
    values = np.array(
        [rng.choice((20.5, 1.0, 0.0, -127.0, np.nan, np.inf, 1e300)) for _ in range(count * len(names))]
    )
    if rng.random() < 0.1:
        at = at[::-1]
    import_id = UUID(int=rng.randrange(300)).hex
    number = rng.choice((0, 0, 1, 2, 5, 1 << 39))
    chunk = Chunk(import_id, device_id, number, "fuzz", rng.random() < 0.3, names, at.tobytes(), values.tobytes())
    data = bytearray(payload_of(chunk))
    if rng.random() < 0.2:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    if rng.random() < 0.1:
        inner = bytearray(zlib.decompress(payload_of(chunk)))
        inner[rng.randrange(len(inner))] = rng.randrange(256)
        data = bytearray(zlib.compress(inner))
    return bytes(data)


def taken(body: bytes) -> bool:
    """Tell whether the command port would take a chunk."""
    try:
        chunk_of(body)
    except BadQuery:
        return False
    return True
