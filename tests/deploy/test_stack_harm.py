"""A server that ./setup.sh set up: its containers killed, stopped and given new secrets while a device sends. Nothing is lost."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import httpx
import pytest

from tests.deploy.deployed import Deployed, Device, deployed
from tests.deploy.runner import needed
from tests.deploy.wire import HTTP, ask
from tests.flows import wait_for

pytestmark = [pytest.mark.slow, needed("nginx", "mosquitto")]

SERVICES = ("mosquitto", "flow", "backend", "panel", "dashboard")
SEND_EVERY_S = 0.1


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with deployed(tmp_path_factory.mktemp("stack") / "machine", "--store", "sqlite") as made:
        yield made


@pytest.fixture(scope="module")
def device(site: Deployed) -> Iterator[Device]:
    with closing(site.device("site1")) as made:
        yield made


@contextmanager
def sending(device: Device) -> Iterator[None]:
    """The device sends ten readings a second meanwhile."""
    over = threading.Event()

    def send() -> None:
        while not over.wait(SEND_EVERY_S):
            device.send()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def is_back(site: Deployed) -> bool:
    """Whether all of it works: the API with broker and flow behind nginx, the pages."""
    try:
        health = site.api.get("/api/health")
        page = ask("/", port=HTTP, Host="localhost", Authorization=f"Bearer {site.secret('HEATPUMP_API_TOKEN')}")
        return health.status_code == 200 and health.json()["problems"] == [] and page.status in (200, 302)
    except (httpx.HTTPError, OSError):
        return False


def kill(site: Deployed, service: str) -> None:
    running = site.machine.running[service]
    running.kill()
    assert running.ended == 128 + 9


def bring_back(site: Deployed, service: str) -> None:
    site.stack.start(service)
    site.machine.until_healthy(service)
    wait_for(lambda: is_back(site))


@pytest.mark.parametrize("service", [name for name in SERVICES if name != "mosquitto"])
def test_what_is_killed_comes_back_and_no_reading_is_lost(site: Deployed, device: Device, service: str):
    with sending(device):
        sent = device.sent
        wait_for(lambda: device.sent > sent + 3)
        kill(site, service)
        wait_for(lambda: device.sent > sent + 12)
        bring_back(site, service)
    device.until_acknowledged()
    site.until_stored(device.sent)


def test_a_killed_broker_comes_back_and_what_the_flow_had_or_nobody_acknowledged_is_not_lost(
    site: Deployed, device: Device
):
    saved = site.machine.volume("mqtt_data") / "mosquitto.db"  # every 30 s: with it, that the flow has a queue
    queue = site.secret("HEATPUMP_MQTT_CLIENT_ID").encode()
    wait_for(lambda: saved.exists() and queue in saved.read_bytes())
    device.send()
    site.until_stored(device.sent)
    kill(site, "mosquitto")
    with sending(device):
        sent = device.sent
        wait_for(lambda: device.sent > sent + 12)
        bring_back(site, "mosquitto")
    device.until_acknowledged()
    site.until_stored(device.sent)


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_stopped_ends_within_its_grace(site: Deployed, device: Device, service: str):
    device.send()
    running = site.machine.running[service]
    code, seconds = running.stop()
    bring_back(site, service)  # first: the tests after this one, too, need it
    assert code in (0, 143), running.said[-1000:]
    assert seconds < running.container.grace_s
    device.until_acknowledged()
    site.until_stored(device.sent)


ROTATED = (
    *("HEATPUMP_MQTT_FLOW_PASSWORD", "HEATPUMP_MQTT_API_PASSWORD", "HEATPUMP_MQTT_HEALTH_PASSWORD"),
    *("HEATPUMP_COMMAND_TOKEN", "HEATPUMP_METRICS_TOKEN", "HEATPUMP_API_TOKEN", "HEATPUMP_SESSION_KEY"),
)


def test_new_secrets_while_a_device_sends_lose_no_reading_and_end_the_old_ones(site: Deployed, device: Device):
    before = {name: site.secret(name) for name in ROTATED}
    certificate = (site.project / "data/tls/nginx/server.crt").read_bytes()
    with sending(device):
        sent = device.sent
        wait_for(lambda: device.sent > sent + 5)
        site.sh.run("./setup.sh", "--rotate")
        site.api.close()
        site.api = site.client(site.secret("HEATPUMP_API_TOKEN"))
        wait_for(lambda: is_back(site))
        sent = device.sent
        wait_for(lambda: device.sent > sent + 5)
    device.until_acknowledged()
    site.until_stored(device.sent)
    assert [name for name in ROTATED if site.secret(name) == before[name]] == []
    assert (site.project / "data/tls/nginx/server.crt").read_bytes() != certificate
    with site.client(before["HEATPUMP_API_TOKEN"]) as old:
        assert old.get("/api/devices").status_code == 401
    with httpx.Client(trust_env=False) as client:
        headers = {"Authorization": f"Bearer {before['HEATPUMP_COMMAND_TOKEN']}"}
        assert client.get("http://127.0.0.1:8700/health", headers=headers).status_code == 401
        headers = {"Authorization": f"Bearer {before['HEATPUMP_METRICS_TOKEN']}"}
        assert client.get("http://127.0.0.1:9464/metrics", headers=headers).status_code == 401
    assert "all is as it should be" in site.sh.run("./setup.sh", "--check")


def test_a_new_password_of_the_shared_account_ends_the_old_one_and_no_device_s_own(site: Deployed, device: Device):
    with closing(site.shared("site2")) as shared:
        shared.send()
        shared.until_acknowledged()
        site.until_stored(device.sent + 1)
        site.sh.run("./setup.sh", "--rotate", "mqtt-password")
        wait_for(lambda: not shared.client.is_connected())
    with closing(site.shared("site3")) as anew:
        anew.send()
        device.send()
        anew.until_acknowledged()
        device.until_acknowledged()
        site.until_stored(device.sent + 2)


def test_a_revoked_device_is_out_at_once(site: Deployed):
    with closing(site.device("site9")) as device:
        site.tell("heatpump", "device", "revoke", "site9")
        wait_for(lambda: not device.client.is_connected())


def test_the_end_of_the_shared_account_ends_who_uses_it_names_them_and_loses_no_reading(
    site: Deployed, device: Device
):
    before = site.readings() - device.sent
    with closing(site.shared("site4")) as shared:
        shared.send()
        shared.until_acknowledged()
        site.until_stored(before + device.sent + 1)
        with sending(device):
            said = site.sh.run("./setup.sh", "--per-device")
            wait_for(lambda: not shared.client.is_connected())
            sent = device.sent
            wait_for(lambda: device.sent > sent + 5)
    assert "heatpump" in said and "site1" in said
    device.until_acknowledged()
    site.until_stored(before + device.sent + 1)
    assert "all is as it should be" in site.sh.run("./setup.sh", "--check")
