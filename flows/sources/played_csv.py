"""A recorded CSV to be played: as its device's messages, or as the journal that a flow would have had of them."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import msgspec

from flows.model.frame import Frame, FrameKind, Start, start_payload, tick_payload
from flows.model.times import DAY_MS
from flows.sources.recording import Sent, readings, survey
from flows.sources.replay import Message

FOREVER_MS = 36_500 * DAY_MS


class PlayedCsv:
    """See flows/sources/played_journal.py, which offers the same of recordings of `heatpump record`."""

    unit = "readings"

    def __init__(self, file: Path, device_id: str) -> None:
        """Read all of it once. Raises ConfigError that names the line of a mistake."""
        found = survey(file)
        self._file, self.device_id = file, device_id
        self.name, self.start = device_id, 0
        self.first, self.last, self.messages_count = found.first, found.last, found.readings
        self.what = f"{found.readings} readings"
        self.notes: list[str] = []
        self.left_out: Counter[str] = Counter()
        self.damaged = False
        self._first_frame = start_payload(
            Start(
                seq=0,
                arrived=0,
                version=version("heat-pump-monitor"),
                raw_retention_ms=FOREVER_MS,
                minute_retention_ms=FOREVER_MS,
                dead_letter_retention_ms=FOREVER_MS,
            )
        )
        content = hashlib.sha256(self._first_frame + device_id.encode() + file.read_bytes())
        self.journal_id = content.digest()[:16].hex()
        self.first_seq, self.last_seq = 1, sum(1 for _ in self.frames())

    def messages(self, shift_ms: int) -> Iterator[Message]:
        """Give each reading as its device would have sent it. shift_ms: added to every time. [ms]"""
        topic = f"heatpump/{self.device_id}/data"
        for reading in readings(self._file):
            yield Message(reading.at, topic, self._payload(reading, shift_ms), 1)

    def frames(self) -> Iterator[Frame]:
        """Give the frames of a journal: every reading arrives at its event time, seconds tick between.

        Nothing in it is older than the retention it starts with. The same CSV, device and build give the same.
        """
        seq, ticks, before = 0, 0, 0
        topic = f"heatpump/{self.device_id}/data"
        for reading in readings(self._file):
            seq += 1
            if not before:
                yield Frame(seq, FrameKind.START, reading.at, payload=self._first_frame)
                seq += 1
            elif reading.at - before >= 1000:
                ticks += (reading.at - before) // 1000
                yield Frame(seq, FrameKind.TICK, reading.at, payload=tick_payload(ticks))
                seq += 1
            yield Frame(seq, FrameKind.MESSAGE, reading.at, topic, self._payload(reading, 0), 1)
            before = reading.at
        yield Frame(seq + 1, FrameKind.TICK, before + 1000, payload=tick_payload(ticks + 1))

    def _payload(self, reading: Sent, shift_ms: int) -> bytes:
        body = {"device": self.device_id, "timestamp": reading.at + shift_ms, **reading.payload}
        return msgspec.json.encode(body)
