"""The whole system on a real InfluxDB: it runs, says what it waits for, and takes readings meanwhile."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from flows.model.influx_address import InfluxAddress
from flows.settings import Settings, load_settings
from flows.store import open_reader
from flows.store.influx.server import InfluxServer
from tests.api.conftest import running
from tests.brokers import Mosquitto, free_port
from tests.cli.heatpump import Up, heatpump
from tests.docs.system import ROOT, blocks
from tests.flows import Device, Flow, wait_for
from tests.influx.gate import opened
from tests.influx.real import installation, token

pytestmark = pytest.mark.slow


@pytest.fixture
def whole() -> Iterator[InfluxAddress]:
    """An installation, with all rights."""
    with installation() as made:
        yield made


@pytest.fixture
def address(whole: InfluxAddress) -> Iterator[InfluxAddress]:
    """The same with a token of its own, which may be taken away; it may read and write all buckets, no more."""
    with token(whole, read=[], write=[]) as mine:
        yield mine


@pytest.fixture
def environment(address: InfluxAddress, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Variables that name it."""
    given = {"INFLUXDB_URL": address.url, "INFLUXDB_TOKEN": address.token, "INFLUXDB_BUCKET": address.bucket}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return given


def readings(address: InfluxAddress) -> int:
    """Count what is stored, with the rights of whoever runs the tests."""
    with closing(open_reader(address)) as reader:
        return reader.stats().total_readings


@pytest.fixture
def fed(
    tmp_path, mosquitto: Mosquitto, whole: InfluxAddress, environment
) -> Iterator[tuple[Flow, Device, Settings]]:
    """A flow that has stored a reading, the device that sent it, and settings for an API beside them."""
    flow, device = Flow(tmp_path / "data", mosquitto.port), Device(mosquitto.port)
    try:
        flow.start()
        device.reading()
        wait_for(lambda: readings(whole), lambda count: count == 1)
        yield flow, device, load_settings(data=flow.data, mqtt_broker="127.0.0.1", mqtt_port=mosquitto.port)
    finally:
        device.close()
        flow.kill()


def set_active(whole: InfluxAddress, taken: InfluxAddress, active: bool) -> None:
    """Let a token sleep, or wake it."""
    with closing(InfluxServer(whole)) as server:
        api = server.client.authorizations_api()
        (found,) = [each for each in api.find_authorizations() if each.token == taken.token]
        found.status = "active" if active else "inactive"
        api.update_authorization(found)


def test_a_token_that_is_taken_away_is_told_by_health_and_nothing_is_lost(
    fed: tuple[Flow, Device, Settings], whole: InfluxAddress, address: InfluxAddress
):
    flow, device, settings = fed
    with running(settings, address, live=True) as api:
        well = wait_for(lambda: api.get("/api/health").json(), lambda health: health["problems"] == [])
        assert (well["status"], well["store"], well["influxdb_connected"]) == ("healthy", "influxdb", True)
        set_active(whole, address, active=False)
        device.reading()
        told = wait_for(
            lambda: api.get("/api/health").json()["problems"],
            lambda problems: any("waits for the store: InfluxDB refuses to" in said for said in problems),
        )
        assert any("does not answer: InfluxDB refuses to read" in said for said in told)
        assert all("INFLUXDB_TOKEN" in said for said in told), told
        assert address.url not in str(told) and address.token not in str(told)
        pipeline = api.get("/api/pipeline").json()["store"]
        assert pipeline["kind"] == "influxdb" and "InfluxDB at" in pipeline["waiting"]
        set_active(whole, address, active=True)
        wait_for(lambda: readings(whole), lambda count: count == 2)
    # Whichever it did first with the token that was taken away: to write, or to look for its fence.
    refusals = ("403 insufficient permissions for write: token is inactive", "404 failed to initialize")
    assert any(said in flow.log.read_text() for said in refusals)
    assert address.token not in flow.log.read_text()


def test_what_arrives_while_influxdb_is_away_at_a_start_is_journaled_and_stored_later(
    tmp_path, mosquitto: Mosquitto, address: InfluxAddress, environment, monkeypatch
):
    flow, device = Flow(tmp_path / "data", mosquitto.port), Device(mosquitto.port)
    try:
        flow.start()
        device.reading()
        wait_for(lambda: readings(address), lambda count: count == 1)
        assert flow.stop() == 0
        port = free_port()
        monkeypatch.setenv("INFLUXDB_URL", f"http://127.0.0.1:{port}")
        flow = Flow(tmp_path / "data", mosquitto.port).start()
        device.reading()
        waits = wait_for(flow.health, lambda health: bool(health and health["store_waiting"]))
        assert "does not answer" in waits["store_waiting"] and waits["connected"]
        assert readings(address) == 1
        with opened(address.url, port):
            wait_for(lambda: readings(address), lambda count: count == 2)
            wait_for(flow.health, lambda health: health["store_waiting"] == "")
            assert flow.stop() == 0
    finally:
        device.close()
        flow.kill()


def test_up_runs_flow_api_and_pages_on_it(tmp_path, address: InfluxAddress, environment):
    up = Up(tmp_path / "data", **environment)
    try:
        up.until_ready()
        device = Device(up.mqtt_port)
        device.reading()
        base = f"http://127.0.0.1:{up.api_port}"
        with httpx.Client(base_url=base, trust_env=False, timeout=60) as client:
            wait_for(lambda: client.get("/api/stats").json().get("total_readings"), lambda count: count == 1)
            health = wait_for(lambda: client.get("/api/health").json(), lambda said: said["status"] == "healthy")
            assert (health["store"], health["influxdb_connected"]) == ("influxdb", True)
            latest = client.get("/api/devices/site1/readings/latest").json()
            assert latest["temp_inlet"] == 30.5
            command = client.put("/api/devices/site1", json={"name": "Cabin"})
            assert command.status_code == 200, command.text
            assert client.get("/api/devices").json()[0]["name"] == "Cabin"
        device.close()
        (flux,) = blocks(ROOT / "docs" / "how-to" / "influxdb.md", "flux")
        with closing(InfluxServer(address)) as server:
            (block,) = server.ask(flux.replace('"sensor_data"', "p_bucket"), bucket=address.bucket)
        assert (block.column("_field"), block.column("_value")) == (["temp_inlet"], ["30.5"])
        assert httpx.get(f"http://127.0.0.1:{up.panel_port}/", trust_env=False, timeout=60).status_code == 200
        assert not (tmp_path / "data" / "store.sqlite").exists()
        assert up.end() == 0, up.said
    finally:
        up.clean_up()


def test_commands_read_it_and_a_rebuild_goes_on_with_it(
    tmp_path, mosquitto: Mosquitto, address: InfluxAddress, environment
):
    data = tmp_path / "data"
    flow, device = Flow(data, mosquitto.port), Device(mosquitto.port)
    try:
        flow.start()
        device.reading()
        device.send(b"{")
        wait_for(lambda: readings(address), lambda count: count == 1)
        letters = wait_for(
            lambda: heatpump("dead-letters", "list", "--json", "--data", data, **environment).stdout,
            lambda text: "not_json" in text,
        )
        assert json.loads(letters)[0]["device_id"] == "site1"
        listed = json.loads(heatpump("devices", "--json", "--data", data, **environment).stdout)
        assert [line["device_id"] for line in listed] == ["site1"]
        assert flow.stop() == 0
        rebuilt = heatpump("rebuild", "--data", data, **environment)
        assert (rebuilt.returncode, rebuilt.stderr) == (0, "")
        assert "computes all state anew from the journal's frames 1 to " in rebuilt.stdout
        flow.start()
        device.reading()
        wait_for(lambda: readings(address), lambda count: count == 2)
    finally:
        device.close()
        flow.kill()


def test_up_without_a_token_is_refused_before_anything_starts(tmp_path):
    up = Up(tmp_path / "data", INFLUXDB_URL="http://127.0.0.1:1")
    assert up.process.wait(60) == 2
    assert "INFLUXDB_URL: 'http://127.0.0.1:1' needs a token: give INFLUXDB_TOKEN" in up.said


def test_what_the_flow_tells_does_not_wait_for_a_server_that_holds_its_answers_back(
    fed: tuple[Flow, Device, Settings],
):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        frozen = InfluxAddress(f"http://127.0.0.1:{silent.getsockname()[1]}", "TOKEN")
        with running(fed[2], frozen, live=True) as api:
            url = f"http://127.0.0.1:{api.port}/api/devices"
            question = threading.Thread(target=lambda: httpx.get(url, timeout=60, trust_env=False))
            question.start()
            held = silent.accept()[0]
            told = api.get("/api/pipeline").json()
            links = {link["link"]: link for link in api.get("/api/walk").json()["links"]}
            assert question.is_alive()  # it waits for 20 s
            for connection in (silent, held):
                connection.close()
            question.join()
    assert told["devices"] == {"known": 1, "online": None}
    assert links["message"]["detail"] == "the store cannot be read"
