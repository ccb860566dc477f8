"""Journals made by hand, run through the shipped graph into a store."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.journal.writer import Journal
from flows.model.frame import FrameKind, Start, start_payload, tick_payload

HOUR = 3_600_000
NOW = 1_770_000_000_000 // HOUR * HOUR


class Recorder:
    """Writes a journal: messages, ticks, commands, a start; each a second after the last."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.journal = Journal.open(folder, min_free_bytes=1, **options)
        self.now, self.ticks = NOW, 0

    def add(self, kind: FrameKind, payload: bytes, **fields: Any) -> int:
        seq = self.journal.append(kind, self.now, payload=payload, **fields)
        self.journal.commit()
        return seq

    def start(self, **settings: Any) -> int:
        return self.add(FrameKind.START, start_payload(Start(0, 0, **settings)))

    def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.now += 1000
            self.ticks += 1
            self.add(FrameKind.TICK, tick_payload(self.ticks))

    def message(self, topic: str, payload: bytes | str, **fields: Any) -> int:
        data = payload.encode() if isinstance(payload, str) else payload
        return self.add(FrameKind.MESSAGE, data, topic=topic, **fields)

    def reading(self, device_id: str = "site1", at: int | None = None, **payload: Any) -> int:
        payload["timestamp"] = self.now if at is None else at
        return self.message(f"heatpump/{device_id}/data", json.dumps(payload))

    def command(self, word: str, command_id: str, **body: Any) -> int:
        asked = {"id": command_id, "by": "me", "name": word, "body": body}
        return self.add(FrameKind.COMMAND, json.dumps(asked).encode())

    def close(self) -> None:
        self.journal.close()


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Recorder]:
    def make(name: str = "journal", **options: Any) -> Recorder:
        return Recorder(tmp_path / name, **options)

    return make
