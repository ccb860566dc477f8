"""Messages as nobody should send them, as the frames of a journal; and an independent account of what was sent.

Everything follows from the seed. Payloads begin as the contract's and are bent: values, keys, JSON, bytes, topics,
times, flags. Three devices are left in peace amid it, so that what became of theirs is known beforehand.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from flows.model.command import CommandRequest
from flows.model.frame import Frame, FrameKind, Start, start_payload, tick_payload
from tests.fuzz.commands import command_body, history_body
from tests.ledger.rough import REFUSED

BEGAN = 1_770_000_000_000
DAY_MS = 86_400_000
STEP_MS = 50
"""Between two messages, on average. [ms]"""

RETENTION_MS = DAY_MS
DATA_TOPIC = re.compile(r"heatpump/([^/]*)/data")
DEVICE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
UNCLEAR = re.compile(rb"[\x00-\x1f\\\x80-\xff]")
"""Two parsers may differ on where a text with these ends: of arrays they are left to the coverage runs."""

FEW = [f"few{n}" for n in range(20)]
MANY = [f"many{n}" for n in range(100)]
WITNESS, REFUSED_WITNESS = "witness", "refused"
SHUFFLED_MS = (*[0] * 999, 150)
TICKS_MS = (1_000, 1_000, 20_000, 600_000)
"""Between two ticks: each heals what is late, which takes most of the time. [ms]"""

LAST_TICKS = 300
"""At the end: they date what waits and heal what is late, some at a time."""

WITNESS_LATE_MS = (*[1] * 999, 10_000_000)
POOL = 3_000
LATE = 0.851
"""Up to here by a dice: late by minutes or days, which costs minutes of work, so few are."""

TIMES = [
    b"%d" % time for time in (4_102_444_800_000, 10**15, -5, 1_577_836_800_000, 946_684_800_000, 1_770_000_000)
]


class Raw(bytes):
    """Bytes that stand in a JSON text as they are."""


_EVIL = [
    *map(
        Raw,
        (
            b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"1e-999", b"1" + b"0" * 400, b"1" + b"0" * 5000,
            b"-0.0", b"1.7976931348623157e308", b"5e-324", b"9007199254740993", b"18446744073709551616", b"01", b"+1",
            b".5", b"1.", b"0x10", b"--1", b"1e", b"", b"tru", b"nulll", b'"\\ud800"', b'"\\udfff\\ud800"',
            b'"\\u0000"', b'"\xff\xfe"', b'"\xed\xa0\x80"', b'"\x00"', b'"\n"', b'"\\x"', b'"', b"'a'",
            b"[" * 100 + b"]" * 100, b"[" * 3000 + b"]" * 3000, b'{"a":' * 1500 + b"1" + b"}" * 1500, b"[[", b"}}",
            b"/*c*/1", b"1 2", b'{"a":1,"a":2}',
        ),
    ),
    -127, 32767, 65535, 85.0, 85, 0, 1, 2, -1, 0.5, 1e30, -1e30, 2**31, 2**53, 2**63, 2**64 - 1, 10**25,
    True, False, None, "", "45.2", "warm", "true", "NaN", "\u2028", "ü", "😀", "a" * 300, "\x7f", [], {}, [1], [None],
    [[]], {"": 1}, {"voltage": 1}, {"a": {"b": {"c": 1}}}, [{"inlet": 1}],
]  # fmt: skip

FULL: dict[str, Any] = {
    "version": "1.0.0",
    "temperature": {
        "inlet": 45.2,
        "outlet": 50.1,
        "ambient": 25.0,
        "compressor": 70.5,
        "indoor": 21.0,
        "dhw": 48.0,
    },
    "electrical": {"voltage": 230.5, "current": 8.5, "power": 1959.25},
    "pressure": {"high": 280.0, "low": 70.0},
    "status": {"compressor": True, "fan": True, "defrost": False},
    "alerts": {"voltage": 0, "compressor_temp": 0, "pressure_high": 0, "pressure_low": 0, "current": 0},
    "valid": {"temp_inlet": True, "voltage": True},
}
PAYLOADS: list[dict[str, Any]] = [
    FULL,
    {"temperature": {"inlet": 45}, "electrical": {"voltage": 230}},
    {
        "electrical": {
            f"phase{n}": {"voltage": 229.0, "current": 3.1, "power": 700, "energy": 12.5} for n in (1, 2, 3)
        }
    },
    {"hydraulic": {"flow": 12.5, "pressure": 1.4}, "temperature": {"inlet": 30.0, "outlet": 35.0}},
    {"energy": {"heat": 1234.5, "electric": 345.6}, "status": {"dhw": 1, "backup": 0, "compressor": 1}},
    {"setpoint": {"flow": 45, "indoor": 21, "dhw": 50}, "firmware_version": "2.1"},
    {"status": {"defrost": True, "compressor": True}, "alerts": {"current": 2}, "valid": {"power": False}},
]


def text_of(value: Any) -> bytes:
    """Write JSON, and what is none in it; a list of pairs is an object, which may have a key twice."""
    if isinstance(value, Raw):
        return value
    if isinstance(value, dict):
        return text_of(list(value.items()))
    if isinstance(value, list) and value and all(isinstance(part, tuple) for part in value):
        return b"{" + b",".join(text_of(key) + b":" + text_of(part) for key, part in value) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(text_of, value)) + b"]"
    return json.dumps(value, ensure_ascii=False).encode()


EVIL = [Raw(text_of(value)) for value in _EVIL]
"""Texts of values, and of what is none."""


def readings_in(topic: str, payload: bytes) -> int:
    """Count the readings of a message, by another parser than ours; on a data topic, what is no array counts as one."""
    found = DATA_TOPIC.fullmatch(topic)
    if found is None:
        return 0
    if not DEVICE_ID.fullmatch(found[1]) or not payload.lstrip(b" \t\r\n").startswith(b"["):
        return 1
    try:
        parts = json.loads(payload, parse_int=float)
    except (ValueError, RecursionError):
        return 1
    return len(parts) if 0 < len(parts) <= 5_000 else 1


class Fuzz:
    """`count` bent messages, with ticks, starts, commands and history in between, and what is known of them.

    messages : of each kind of frame, how many were made.
    readings : in all data messages, and in letters that commands try again.
    numbers  : of the witness's readings, by event time.
    refused  : of the other witness, by the reason that it must have.
    """

    def __init__(self, seed: str, count: int) -> None:
        self._rng, self._count = random.Random(seed), count
        self.made: Counter[str] = Counter()
        self.readings = 0
        self.numbers: dict[int, int] = {}
        self.refused: Counter[str] = Counter()
        self._arrived, self._seq, self._ticks, self._letters = BEGAN, 0, 0, 0
        self._sent: list[tuple[str, bytes]] = []
        self._numbers: Counter[str] = Counter()

    def frames(self) -> Iterator[Frame]:
        """Make the frames, one after the other."""
        rng = self._rng
        bodies = [self._body() for _ in range(POOL)]
        yield self._start()
        due = self._arrived
        while self.made["message"] < self._count:
            self._arrived += rng.randrange(2 * STEP_MS + 1)
            if self._arrived >= due:
                due = self._arrived + rng.choice(TICKS_MS)
                self._ticks += 1
                yield self._frame(FrameKind.TICK, "", tick_payload(self._ticks))
                for _ in range(5):
                    yield from self._by_the_way()
                for _ in range(20):
                    bodies[rng.randrange(POOL)] = self._body()
            topic, payload = self._message(bodies)
            flags = rng.random()
            retain, dup = flags < 0.02, 0.01 < flags < 0.05
            if topic.startswith((f"heatpump/{WITNESS}/", f"heatpump/{REFUSED_WITNESS}/")):
                retain = False
            cut = rng.randrange(262_145, 2**32) if flags > 0.999 and not retain and b"few" in topic.encode() else 0
            self.readings += readings_in(topic, b"" if cut else payload)
            yield self._frame(FrameKind.MESSAGE, topic, payload, rng.getrandbits(1), retain, dup, cut)
        for _ in range(LAST_TICKS):
            self._ticks += 1
            self._arrived += 1000
            yield self._frame(FrameKind.TICK, "", tick_payload(self._ticks))

    def _frame(
        self, kind: FrameKind, topic: str, payload: bytes, qos: int = 0, retain: bool = False, dup: bool = False,
        original_bytes: int = 0,
    ) -> Frame:  # fmt: skip
        self._seq += 1
        self.made[kind.name.lower()] += 1
        packet_id = self._seq % 65_535 + 1 if qos else 0
        return Frame(self._seq, kind, self._arrived, topic, payload, qos, retain, dup, packet_id, original_bytes)

    def _start(self) -> Frame:
        start = Start(0, 0, version="fuzz", raw_retention_ms=RETENTION_MS, offline_ticks=60)
        return self._frame(FrameKind.START, "", start_payload(start))

    def _by_the_way(self) -> Iterator[Frame]:
        rng = self._rng
        chance = rng.random()
        if chance < 0.001:
            yield self._start()
        elif chance < 0.1:
            body = command_body(rng, [rng.choice(FEW), rng.choice(MANY)], self._arrived)
            if body is not None:
                yield self._frame(FrameKind.COMMAND, "", msgspec.json.encode(body))
        elif chance < 0.14:
            yield self._retry()
        elif chance < 0.15:
            device_id = rng.choice(FEW)
            body = history_body(rng, device_id, self._arrived)
            yield self._frame(FrameKind.HISTORY, f"heatpump/{device_id}/history", body)
        elif chance < 0.16:  # the server's clock is set, the flow was away
            self._arrived += rng.choice((-100, -3_000, 5_000, 60_000))
        elif chance < 0.161:
            self._arrived += rng.randrange(DAY_MS)

    def _retry(self) -> Frame:
        """Make a letter that is tried again, whatever it says."""
        self._letters += 1
        topic, payload = self._rng.choice(self._sent or [("heatpump/few0/data", b"{}")])
        self.readings += readings_in(topic, payload)
        seen = {
            "state": "open", "attempts": 0, "topic": topic, "arrived": self._arrived - self._rng.randrange(10**7),
            "payload": payload, "size": len(payload),
        }  # fmt: skip
        body = {"letter_id": self._letters, "seen": seen}
        request = CommandRequest(f"retry-{self._letters}", "fuzz", "dead_letter_retry", body)
        return self._frame(FrameKind.COMMAND, "", msgspec.json.encode(request))

    def _body(self) -> bytes:
        """Bend a payload; what stands between the braces of its object."""
        rng = self._rng
        found = [
            (name, dict(part) if isinstance(part, dict) else part) for name, part in rng.choice(PAYLOADS).items()
        ]
        for _, part in found:
            if isinstance(part, dict):
                for key, value in part.items():
                    if type(value) is float:
                        part[key] = round(value * rng.uniform(0.9, 1.1), 2)
        for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 5))):
            place = rng.randrange(len(found))
            name, part = found[place]
            how = rng.random()
            if how < 0.5 and isinstance(part, dict) and part:
                part[rng.choice(list(part))] = rng.choice(EVIL)
            elif how < 0.65:
                found[place] = (name, rng.choice(EVIL))
            elif how < 0.75:
                found.append((name, part))
            elif how < 0.85:
                found[place] = (rng.choice(EVIL), part)
            else:
                named = rng.choice(
                    ("device", "boot_id", "seq", "version", "firmware_version", "valid", "alerts", "x")
                )
                found.insert(place, (named, rng.choice(EVIL)))
        return text_of(found)[1:-1]

    def _message(self, bodies: list[bytes]) -> tuple[str, bytes]:
        rng = self._rng
        kind = rng.random()
        if kind < 0.02:
            return self._witness()
        if kind < 0.03:
            return self._refused()
        device_id = rng.choice(FEW) if kind < 0.5 else rng.choice(MANY)
        if 0.53 < kind < 0.531:
            device_id = f"once{rng.getrandbits(40)}"
        if kind > 0.93:
            return self._no_data(device_id)
        if kind > 0.915 and self._sent:
            return rng.choice(self._sent)
        topic = f"heatpump/{device_id}/data"
        if 0.5 < kind < 0.53:
            parts = [self._reading(device_id, bodies, before) for before in range(rng.randrange(12))][::-1]
            payload = b"[" + b",".join(part for part in parts if not UNCLEAR.search(part)) + b"]"
            payload = payload[: rng.randrange(len(payload))] if rng.random() < 0.1 else payload
        else:
            payload = self._reading(device_id, bodies)
            if rng.random() < 0.1:
                payload = self._bent(payload)
        if rng.random() < 0.3:
            self._sent.append((topic, payload))
            if len(self._sent) > 20:
                del self._sent[rng.randrange(20)]
        return topic, payload

    def _reading(self, device_id: str, bodies: list[bytes], before: int = 0) -> bytes:
        rng = self._rng
        parts = [rng.choice(bodies)]
        timed = rng.random()
        if timed < 0.75:
            parts.append(b'"timestamp":%s' % self._timestamp(before))
        if rng.random() < 0.1:
            self._numbers[device_id] += rng.choice((1, 1, 1, 1, 0, -3, 7))
            boot = rng.choice((b'"b1"', b'"b1"', b'"b2"', b"7", b"null"))
            parts.append(b'"seq":%d,"boot_id":%s' % (self._numbers[device_id], boot))
        return b"{" + b",".join(part for part in parts if part) + b"}"

    def _timestamp(self, before: int = 0) -> bytes:
        rng, arrived = self._rng, self._arrived - before
        kind = rng.random()
        if kind < 0.85:
            return b"%d" % (arrived - rng.choice(SHUFFLED_MS))
        if kind < LATE:
            how_late = rng.choice((300_000, 300_000, 3_600_000, 2 * RETENTION_MS))
            return b"%d" % (arrived - rng.randrange(how_late))
        if kind < 0.93:
            return b"%d" % (arrived - BEGAN + 50_000)
        if kind < 0.931:
            return b"%d" % (arrived - BEGAN + rng.choice((0, 10**6, -500, 10**9)))
        if kind < 0.95:
            return b"%d.%03d" % (arrived, rng.randrange(1000))
        return (
            rng.choice(rng.choice((EVIL, TIMES)))
            if rng.random() < 0.98
            else b"%d" % (arrived + rng.randrange(10**6))
        )

    def _bent(self, payload: bytes) -> bytes:
        """Harm the bytes of one reading; it never becomes an array of some."""
        rng = self._rng
        data = bytearray(payload)
        how = rng.random()
        if how < 0.3:
            return payload[: rng.randrange(len(payload) + 1)]
        if how < 0.7:
            for _ in range(rng.choice((1, 1, 2, 8))):
                data[rng.randrange(len(data))] = rng.randrange(256)
        elif how < 0.8:
            start = rng.randrange(len(data))
            del data[start : start + rng.randrange(20)]
        elif how < 0.9:
            data[rng.randrange(len(data)) : 0] = rng.choice(
                (b"\x00", b"\xff", b'"', b"\\", b"[", b"]]", b"\xef\xbb\xbf")
            )
        else:
            return rng.choice(
                (b"", b" ", b"\x00", b"null", b"7", b"[]", b"[[]]", b'"{}"', b"{}", b"{]", b"\xef\xbb\xbf{}")
            )
        return bytes(data)

    def _no_data(self, device_id: str) -> tuple[str, bytes]:
        rng = self._rng
        kind = rng.random()
        evil = text_of(rng.choice(EVIL))
        if kind < 0.45:
            name = rng.choice(
                ("online", "online", "rssi", "version", "", "a/b", "x" * 65, f"k{rng.randrange(99)}", "\x00")
            )
            told = (b"true", b"false", b"1", b"0", b"online", b" Offline ", b"-61", evil, b"\xff", b"x" * 2000)
            return f"heatpump/{device_id}/status/{name}", rng.choice(told)
        if kind < 0.75:
            alert = {
                "type": rng.choice(("voltage", "", "x" * 65, rng.choice(EVIL))),
                "level": rng.choice(("warning", "critical", "info", rng.choice(EVIL))),
                "value": rng.choice((1.5, rng.choice(EVIL))),
                "message": rng.choice(("high", "m" * 600, rng.choice(EVIL))),
                "timestamp": Raw(self._timestamp()),
            }
            return f"heatpump/{device_id}/alerts", text_of(alert)
        topic = rng.choice((
            "heatpump", "heatpump/", "heatpump//data", f"heatpump/{device_id}", f"heatpump/{device_id}/", "",
            f"heatpump/{device_id}/Data", f"heatpump/{device_id}/status", f"other/{device_id}/data", "heatpump/../data",
            f"heatpump/{'x' * 65}/data", "heatpump/ä/data", "heatpump/a b/data", "heatpump/\x00/data", "heatpump/+/data",
            "heatpump/-a/data", "heatpump/a\n/data", f"heatpump/{device_id}/data/x", "x" * 60_000, "$SYS/a", "//",
        ))  # fmt: skip
        return topic, rng.choice((evil, b"{}", b'{"temperature":{"inlet":1}}', b"[{},{}]"))

    def _witness(self) -> tuple[str, bytes]:
        at = self._arrived - self._rng.randrange(self._rng.choice(WITNESS_LATE_MS))
        while at in self.numbers:
            at -= 1
        number = self.numbers[at] = len(self.numbers) + 1
        return f"heatpump/{WITNESS}/data", b'{"timestamp":%d,"energy":{"electric":%d}}' % (at, number)

    def _refused(self) -> tuple[str, bytes]:
        sub, payload, reason = self._rng.choice(REFUSED)
        self.refused[reason] += 1
        return f"heatpump/{REFUSED_WITNESS}/{sub}", payload
