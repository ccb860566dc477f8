"""The flow at the deployed broker: by TLS, with its own account, and what rotation costs it."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.accounts.sync import sync
from flows.cli.checks import broker_problem
from flows.errors import ConfigError
from tests.deploy.deployed_mosquitto import FLOW_ID, PASSWORDS, DeployedMosquitto, openssl
from tests.flows import Flow, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def broker() -> Iterator[DeployedMosquitto]:
    made = DeployedMosquitto()
    made.add("site1")
    yield made.start()
    made.close()


@pytest.fixture
def flow(broker: DeployedMosquitto, tmp_path: Path) -> Iterator[Flow]:
    made = flow_at(broker, tmp_path)
    yield made
    made.kill()


def flow_at(broker: DeployedMosquitto, folder: Path, number: int = 8884, **settings: object) -> Flow:
    ca = {"mqtt_ca": broker.ca} if number in (8883, 8884) else {}
    flow = Flow(folder / "data", broker.ports[number], mqtt_client_id=FLOW_ID, **{**ca, **settings})
    flow._environment |= {"MQTT_USER": "heatpump-flow", "MQTT_PASSWORD": PASSWORDS["HEATPUMP_MQTT_FLOW_PASSWORD"]}
    return flow


def messages(flow: Flow) -> int:
    health = flow.health()
    return int(health["messages"]) if health else 0


def test_by_tls_a_flow_that_was_away_gets_all_at_once_and_in_order(broker, flow):
    flow.start()
    flow.stop()
    device = broker.client("site1", version=5)
    for number in range(1_500):
        device._client.publish("heatpump/site1/data", reading(number), qos=number % 2)
    assert device.publish("heatpump/site1/data", reading(1_500)) == 0
    flow.start()
    wait_for(lambda: messages(flow), lambda count: count >= 1_501)
    wait_for(flow.readings, lambda count: count >= 1_501)
    health = flow.health()
    assert health is not None and health["unacknowledged"] == 0
    device.close()


def reading(number: int) -> bytes:
    return b'{"timestamp":%d,"electrical":{"power":%d}}' % (time.time_ns() // 1_000_000 - 10_000 + number, number)


def test_each_kind_of_wrong_tls_is_told_apart(broker, tmp_path):
    foreign = tmp_path / "foreign.crt"
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", tmp_path / "key"]
    openssl("req", "-x509", *key, "-out", foreign, "-days", "2", "-subj", "/CN=Another CA")
    tls, plain = broker.ports[8884], broker.ports[1883]
    login = ("heatpump-flow", PASSWORDS["HEATPUMP_MQTT_FLOW_PASSWORD"])

    assert broker_problem("localhost", tls, *login, str(broker.ca)) == ""
    assert "is not of the CA in HEATPUMP_MQTT_CA" in broker_problem("localhost", tls, *login, str(foreign))
    assert "speaks no TLS there" in broker_problem("localhost", plain, *login, str(broker.ca))
    assert "HEATPUMP_MQTT_CA is missing" in broker_problem("localhost", tls, *login)
    assert "refuses the login" in broker_problem("localhost", tls, "heatpump-flow", "wrong", str(broker.ca))
    broker.certify("DNS:broker.example")
    wait_for(
        lambda: "is for another name than localhost" in broker_problem("localhost", tls, *login, str(broker.ca))
    )
    broker.certify(days=-1)
    wait_for(lambda: "certificate is expired" in broker_problem("localhost", tls, *login, str(broker.ca)))
    with pytest.raises(ConfigError, match=r"HEATPUMP_MQTT_CA: .* is no certificate in PEM"):
        broker_problem("localhost", tls, *login, __file__)


def test_the_flow_says_what_is_wrong_with_the_certificate(broker, flow):
    broker.certify("DNS:broker.example")
    flow.launch()
    wait_for(lambda: "is for another name than 127.0.0.1: MQTT_BROKER must be one" in flow.log.read_text())


def test_the_flows_password_is_rotated_without_losing_a_message_of_qos_0(broker, flow):
    flow.start()
    sync(broker.with_secrets(**PASSWORDS | {"HEATPUMP_MQTT_FLOW_PASSWORD": "another"}))
    wait_for(lambda: "refuses heatpump-flow" in flow.log.read_text())
    device = broker.client("site1")
    for number in range(100):
        device._client.publish("heatpump/site1/data", reading(number), qos=0)
    assert device.publish("heatpump/site1/data", reading(100)) == 0
    flow.stop()
    flow._environment["MQTT_PASSWORD"] = "another"
    flow.start()
    wait_for(lambda: messages(flow), lambda count: count == 101)
    device.close()
