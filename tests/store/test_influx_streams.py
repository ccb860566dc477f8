"""Whatever comes when, and wherever it breaks off: the server store holds what the embedded one does."""

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from flows.errors import RetryableStoreError
from flows.model.device import DeviceMetadata
from flows.model.episode import KINDS, TRACED, Episode, EpisodeRow, Retrace
from flows.model.influx_address import InfluxAddress
from flows.model.rollup import Compose, Refold, RollupRow
from flows.model.rows import DeviceRow, Forget, LatestRow, RawRow, Retain, StoreItem
from flows.store.influx import letters, recent, samples, shelf
from flows.store.influx.outgoing import Outgoing
from flows.store.influx.server import InfluxServer
from tests.folding import block_of

from .conftest import DAY, FOREVER, HOUR, MINUTE, NOW, SECOND, Influx, Sqlite, letter, outcome, raw, transition
from .test_dead_letters import change

DEVICES = ("a", "b", "c")
COLUMNS = ("voltage_mean", "power_mean", "temp_inlet_mean", "seconds_space", "electric_kwh_space")
STEP = 8192


class Fragile(InfluxServer):
    """Breaks off after some requests: before it does what it was asked for, or with its answer lost."""

    def __init__(self, address: InfluxAddress, requests: int, lost: bool) -> None:
        super().__init__(address)
        self.left, self.lost = requests, lost

    def write(self, bucket: str, lines: bytes, precision: str = "ms") -> None:
        if self._alive():
            super().write(bucket, lines, precision)
        self._answer()

    def delete(self, bucket: str, predicate: str, start: int, end: int) -> None:
        if self._alive():
            super().delete(bucket, predicate, start, end)
        self._answer()

    def _alive(self) -> bool:
        self.left -= 1
        return self.left >= 0 or (self.lost and self.left == -1)

    def _answer(self) -> None:
        if self.left < 0:
            raise RetryableStoreError("gone")


class Stream:
    """Batches of everything, of three devices that send, stop, come late and are forgotten."""

    def __init__(self, seed: int) -> None:
        self.rng, self.order = random.Random(seed), 0
        self.front = dict.fromkeys(DEVICES, NOW)
        self.alerts: list[str] = []
        self.letters: list[int] = []

    def batch(self) -> list[StoreItem]:
        makers = [
            *[self._readings] * 6,
            *[self._late] * 2,
            *[self._minutes] * 2,
            self._block,
            *[self._fold] * 2,
            *[self._trace] * 3,
            *[self._episode] * 2,
            *[self._alert] * 2,
            *[self._letter] * 2,
            self._device,
        ]
        rare = [self._retain, self._retain_letters, self._forget]
        items: list[StoreItem] = []
        for _ in range(self.rng.randrange(1, 7)):
            self.order += STEP
            items += self.rng.choice(rare if self.rng.random() < 0.06 else makers)(self.rng.choice(DEVICES))
        return items

    def _values(self) -> dict[str, Any]:
        rng = self.rng
        values = {
            "compressor_running": rng.random() < 0.7,
            "power": float(rng.randrange(3_000)),
            "temp_inlet": 30.0 + rng.randrange(9),
            "temp_outlet": 35.0 + rng.randrange(9),
            "flow_rate": 12.0,
            "dhw_active": rng.random() < 0.2,
            "voltage": rng.choice([230.0, -0.0, 5e-324, 1e9]),
        }
        return {name: value for name, value in values.items() if rng.random() < 0.8} or {"voltage": 1.0}

    def _readings(self, device: str) -> list[StoreItem]:
        every = self.rng.choice([10 * SECOND, MINUTE, 5 * MINUTE, 20 * MINUTE])
        rows: list[RawRow] = []
        values = self._values()
        for n in range(self.rng.randrange(1, 60)):
            self.front[device] += every
            if self.rng.random() < 0.1:
                values = self._values()
            rows.append(raw(self.front[device], self.order + n, device, **values))
        latest = LatestRow(device, rows[-1].order, {name: (rows[-1].at, value) for name, value in values.items()})
        return [*rows, latest] if self.rng.random() < 0.8 else [*rows]

    def _past(self, device: str, most: int = 4 * HOUR) -> int:
        return max(0, self.front[device] - self.rng.randrange(most))

    def _late(self, device: str) -> list[StoreItem]:
        at = self._past(device)
        rows = [
            RawRow.of(
                device,
                at - at % (10 * SECOND) + n * self.rng.choice([0, 10 * SECOND]),
                self.order + n,
                at,
                self.rng.choice(["device", "boot", "arrival"]),
                self._values(),
                ("power",) if self.rng.random() < 0.3 else (),
            )
            for n in range(self.rng.randrange(1, 5))
        ]
        return [
            *rows,
            Refold(device, self.order + 9, at - at % MINUTE, at - at % MINUTE + MINUTE, self.front[device]),
        ]

    def _columns(self) -> dict[str, float]:
        return {name: self.rng.random() for name in COLUMNS if self.rng.random() < 0.6} or {COLUMNS[0]: 1.0}

    def _row(self, device: str, resolution: Any, start: int, order: int) -> RollupRow:
        heat = self.rng.choice(["", "measured", "estimated"])
        return RollupRow(device, resolution, start, order, self.rng.randrange(1, 9), self._columns(), heat)

    def _minutes(self, device: str) -> list[StoreItem]:
        start = self._past(device, 40 * HOUR) // MINUTE * MINUTE
        apart = self.rng.choice([1, 1, 7, 600]) * MINUTE
        count = self.rng.randrange(1, 9)
        rows = [self._row(device, "1m", start + n * apart, self.order + n) for n in range(count)]
        return [block_of(rows)]

    def _block(self, device: str) -> list[StoreItem]:
        resolution = self.rng.choice(["1h", "1d"])
        length = {"1h": HOUR, "1d": DAY}[resolution]
        start = self._past(device, 3 * DAY) // length * length
        rows = [
            self._row(device, resolution, start + n * length, self.order) for n in range(self.rng.randrange(1, 5))
        ]
        return [block_of(rows)]

    def _fold(self, device: str) -> list[StoreItem]:
        start = self._past(device, 12 * HOUR) // MINUTE * MINUTE
        end = start + self.rng.randrange(1, 300) * MINUTE
        hour = self._past(device, 5 * HOUR) // HOUR * HOUR
        return [
            Refold(device, self.order, start, end, self.front[device]),
            Compose(device, self.order + 1, "1h", hour),
            Compose(device, self.order + 2, "1d", hour // DAY * DAY),
        ]

    def _trace(self, device: str) -> list[StoreItem]:
        end = self._past(device)
        start = end - self.rng.choice([0, MINUTE, 2 * HOUR])
        return [Retrace(device, self.order, start, end, TRACED, start - self.rng.choice([0, HOUR]))]

    def _episode(self, device: str) -> list[StoreItem]:
        found: list[StoreItem] = []
        for n in range(self.rng.choice([1, 1, 2, 90])):
            start = self._past(device, 20 * HOUR) // MINUTE * MINUTE
            values = {name: 1.5 for name in ("heat_kwh", "electric_kwh") if self.rng.random() < 0.5}
            length = self.rng.randrange(2 * HOUR)
            found.append(
                EpisodeRow(
                    device, self.order + n, Episode(self.rng.choice(KINDS), start, start + length, values=values)
                )
            )
        return found

    def _alert(self, device: str) -> list[StoreItem]:
        mine = [alert for alert in self.alerts if alert.startswith(f"{device}/")]
        if not mine or self.rng.random() < 0.3:
            self.alerts.append(f"{device}/current/{self.order}")
            return [transition("raised", self.order, self._past(device), self.alerts[-1])]
        alert = self.rng.choice(mine)
        found: list[StoreItem] = []
        for n in range(self.rng.choice([1, 2, 30])):
            state = self.rng.choice(["escalated", "eased", "acknowledged", "cleared"])
            level = "critical" if state == "escalated" else "warning"
            found.append(transition(state, self.order + n, self._past(device), alert, level=level, by=f"u{n}"))
        return found

    def _letter(self, device: str) -> list[StoreItem]:
        if self.letters and self.rng.random() < 0.4:
            letter_id = self.rng.choice(self.letters)
            state: Any = self.rng.choice(["open", "retried", "dropped"])
            return [change(letter_id, state, self.rng.randrange(3), self.order // STEP, "again")]
        found: list[StoreItem] = []
        for n in range(self.rng.choice([1, 3, 120])):
            self.letters.append(self.order + n)
            found.append(
                letter(self.order + n, self.rng.choice(["empty", "not_json"]), self._past(device), device)
            )
        return found

    def _device(self, device: str) -> list[StoreItem]:
        metadata = [DeviceMetadata(valid_from=NOW, glycol_percent=float(self.rng.randrange(20)))]
        return [
            DeviceRow(device, self.order, online=self.rng.random() < 0.5, last_seen=self.front[device]),
            DeviceRow(device, self.order, attributes={self.rng.choice("xyz"): f"{self.order}\n\\"}),
            DeviceRow(device, self.order, metadata=metadata if self.rng.random() < 0.3 else None),
            outcome(f"done {self.order}", self.order // STEP),
        ]

    def _retain(self, device: str) -> list[StoreItem]:
        return [Retain(device, self.order, self._past(device, DAY), self._past(device, DAY), 0)]

    def _retain_letters(self, device: str) -> list[StoreItem]:
        return [Retain("", self.order, 0, 0, self._past(device, DAY))]

    def _forget(self, device: str) -> list[StoreItem]:
        return [Forget(device, self.order)]


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[Influx, Sqlite]]:
    with closing(Influx(tmp_path)) as server, closing(Sqlite(tmp_path)) as file:
        yield server, file


def broken_off(store: Influx, rng: random.Random, items: list[StoreItem]) -> bool:
    """Apply a batch to a server that goes away within; tells whether it did."""
    writer = store.writer
    there = writer._server, writer._outgoing
    with closing(Fragile(store.address, rng.randrange(8), rng.random() < 0.5)) as fragile:
        writer._server, writer._outgoing, writer._catalog = fragile, Outgoing(fragile), None
        try:
            store.apply(*items)
            return False
        except RetryableStoreError:
            return True
        finally:
            writer._outgoing.close()
            writer._server, writer._outgoing, writer._catalog = *there, None


def both_hold_the_same(server: Influx, file: Sqlite) -> None:
    assert server.content() == file.content()
    assert server.reader.stats() == file.reader.stats()
    for device in DEVICES:
        episodes = [each.reader.episodes(device, KINDS, 0, FOREVER, 40) for each in (server, file)]
        assert episodes[0] == episodes[1]
        for span in ((0, FOREVER), (NOW + 2 * HOUR, NOW + 5 * HOUR)):
            for open_only in (True, False):
                alerts = [each.reader.alerts(device, *span, 9, open_only) for each in (server, file)]
                assert alerts[0] == alerts[1]
            readings = [each.reader.readings(device, *span, 20) for each in (server, file)]
            assert readings[0] == readings[1]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_both_stores_hold_the_same_whatever_comes_when_and_breaks_off(stores, seed, monkeypatch):
    for part, bound, most in (
        (samples, "MOST_ROWS", 40),
        (samples, "FEWEST_ROWS", 10),
        (samples, "PLAIN_BYTES", 1_500),
        (samples, "PACKED_AT_ONCE", 4),
        (shelf, "MOST_KNOWN", 8),
        (recent, "MOST_BUCKETS", 2),
        (letters, "MOST_KNOWN", 3),
    ):
        monkeypatch.setattr(part, bound, most)
    server, file = stores
    stream, rng = Stream(seed), random.Random(seed)
    past: list[list[StoreItem]] = []
    for number in range(40):
        items = stream.batch()
        past.append(items)
        if rng.random() < 0.1:
            items = [item for batch in past[-rng.randrange(2, 9) :] for item in batch]  # taken again
        told = file.apply(*items)
        if rng.random() > 0.2 or broken_off(server, rng, items):
            assert server.apply(*items) == told
        if rng.random() < 0.2:
            server.writer._catalog = None
        if number % 20 == 19:
            both_hold_the_same(server, file)
