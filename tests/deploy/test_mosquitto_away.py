"""Whatever changes at the deployed broker while the flow is away: what comes meanwhile waits for it.

Mosquitto itself would drop it: at a SIGHUP a session whose password does not fit, or that was loaded from disk, loses
its rights. run.sh knows.
"""

from collections.abc import Iterator

import pytest

from flows.accounts.sync import sync
from tests.deploy.deployed_mosquitto import FLOW_ID, PASSWORDS, Client, DeployedMosquitto
from tests.flows import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def broker() -> Iterator[DeployedMosquitto]:
    """One at which a flow was, and is away."""
    made = DeployedMosquitto()
    made.add("site1")
    made.start()
    flow = session(made)
    flow.subscribe("heatpump/#")
    flow.close()
    yield made
    made.close()


def session(broker: DeployedMosquitto) -> Client:
    return broker.client("heatpump-flow", FLOW_ID, clean=False)


def send(broker: DeployedMosquitto, payload: bytes, qos: int = 1) -> None:
    device = broker.client("site1", version=5)
    assert device.publish("heatpump/site1/data", payload, qos=qos) == 0
    device.close()


def restart(broker: DeployedMosquitto) -> None:
    assert broker.stop() == 0
    broker.launch()
    broker.wait_until_it_listens()
    assert broker.admits("heatpump-api")


def rotate(broker: DeployedMosquitto) -> None:
    sync(broker.with_secrets(**PASSWORDS | {"HEATPUMP_MQTT_FLOW_PASSWORD": "another"}))
    broker.passwords["heatpump-flow"] = "another"


def acted(broker: DeployedMosquitto, how: str) -> None:
    """Wait until run.sh did what it does about a change."""
    wait_for(lambda: how in broker.log.read_text())
    broker.wait_until_it_listens()


def hears_all(broker: DeployedMosquitto, *payloads: bytes) -> None:
    flow = session(broker)
    for payload in payloads:
        flow.hears(payload)
    flow.close()


@pytest.mark.parametrize("qos", [0, 1])
def test_what_comes_waits_whatever_its_qos(broker, qos):
    send(broker, b"one", qos)
    hears_all(broker, b"one")


def test_it_waits_when_a_device_is_added(broker):
    send(broker, b"before")
    broker.add("site2")
    acted(broker, "read anew")
    send(broker, b"after")
    hears_all(broker, b"before", b"after")


def test_it_waits_when_the_broker_starts_anew_and_then_a_device_is_added(broker):
    send(broker, b"before")
    restart(broker)
    send(broker, b"between")
    broker.add("site2")
    acted(broker, "the flow's session has to be kept")
    wait_for(lambda: broker.admits("site2"))
    send(broker, b"after")
    hears_all(broker, b"before", b"between", b"after")


def test_it_waits_when_the_flows_password_is_rotated(broker):
    send(broker, b"before")
    rotate(broker)
    acted(broker, "the flow's session has to be kept")
    wait_for(lambda: broker.admits("heatpump-flow"))
    send(broker, b"after")
    hears_all(broker, b"before", b"after")


def test_it_waits_when_the_log_is_moved_aside(broker):
    restart(broker)
    log = broker.home / "log" / "mosquitto.log"
    with open(log, "a") as file:
        file.write("x" * 1_000_001)
    wait_for(lambda: log.stat().st_size < 1_000)
    send(broker, b"after")
    hears_all(broker, b"after")
