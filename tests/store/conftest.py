"""The stores under test: one suite for all. A new kind is one more class here and one more name in KINDS."""

import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import pytest

from flows.model.alert import Transition
from flows.model.command import CommandOutcome
from flows.model.dead_letter import DeadLetter
from flows.model.rollup import RollupRow
from flows.model.rows import RawRow, StoreItem
from flows.store import StoreAddress, open_reader, open_writer
from flows.store.dump import dump
from flows.store.protocol import StoreReader, StoreWriter
from tests.folding import block_of
from tests.influx.real import installation

NOW = 1_770_000_000_000 // 86_400_000 * 86_400_000  # 2026-02-02T00:00Z
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
FOREVER = NOW + 1000 * DAY


class StoreUnderTest(Protocol):
    """What the suite needs of a kind of store."""

    address: StoreAddress
    writer: StoreWriter
    reader: StoreReader

    def apply(self, *items: StoreItem) -> int:
        """Write one batch; returns how many raw rows said nothing new."""

    def content(self) -> list[str]:
        """Everything but the fence, as text."""

    def reopen(self) -> None:
        """Close and open both sides."""

    def close(self) -> None:
        """Close both sides."""


@cache
def _empty() -> bytes:
    """A new store's file: to make one takes its many steps, each of which waits for the disk."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "store.sqlite"
        open_writer(path).close()
        assert [each.name for each in path.parent.glob("store.sqlite*")] == [path.name]
        return path.read_bytes()


class Sqlite:
    """The embedded store in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.path = self.address = folder / "store.sqlite"
        self.path.write_bytes(_empty())
        self._open()

    def _open(self) -> None:
        self.writer, self.reader = open_writer(self.path), open_reader(self.path)

    def apply(self, *items: StoreItem | RollupRow) -> int:
        return self.writer.apply([block_of([item]) if isinstance(item, RollupRow) else item for item in items])

    def content(self) -> list[str]:
        return list(dump(self.path))

    def reopen(self) -> None:
        self.close()
        self._open()

    def close(self) -> None:
        self.writer.close()
        self.reader.close()

    @contextmanager
    def locked(self) -> Iterator[None]:
        other = sqlite3.connect(self.path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            other.close()

    @contextmanager
    def full(self) -> Iterator[None]:
        """Let this process write no file beyond what the write-ahead log has now."""
        log = Path(f"{self.path}-wal").stat().st_size
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (log, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Influx:
    """Buckets of their own in the server that the environment names."""

    def __init__(self, folder: Path) -> None:
        self._buckets = installation(None, None)
        self.address = self._buckets.__enter__()
        self._open()

    def _open(self) -> None:
        self.writer, self.reader = open_writer(self.address), open_reader(self.address)

    def apply(self, *items: StoreItem | RollupRow) -> int:
        return self.writer.apply([block_of([item]) if isinstance(item, RollupRow) else item for item in items])

    def content(self) -> list[str]:
        return list(dump(self.address))

    def reopen(self) -> None:
        self.writer.close()
        self.reader.close()
        self._open()

    def close(self) -> None:
        self.writer.close()
        self.reader.close()
        self._buckets.__exit__(None, None, None)


KINDS: dict[str, Callable[[Path], StoreUnderTest]] = {"sqlite": Sqlite, "influx": Influx}


@pytest.fixture(params=sorted(KINDS))
def new_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], StoreUnderTest]]:
    """Makes empty stores of the kind under test."""
    made: list[StoreUnderTest] = []

    def make() -> StoreUnderTest:
        made.append(KINDS[request.param](tmp_path_factory.mktemp("store")))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(new_store: Callable[[], StoreUnderTest]) -> StoreUnderTest:
    """An empty store."""
    return new_store()


def raw(at: int, order: int, device_id: str = "site1", clock: Any = "device", **values: Any) -> RawRow:
    return RawRow.of(device_id, at, order, at + 5, clock, values)


def minute(start: int, order: int, device_id: str = "site1", heat: str = "", **values: float) -> RollupRow:
    return RollupRow(device_id, "1m", start, order, 6, values, heat)


def transition(state: Any, order: int, at: int = NOW, alert: str = "site1/current/1", **fields: Any) -> Transition:
    given = {"level": "warning", "value": 13.5, "message": "current 13.5 A", "since": NOW, **fields}
    device_id, alert_type, _ = alert.split("/")
    return Transition(alert, order, given.pop("device_id", device_id), alert_type, at, at, state=state, **given)


def letter(order: int, reason: str = "empty", arrived: int = NOW, device_id: str = "site1") -> DeadLetter:
    return DeadLetter(order, device_id, f"heatpump/{device_id}/data", arrived, reason, "why", b"\xff{}\x00", 4)


def outcome(command_id: str, seq: int, **fields: Any) -> CommandOutcome:
    given = {"by": "ada", "at": NOW, "name": "alert_ack", "body": "{}", "outcome": "done", "detail": "", **fields}
    return CommandOutcome(seq, command_id, **given)
