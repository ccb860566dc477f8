"""The recorded day, replayed over a real broker into a running flow, gives the energies of its sessions."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from flows.cli.checks import flow_health
from flows.cli.replay import replay
from flows.errors import FlowDown
from flows.model.rollup import RollupRow
from flows.model.times import DAY_MS
from flows.settings import load_settings
from flows.sources.recording import survey
from flows.store import open_reader
from tests.brokers import Mosquitto
from tests.folding import Sample
from tests.recorded import RECORDING, agrees, energies, energies_between, ms, samples, sessions, whole_minute_spans

pytestmark = pytest.mark.slow

EVER = 1 << 53
DEADLINE_S = 120.0
FLOW = "import sys; from flows.main import run; from flows.settings import load_settings; sys.exit(run(load_settings()))"


class Flow:
    """A flow as a process of its own."""

    def __init__(self, data: Path, port: int, retention: str) -> None:
        self.data, self.port = data, port
        env = {"PATH": os.environ["PATH"], "HEATPUMP_DATA": str(data), "MQTT_PORT": str(port)}
        env["INFLUXDB_RETENTION"] = retention
        self.process = subprocess.Popen([sys.executable, "-c", FLOW], env=env)

    def until_connected(self) -> None:
        self._until(lambda health: bool(health["connected"]))

    def replay(self, file: Path, *args: str) -> None:
        """Replay a recording and wait until the flow has stored what the broker took, late rows refolded."""
        app = typer.Typer()
        app.command()(replay)
        before = self._health()["messages"]
        result = CliRunner().invoke(app, [str(file), "--device-id", "daikin", "--port", str(self.port), *args])
        assert result.exit_code == 0, (result.output, result.exception)
        sent = survey(file).readings + 2  # and online, offline
        self._until(lambda health: health["messages"] == before + sent)
        ticks = self._health()["seconds"]
        self._until(lambda health: health["seconds"] >= ticks + 2 and health["stored_seq"] == health["synced_seq"])

    def _health(self) -> dict:
        return flow_health(load_settings(data=self.data))

    def _until(self, condition) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                if condition(self._health()):
                    return
            except FlowDown:
                assert self.process.poll() is None, "the flow ended"
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.05)

    def stored(self) -> tuple[list[Sample], list[RollupRow]]:
        """Read everything of the device: raw rows and minute rows."""
        with closing(open_reader(self.data / "store.sqlite")) as store:
            assert store.dead_letters(None, None, None, 10) == []
            rows = store.readings("daikin", 0, EVER, 10_000, newest_first=False)
            minutes = store.rollups("daikin", "1m", 0, EVER, 10_000)
        return [Sample(row.at, row.values) for row in rows], minutes


@pytest.fixture
def flow_on(mosquitto: Mosquitto, tmp_path: Path) -> Iterator:
    flows: list[Flow] = []

    def start(retention: str) -> Flow:
        flow = Flow(tmp_path / "data", mosquitto.port, retention)
        flows.append(flow)
        flow.until_connected()
        return flow

    yield start
    for flow in flows:
        flow.process.send_signal(signal.SIGTERM)
        try:
            assert flow.process.wait(120) == 0
        finally:
            flow.process.kill()


def test_over_mqtt_the_sessions_have_their_energies(flow_on) -> None:
    flow = flow_on("30d")
    flow.replay(RECORDING, "--speed", "1e9")
    stored, minutes = flow.stored()
    shift = stored[0].at - samples()[0].at
    assert shift % DAY_MS == 0
    assert [row.at - shift for row in stored] == [sample.at for sample in samples()]
    for session in sessions():
        electric, heat = energies_between(stored, session.start + shift, session.end + shift)
        assert agrees(electric, session.electric_kwh), session
        assert agrees(heat, session.heat_kwh), session
        assert agrees(heat / electric, session.cop), session
    for span in whole_minute_spans():
        rows = [row.values for row in minutes if span.start <= row.start - shift < span.end]
        electric, heat = energies(rows)
        assert agrees(electric, span.electric_kwh), span
        assert agrees(heat, span.heat_kwh), span


def test_over_mqtt_the_same_replay_again_changes_nothing(flow_on, tmp_path: Path) -> None:
    morning = tmp_path / "morning.csv"
    morning.write_text("".join(RECORDING.read_text().splitlines(keepends=True)[:1000]))
    flow = flow_on("3650d")
    flow.replay(morning, "--speed", "1e9", "--keep-time")
    readings, minutes = flow.stored()
    assert readings[0].at == ms("2024-10-10T00:00:30Z")
    assert len(readings) == 999 and len(minutes) > 490
    flow.replay(morning, "--speed", "1e9", "--keep-time")
    again, minutes_again = flow.stored()
    assert again == readings
    assert [(row.start, row.count, row.values) for row in minutes_again] == [
        (row.start, row.count, row.values) for row in minutes
    ]
