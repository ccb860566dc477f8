"""A client that takes another's client id: what the deployed broker makes of it, before and after `per-device`."""

from collections.abc import Iterator

import pytest

from tests.deploy.deployed_mosquitto import FLOW_ID, DeployedMosquitto

pytestmark = pytest.mark.slow


@pytest.fixture
def broker() -> Iterator[DeployedMosquitto]:
    made = DeployedMosquitto(per_device=True)
    for device_id in ("site1", "site2"):
        made.add(device_id)
    yield made.start()
    made.close()


@pytest.mark.parametrize("version", [4, 5])
def test_on_the_tls_port_nobody_takes_anothers_session_by_its_client_id(broker, version):
    flow = broker.client("heatpump-flow", FLOW_ID, clean=False)
    flow.subscribe("heatpump/#")
    site2 = broker.client("site2", "site2", number=8883)
    for stolen in ("site2", FLOW_ID, f"{FLOW_ID}-live", "heatpump-flow"):
        thief = broker.client("site1", stolen, number=8883, version=version)
        assert thief.is_in  # as site1, whatever it says
        thief.close()
    assert site2.is_in and flow.is_in
    site2.publish("heatpump/site2/data", b"still heard")
    flow.hears(b"still heard")
    flow.close()
    thief = broker.client("site1", FLOW_ID, number=8883, version=version)  # while the flow is away
    site2.publish("heatpump/site2/data", b"meanwhile")
    thief.close()
    flow = broker.client("heatpump-flow", FLOW_ID, clean=False)
    flow.hears(b"meanwhile")
    for client in (flow, site2):
        client.close()


def test_on_the_plain_port_a_known_client_id_is_taken_so_the_flows_is_a_secret(broker):
    """The limit that docs/reference/mqtt.md names: there a client calls itself what it likes."""
    flow = broker.client("heatpump-flow", FLOW_ID, clean=False)
    flow.subscribe("heatpump/#")
    guessed = broker.client("site1", "heatpump-flow")
    assert flow.is_in
    site2 = broker.client("site2", "site2")
    thief = broker.client("site1", "site2")
    assert site2.lost.wait(60)
    thief.subscribe("heatpump/site2/commands")
    flow.publish("heatpump/site2/commands", b"for site2 alone")
    flow.publish("heatpump/site1/commands", b"for site1")
    thief.subscribe("heatpump/site1/commands")
    flow.publish("heatpump/site1/commands", b"for site1")
    thief.hears(b"for site1")
    assert {topic for topic, _, _ in thief.heard} == {"heatpump/site1/commands"}
    for client in (flow, guessed, site2, thief):
        client.close()
