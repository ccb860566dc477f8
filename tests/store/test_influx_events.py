"""Devices, alerts, dead letters and commands as points: what others read, and batches that broke off among them."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from flows.errors import RetryableStoreError
from flows.model.influx_address import InfluxAddress
from flows.model.rows import DeviceRow, Forget, LatestRow, Retain
from flows.store import open_reader, open_writer
from flows.store.influx.outgoing import Outgoing
from flows.store.influx.server import InfluxServer, moment
from flows.store.protocol import StoredDevice

from .conftest import FOREVER, HOUR, NOW, Influx, letter, outcome, raw, transition
from .test_dead_letters import change


@pytest.fixture
def new_store(tmp_path: Path) -> Iterator[Callable[[], Influx]]:
    made: list[Influx] = []

    def make() -> Influx:
        made.append(Influx(tmp_path))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(new_store: Callable[[], Influx]) -> Influx:
    return new_store()


class BreaksOff(InfluxServer):
    """Takes some lines, then no more: as a server does that is killed, or whose answers are lost."""

    def __init__(self, address: InfluxAddress, lines: int) -> None:
        super().__init__(address)
        self.left = lines

    def write(self, bucket: str, lines: bytes, precision: str = "ms") -> None:
        some = lines.split(b"\n")
        taken, self.left = some[: max(self.left, 0)], self.left - len(some)
        if taken:
            super().write(bucket, b"\n".join(taken), precision)
        if self.left < 0:
            raise RetryableStoreError("gone")


@contextmanager
def taking(store: Influx, lines: int) -> Iterator[None]:
    """Have the store's server take some lines and no more."""
    writer = store.writer
    there = writer._server, writer._outgoing
    with closing(BreaksOff(store.address, lines)) as server:
        writer._server, writer._outgoing, writer._catalog = server, Outgoing(server), None
        try:
            yield
        finally:
            writer._outgoing.close()
            writer._server, writer._outgoing = there


BEFORE = [
    DeviceRow("site1", 1, online=True, attributes={"rssi": "-61"}),
    transition("raised", 2),
    letter(3),
    letter(4, reason="not_json"),
]
BATCH = [
    DeviceRow("site1", 11 * 8192, online=False),
    LatestRow("site1", 11 * 8192, {"voltage": (NOW, 230.0)}),
    raw(NOW, 11 * 8192, voltage=230.0),
    transition("acknowledged", 12 * 8192, at=NOW + 1, by="ada"),
    transition("cleared", 13 * 8192, at=NOW + 2),
    transition("raised", 14 * 8192, at=NOW + 3, alert="site1/current/9"),
    letter(15 * 8192),
    letter(16 * 8192, device_id="site2"),
    change(3, "open", 1, 17, "not_json"),
    change(4, "dropped", 0, 18),
    outcome("c19", 19),
]


def read_by_others(store: Influx, bucket: str, measurement: str) -> list[dict[str, str]]:
    flux = """
        from(bucket: p_bucket) |> range(start: p_start, stop: p_end)
          |> filter(fn: (r) => r._measurement == p_measurement)
          |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
    """
    span = {"start": moment(0), "end": moment(FOREVER)}
    with closing(InfluxServer(store.address)) as server:
        answer = [*server.ask(flux, bucket=bucket, measurement=measurement, **span)]
    return [dict(zip(block.names, row, strict=True)) for block in answer for row in block.rows]


def test_a_transition_is_told_beside_the_readings_by_the_names_that_dashboards_know(store):
    store.apply(transition("escalated", 7, level="critical", value=15.5, message='15.5 A, "C"'))
    told = {
        "device_id": "site1",
        "alert_type": "current",
        "level": "critical",
        "id": "site1/current/1",
        "state": "escalated",
        "value": "15.5",
        "message": '15.5 A, "C"',
    }
    for bucket in (store.address.bucket, store.address.meta):
        [point] = read_by_others(store, bucket, "alert")
        assert told.items() <= point.items()


def test_two_transitions_of_one_instant_are_two_points(store):
    store.apply(transition("raised", 1), transition("raised", 2, alert="site1/current/2"))
    assert len(read_by_others(store, store.address.bucket, "alert")) == 2
    assert store.reader.stats().total_alerts == 2


@pytest.mark.slow
@pytest.mark.parametrize("lines", [0, 1, 3, 5, 7, 9, 11, 12, 13, 14, 16])
def test_a_batch_that_broke_off_anywhere_is_whole_when_it_is_written_again(new_store, lines):
    whole, broken = new_store(), new_store()
    for store in (whole, broken):
        store.apply(*BEFORE)
    whole.apply(*BATCH)
    with taking(broken, lines), pytest.raises(RetryableStoreError):
        broken.apply(*BATCH)
    broken.apply(*BATCH)
    assert broken.content() == whole.content()
    assert broken.reader.stats() == whole.reader.stats()


@pytest.mark.slow
@pytest.mark.parametrize("lines", [0, 1, 2])
def test_a_forget_that_broke_off_is_whole_when_it_is_asked_for_again(new_store, lines):
    whole, broken = new_store(), new_store()
    newer = [raw(NOW + HOUR, 30, voltage=1.0), transition("raised", 31, alert="site1/current/31")]
    for store in (whole, broken):
        store.apply(*BEFORE, raw(NOW, 5, voltage=230.0), *newer)
    whole.apply(Forget("site1", 20), *newer)
    with taking(broken, lines), pytest.raises(RetryableStoreError):
        broken.apply(Forget("site1", 20), *newer)
    broken.apply(Forget("site1", 20), *newer)
    assert broken.content() == whole.content()
    assert broken.reader.stats() == whole.reader.stats()


def test_a_letter_that_a_late_forget_leaves_is_as_it_was(store):
    store.apply(
        letter(3), letter(10), letter(11), change(10, "dropped", 0, 1), change(11, "open", 1, 2, "not_json")
    )
    before = [store.reader.dead_letter(letter_id) for letter_id in (10, 11)]
    store.apply(Forget("site1", 5))
    assert [store.reader.dead_letter(letter_id) for letter_id in (3, 10, 11)] == [None, *before]
    assert store.reader.dead_letters(None, None, None, 9) == before[1:]


def test_a_device_that_another_program_wrote_is_one_until_it_is_forgotten(store):
    with closing(InfluxServer(store.address)) as server:
        lines = b"sensor_reading,device_id=%s,firmware_version=1.0 temp_inlet=45.5 %d"
        server.write(store.address.bucket, b"\n".join(lines % (name, NOW) for name in (b"old", b"older")))
    assert [device.device_id for device in store.reader.devices()] == ["old", "older"]
    latest = {"temp_inlet": (NOW, 45.5)}
    assert store.reader.device("old") == StoredDevice("old", None, 0, {}, latest, [])
    store.apply(Forget("old", 1))
    assert [device.device_id for device in store.reader.devices()] == ["older"]
    assert store.reader.device("old") is None


def test_what_the_server_lets_go_itself_is_left_to_it_and_an_alert_of_then_is_kept(store):
    store.close()
    store.address = InfluxAddress(store.address.url, store.address.token, bucket=store.address.bucket, raw_ms=HOUR)
    store.writer, store.reader = open_writer(store.address), open_reader(store.address)
    store.apply(transition("raised", 1))
    assert store.reader.alert("site1/current/1") is not None
    assert read_by_others(store, store.address.bucket, "alert") == []
    store.apply(Retain("site1", 2, NOW, NOW, 0))
    assert store.reader.alert("site1/current/1") is not None
