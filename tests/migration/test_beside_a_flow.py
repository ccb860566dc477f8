"""A flow on a broker writes on while its store is moved, goes on on the new one, and back again."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from flows.model.influx_address import InfluxAddress
from flows.model.times import now_ms
from flows.store import open_reader
from tests.brokers import Mosquitto
from tests.cli.heatpump import heatpump
from tests.flows import Device, Flow, wait_for
from tests.store.conftest import KINDS

pytestmark = pytest.mark.slow


class Sender(threading.Thread):
    """A device that sends a reading every 20 ms, each with a time of its own."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._device, self._over = Device(port), threading.Event()
        self.sent: set[int] = set()

    def run(self) -> None:
        while not self._over.wait(0.02):
            at = now_ms()
            self._device.send(
                {"timestamp": at, "electrical": {"power": at % 1000}, "temperature": {"inlet": 30.5}}
            )
            self.sent.add(at)

    def end(self) -> None:
        self._over.set()
        self.join()
        self._device.close()


@contextmanager
def sending(port: int) -> Iterator[Sender]:
    sender = Sender(port)
    sender.start()
    try:
        yield sender
    finally:
        sender.end()


def times(address: Path | InfluxAddress) -> set[int]:
    with closing(open_reader(address)) as reader:
        return {each.at for each in reader.readings("site1", 0, now_ms() + 1, 100_000)}


@pytest.fixture
def flows(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[Callable[..., Flow]]:
    """Makes flows on one data folder, with settings."""
    made: list[Flow] = []

    def make(**settings: object) -> Flow:
        made.append(Flow(tmp_path / "data", mosquitto.port))
        made[-1]._environment.update({name: str(value) for name, value in settings.items()})
        return made[-1]

    yield make
    for flow in made:
        flow.kill()


def test_nothing_is_lost_or_doubled_on_the_way_there_and_back(
    mosquitto: Mosquitto, flows: Callable[..., Flow], server, tmp_path: Path
) -> None:
    made = KINDS["influx"](tmp_path)
    address, on_server = made.address, {**server(made), "HEATPUMP_DATA": tmp_path / "data"}
    store = tmp_path / "data" / "store.sqlite"
    flow = flows().start()
    with sending(mosquitto.port) as sender:
        wait_for(lambda: store.exists() and flow.readings() > 100)
        there = heatpump("migrate", "--from", store, "--to", "influxdb", **on_server)
        assert there.returncode == 0, there.stdout + there.stderr
        assert flow.stop() == 0

        on_it = flows(**on_server).start()
        first = len(times(store))
        wait_for(lambda: len(times(address)) > first + 100)
        store.rename(tmp_path / "old.sqlite")
        back = heatpump("migrate", "--from", "influxdb", "--to", store, **on_server)
        assert back.returncode == 0, back.stdout + back.stderr
        assert on_it.stop() == 0

        flow.start()
        second = len(times(address))
        wait_for(lambda: flow.readings() > second + 50)
    wait_for(lambda: sender.sent - times(store), lambda missing: not missing)
    assert times(store) == sender.sent
    assert flow.readings() == len(sender.sent)
    assert flow.stop() == 0
    made.close()
