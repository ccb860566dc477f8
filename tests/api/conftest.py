"""The API as it runs: uvicorn on a free port, over a real store."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

from api import commands
from api.app import create_app
from api.routes import pipeline
from api.serve import config, listening
from flows.model.alert import Transition
from flows.model.dead_letter import DeadLetter
from flows.model.device import Bounds, DeviceMetadata
from flows.model.rows import DeviceRow
from flows.model.times import now_ms
from flows.settings import Settings, load_settings
from flows.store import open_reader, open_writer
from tests.filled import fill, ordinary

PATIENCE_S = 120.0
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Wait until a condition holds; fail naming it after a while."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {what}"
        time.sleep(0.01)


@pytest.fixture(scope="module", autouse=True)
def patience() -> Iterator[None]:
    """Have the API wait for the flow as long as that takes on a slow machine."""
    with pytest.MonkeyPatch.context() as patch:
        for waiting in (commands, pipeline):
            patch.setattr(waiting, "PATIENCE_S", PATIENCE_S / 2)
        yield


class Api:
    """A running API: its port, its app's context, a client."""

    def __init__(self, port: int, context) -> None:
        self.port, self.context = port, context
        # Plain HTTP: certificates would be loaded, for many milliseconds, and never looked at.
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=PATIENCE_S, verify=False
        )
        self.get, self.put, self.post = self.client.get, self.client.put, self.client.post
        self.delete = self.client.delete


@contextmanager
def running(settings: Settings, path: Path, live: bool = False) -> Iterator[Api]:
    """Run the API over a store on a free port of 127.0.0.1."""
    reader = open_reader(path)
    app = create_app(settings, reader, live=live)
    server = uvicorn.Server(config(app))
    with listening("127.0.0.1", 0) as sock:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        try:
            wait_for(lambda: server.started or not thread.is_alive(), "the API to start")
            api = Api(sock.getsockname()[1], app.state.context)
            yield api
            api.client.close()
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)
            reader.close()
    assert not thread.is_alive()


class Filled:
    """What the shared store holds: `site1` lives, `site2` is silent, `site3` only ever said it is online."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "store.sqlite"
        self.now = now_ms() // SECOND * SECOND
        self.times = range(self.now - 3 * HOUR, self.now + 1, 10 * SECOND)
        metadata = DeviceMetadata(
            name="Cabin",
            location="Lillehammer",
            timezone="Europe/Oslo",
            limits={"voltage_high": Bounds(warning=248.0)},
        )
        fill(self.path, self.times, metadata=[metadata], values=self.values)
        fill(
            self.path,
            range(self.now - 2 * DAY, self.now - DAY, 10 * MINUTE),
            device_id="site2",
            first_order=10_000,
        )
        writer = open_writer(self.path)
        writer.apply(
            [
                DeviceRow("site1", 20_000, online=True, attributes={"rssi": "-61", "version": "1.0.0"}),
                DeviceRow("site3", 20_001, online=True),
                *(self.transition(i) for i in range(3)),
                self.transition(3, state="cleared", alert=2),
                self.letter(8192, "not_json", b"{"),
                self.letter(16384, "empty", b"\xff\x00"),
                self.letter(24576, "empty", b"{}"),
            ]
        )
        writer.close()

    def values(self, at: int):
        return {**ordinary(at), "voltage": 230.0}

    def transition(self, i: int, state="raised", alert: int | None = None) -> Transition:
        at = self.now - HOUR + i * MINUTE
        number = i if alert is None else alert
        since = self.now - HOUR + number * MINUTE
        kind = "voltage_high"
        alert_id = f"site1/{kind}/{30_000 + number}"
        return Transition(
            alert_id, 30_000 + i, "site1", kind, at, at, "warning", state, 246.5, "voltage 246.5 V", since
        )

    def letter(self, order: int, reason: str, body: bytes) -> DeadLetter:
        return DeadLetter(order, "site1", "heatpump/site1/data", self.now - MINUTE, reason, "why", body, len(body))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    return Filled(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def api(filled: Filled) -> Iterator[Api]:
    """The API over the shared store, without broker and flow; whoever was online stays so meanwhile."""
    with running(load_settings(data=filled.path.parent, online_timeout_s=3600), filled.path) as running_api:
        yield running_api
