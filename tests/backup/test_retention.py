"""heatpump store retention: names what goes, and lets it go through the one writer of the store."""

import os
from contextlib import closing
from pathlib import Path

import pytest

from flows.model.influx_address import InfluxAddress
from flows.model.times import DAY_MS, now_ms
from flows.store import open_reader
from flows.store.influx import buckets
from flows.store.influx.server import InfluxServer
from tests.backup.conftest import patiently
from tests.brokers import Mosquitto
from tests.cli.heatpump import heatpump
from tests.flows import Device, Flow, wait_for
from tests.influx.real import TOKEN, URL, installation

pytestmark = pytest.mark.slow

DAYS = (1, 2, 12, 20)
"""How old the readings are."""


def feed(flow: Flow, port: int) -> None:
    for name in ("site1", "site2"):
        device = Device(port, name)
        for days in DAYS:
            for minute in range(5):
                at = now_ms() - days * DAY_MS + minute * 60_000
                device.send({"timestamp": at, "temperature": {"inlet": 30.5}})
        device.send({})
        device.close()


def readings(address: Path | InfluxAddress) -> int:
    with closing(open_reader(address)) as reader:
        return sum(len(reader.readings(name, 0, now_ms(), 1000)) for name in ("site1", "site2"))


def test_a_running_flow_lets_go_what_a_shorter_setting_no_longer_keeps(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    flow = patiently(Flow(tmp_path / "data", mosquitto.port))
    shorter = {"HEATPUMP_DATA": tmp_path / "data", "INFLUXDB_RETENTION": "7d"}
    try:
        feed(flow, mosquitto.port)
        wait_for(lambda: flow.store.exists() and flow.readings() == 40)
        said = heatpump("store", "retention", **shorter)
        assert said.returncode == 0 and "nothing is deleted" in said.stdout
        assert "readings      20 of " in said.stdout and "minutes       none" in said.stdout
        asked = heatpump("store", "retention", "--apply", **shorter)
        assert asked.returncode == 1 and "delete these?" in asked.stdout and flow.readings() == 40
        done = heatpump("store", "retention", "--apply", "--yes", **shorter)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "the flow goes through 2 devices" in done.stdout
        wait_for(lambda: flow.readings() == 20)
        assert "readings      none" in heatpump("store", "retention", **shorter).stdout
        assert "nothing to do" in heatpump("store", "retention", "--apply", **shorter).stdout
    finally:
        flow.kill()


def test_where_no_flow_runs_the_next_one_does_it(mosquitto: Mosquitto, tmp_path: Path) -> None:
    flow = patiently(Flow(tmp_path / "data", mosquitto.port))
    shorter = {"HEATPUMP_DATA": tmp_path / "data", "INFLUXDB_RETENTION": "7d"}
    try:
        feed(flow, mosquitto.port)
        wait_for(lambda: flow.store.exists() and flow.readings() == 40)
        assert flow.stop() == 0
        done = heatpump("store", "retention", "--apply", "--yes", **shorter)
        assert done.returncode == 0 and "carried out when one starts" in done.stdout, done.stderr
        assert flow.readings() == 40
        patiently(flow)
        wait_for(lambda: flow.readings() == 20)
    finally:
        flow.kill()


def test_buckets_follow_the_settings_shorter_and_longer(mosquitto: Mosquitto, tmp_path: Path) -> None:

    with installation() as address:
        server = {
            "INFLUXDB_URL": os.environ[URL],
            "INFLUXDB_TOKEN": os.environ.get(TOKEN, ""),
            "INFLUXDB_BUCKET": address.bucket,
        }
        flow = Flow(tmp_path / "data", mosquitto.port)
        flow._environment.update(server)
        patiently(flow)
        try:
            feed(flow, mosquitto.port)
            wait_for(lambda: readings(address) == 40)
            for setting, seconds, said in (
                ("7d", 7 * 86_400, "older points go"),
                ("60d", 60 * 86_400, "no point goes"),
            ):
                named = {"HEATPUMP_DATA": tmp_path / "data", **server, "INFLUXDB_RETENTION": setting}
                told = heatpump("store", "retention", **named)
                assert said in told.stdout and "nothing is deleted" in told.stdout, told.stderr
                done = heatpump("store", "retention", "--apply", "--yes", **named)
                assert done.returncode == 0, done.stdout + done.stderr
                with closing(InfluxServer(address)) as asked:
                    assert buckets.existing(asked)[address.bucket] == seconds
                assert "buckets" not in heatpump("store", "retention", **named).stdout
        finally:
            flow.kill()
