"""run.sh: the deployed broker keeps in step with its files, without anybody at its console."""

import os
import socket
import ssl
import subprocess
from collections.abc import Iterator

import pytest

from flows.accounts import devices
from flows.accounts.sync import sync
from tests.deploy.deployed_mosquitto import DEPLOY, PASSWORDS, DeployedMosquitto
from tests.flows import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def broker() -> Iterator[DeployedMosquitto]:
    made = DeployedMosquitto()
    yield made
    made.close()


def test_it_waits_for_the_accounts_and_a_signal_ends_that(broker):
    broker.launch()
    wait_for(lambda: "waits for" in broker.log.read_text())
    assert broker.stop() == 143
    broker.start()
    assert broker.stop() == 0
    assert (broker.home / "data" / "mosquitto.db").exists()
    assert not list((broker.home / "tmp").iterdir())


def test_a_device_added_may_come_and_one_revoked_is_thrown_out(broker):
    broker.start()
    broker.add("site1")
    broker.add("site2")
    wait_for(lambda: broker.admits("site1"))
    site1, site2 = broker.client("site1"), broker.client("site2")
    assert site1.is_in and site2.is_in
    devices.revoke(broker.settings, "site1")
    assert site1.lost.wait(60)
    refused = broker.client("site1")
    assert refused.answer == "Not authorized"
    refused.close()
    assert site2.is_in
    site2.close()


def test_another_password_ends_the_old_one_also_for_who_is_connected(broker):
    broker.start()
    broker.add("site1")
    wait_for(lambda: broker.admits("site1"))
    old, before = broker.client("site1"), broker.passwords["site1"]
    broker.add("site1", renew=True)
    assert old.lost.wait(60)
    assert not broker.admits("site1", password=before)
    assert broker.admits("site1")


def test_a_secret_that_is_rotated_is_the_accounts_password_and_others_stay_connected(broker):
    broker.start()
    shared = broker.client("heatpump")
    assert sync(broker.with_secrets(**PASSWORDS | {"HEATPUMP_MQTT_API_PASSWORD": "another"})) == [
        "heatpump-api: has another password"
    ]
    wait_for(lambda: broker.admits("heatpump-api", password="another"))
    assert not broker.admits("heatpump-api")
    assert shared.is_in
    shared.close()


def test_its_health_is_a_login_and_its_password_no_argument(broker):
    broker.start()

    def health(**environment: str) -> int:
        command = ["/bin/sh", str(DEPLOY / "health.sh"), str(broker.port)]
        return subprocess.run(
            command, env={"PATH": "/usr/bin:/bin", **environment}, capture_output=True
        ).returncode

    assert health(HEATPUMP_MQTT_HEALTH_PASSWORD=PASSWORDS["HEATPUMP_MQTT_HEALTH_PASSWORD"]) == 0
    assert health(HEATPUMP_MQTT_HEALTH_PASSWORD="wrong") != 0
    secrets = broker.home / "secrets"
    secrets.mkdir()
    (secrets / "HEATPUMP_MQTT_HEALTH_PASSWORD").write_text(PASSWORDS["HEATPUMP_MQTT_HEALTH_PASSWORD"])
    assert health(HEATPUMP_SECRETS=str(secrets)) == 0
    broker.stop()
    assert health(HEATPUMP_SECRETS=str(secrets)) != 0


def test_tls_begins_with_the_first_certificate_and_another_one_is_taken_without_a_restart():
    broker = DeployedMosquitto(tls=False)
    try:
        broker.start()
        broker.certify()
        wait_for(lambda: "(tls)" in broker.log.read_text())
        broker.wait_until_it_listens(8883)
        assert broker.admits("heatpump-flow")
        watching = broker.client("heatpump", number=8883)
        assert watching.is_in
        broker.certify()  # of another CA: who trusts only that one can tell that it is in use
        wait_for(lambda: trusts(broker))
        assert watching.is_in
        watching.close()
    finally:
        broker.close()


def trusts(broker: DeployedMosquitto) -> bool:
    context = ssl.create_default_context(cafile=broker.ca)
    with socket.create_connection(("127.0.0.1", broker.tls_port)) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="localhost"):
                return True
        except ssl.SSLError:
            return False


def test_a_key_that_does_not_fit_its_certificate_yet_ends_nothing(broker):
    broker.start()
    key = broker.home / "tls" / "server.key"
    watching, right = broker.client("heatpump-api"), key.read_bytes()
    broker.certify()
    new = key.read_bytes()
    key.write_bytes(right)
    wait_for(lambda: "read anew" in broker.log.read_text())
    assert broker.admits("heatpump-api")
    key.write_bytes(new)
    wait_for(lambda: trusts(broker))
    assert watching.is_in
    watching.close()


def test_the_log_of_who_connects_never_grows_beyond_a_few_megabytes(broker):
    broker.start()
    log = broker.home / "log" / "mosquitto.log"
    wait_for(log.exists)
    with open(log, "a") as file:
        file.write("x" * 2_000_001)
    wait_for(lambda: log.exists() and log.stat().st_size < 1_000)
    assert broker.admits("heatpump-api")
    wait_for(lambda: "u'heatpump-api'" in log.read_text())
    assert [path.name for path in sorted(log.parent.iterdir())] == ["mosquitto.log", "mosquitto.log.1"]


def test_when_the_last_shared_account_goes_it_starts_anew_and_keeps_what_waits(broker):
    broker.start()
    flow = broker.client("heatpump-flow", "flow", clean=False)
    flow.subscribe("heatpump/#")
    flow.close()
    broker.client("heatpump").publish("heatpump/site9/data", b"of an old device")
    devices.per_device(broker.settings, undo=False)
    wait_for(lambda: "(tls,per-device)" in broker.log.read_text())
    broker.wait_until_it_listens()
    assert not broker.admits("heatpump")
    flow = broker.client("heatpump-flow", "flow", clean=False)
    flow.hears(b"of an old device")
    flow.close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can try it as root")
def test_as_root_it_refuses(broker):
    done = subprocess.run(["/bin/sh", str(DEPLOY / "run.sh")], capture_output=True, text=True)
    assert done.returncode == 2
    assert "needs a user other than root" in done.stdout


def test_a_broker_that_may_not_write_its_log_runs_all_the_same(broker):
    (broker.home / "log").rmdir()
    broker.start()
    assert "cannot be written: who connects is kept in" in broker.log.read_text()
    broker.add("site1")
    wait_for(lambda: broker.admits("site1"))
