"""What a device may not do at the deployed broker, tried by real connections.

For each: what the attacker sees, and that neither the flow's journal nor another client got anything of it.
"""

import struct
from collections.abc import Iterator

import pytest

from flows.journal.reader import newest_first
from tests.deploy.deployed_mosquitto import FLOW_ID, PASSWORDS, Client, DeployedMosquitto
from tests.flows import Flow, wait_for

pytestmark = pytest.mark.slow

FORGED = b'{"electrical":{"power":6666}}'
DENIED = 135
"""MQTT 5: not authorized. MQTT 3.1.1 has no word for it: the broker acknowledges, and drops."""

FORBIDDEN = [
    "heatpump/site2/data",
    "heatpump/site2/status/online",
    "heatpump/site2/alerts",
    "heatpump/site1/commands",
    "heatpump/site2/commands",
    "heatpump/SITE1/data",
    "heatpump/site1/data/x",
    "heatpump/site1/other",
    "heatpump/site1/../site2/data",
    "heatpump/%u/data",
    "heatpump//data",
    "heatpump/data",
    "/heatpump/site1/data",
    "heatpump-live/site1/reading",
    "heatpump-live/site1/ack",
    "heatpump-live/site2/alert",
    "heatpump-live/pipeline",
    "heatpump-health",
    "heatpump-doctor/x",
    "homeassistant/sensor/site2/config",
    "test",
]
WIDE = [
    "#",
    "+/#",
    "heatpump/#",
    "heatpump/+/data",
    "heatpump/+/commands",
    "heatpump/site2/#",
    "heatpump-live/#",
    "heatpump-live/+/ack",
    "heatpump-live/site2/ack",
    "$SYS/#",
    "$share/g/heatpump/#",
    "test",
]


@pytest.fixture(scope="module")
def broker() -> Iterator[DeployedMosquitto]:
    made = DeployedMosquitto()
    for device_id in ("site1", "site2"):
        made.add(device_id)
    yield made.start()
    made.close()


@pytest.fixture(scope="module")
def flow(broker: DeployedMosquitto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    made = Flow(tmp_path_factory.mktemp("flow") / "data", broker.port, mqtt_client_id=FLOW_ID)
    made._environment |= {"MQTT_USER": "heatpump-flow", "MQTT_PASSWORD": PASSWORDS["HEATPUMP_MQTT_FLOW_PASSWORD"]}
    yield made.start()
    made.kill()


@pytest.fixture(scope="module")
def watcher(broker: DeployedMosquitto) -> Iterator[Client]:
    """Hears all that devices send, and all that is not for devices."""
    client = broker.client("heatpump", "watcher")
    assert client.subscribe("heatpump/#") == [1]
    assert client.subscribe("test") == [1]
    yield client
    client.close()


@pytest.fixture(scope="module")
def api(broker: DeployedMosquitto) -> Iterator[Client]:
    client = broker.client("heatpump-api", "api")
    assert client.subscribe("heatpump-live/#") == [1]
    yield client
    client.close()


@pytest.fixture
def victim(broker: DeployedMosquitto, flow: Flow, watcher: Client, api: Client) -> Iterator[Client]:
    """site2, which goes on as if nothing were; afterwards nobody has got anything that was forged."""
    client = broker.client("site2", "site2-esp", version=5)
    client.subscribe("heatpump/site2/commands")
    client.subscribe("heatpump-live/site2/ack")
    yield client
    assert client.is_in
    proof = b'{"electrical":{"power":%d}}' % (1_000 + len(watcher.heard))
    assert client.publish("heatpump/site2/data", proof) == 0
    watcher.hears(proof)
    wait_for(lambda: journaled(flow, proof))
    client.close()
    for honest in (watcher, api, client):
        assert not [one for one in honest.heard if FORGED in one[1]]
    assert not journaled(flow, FORGED)


def journaled(flow: Flow, payload: bytes) -> bool:
    return any(payload in frame.payload for frame in newest_first(flow.data / "journal"))


@pytest.fixture(params=[(4, 1883), (5, 1883), (5, 8883), (4, 9001)], ids=["311", "5", "tls", "websocket"])
def attacker(request: pytest.FixtureRequest, broker: DeployedMosquitto) -> Iterator[Client]:
    """site1, with a password of its own and bad intentions."""
    version, number = request.param
    client = broker.client("site1", "site1-esp", version=version, number=number)
    assert client.is_in
    client.version = version
    yield client
    client.close()


def test_it_writes_what_is_its_own(broker, flow, watcher, attacker, api):
    own = b'{"electrical":{"power":%d}}' % (2_000 + len(watcher.heard))
    for topic in ("data", "status/online", "status/deep/er", "alerts"):
        assert attacker.publish(f"heatpump/site1/{topic}", own) == 0
    wait_for(lambda: sorted(topic for topic, payload, _ in watcher.heard if payload == own)[1:] != [])
    wait_for(lambda: journaled(flow, own))


def test_forbidden_topics_take_nothing_of_it(attacker, victim):
    for topic in FORBIDDEN:
        for retain in (False, True):
            seen = attacker.publish(topic, FORGED, retain=retain)
            assert seen == (DENIED if attacker.version == 5 else 0), topic
        attacker._client.publish(topic, FORGED, qos=0)
        assert attacker.publish(topic, FORGED, qos=2) in (DENIED, 0)
    assert attacker.is_in


def test_nothing_forged_was_retained_for_who_comes_later(broker, attacker, victim):
    for topic in FORBIDDEN:
        attacker.publish(topic, FORGED, retain=True)
    for user, everything in (
        ("heatpump", "heatpump/#"),
        ("heatpump-api", "heatpump-live/#"),
        ("heatpump", "test"),
    ):
        late = broker.client(user, "late")
        late.subscribe(everything)
        assert not [one for one in late.heard if one[1] == FORGED]
        late.close()


def test_a_topic_of_the_broker_ends_the_connection_or_takes_nothing(attacker, victim):
    assert attacker.publish("$SYS/broker/version", FORGED) in (DENIED, 0, None)
    assert attacker.lost.is_set() or attacker.publish("$CONTROL/dynamic-security/v1", FORGED) in (DENIED, 0, None)


@pytest.mark.parametrize("topic", [b"heatpump/+/data", b"heatpump/#", b"heatpump/site2/data\x00"])
def test_a_message_to_a_wildcard_ends_its_senders_connection(attacker, victim, topic):
    no_properties = b"\x00" if attacker.version == 5 else b""
    body = struct.pack(">H", len(topic)) + topic + b"\x00\x07" + no_properties + FORGED
    if attacker._client._transport == "websockets":
        attacker._client._sock_send(b"\x32" + bytes([len(body)]) + body)
    else:
        attacker.send_raw(b"\x32" + bytes([len(body)]) + body)
    assert attacker.lost.wait(60)


def test_wide_subscriptions_hear_nothing_of_others(broker, attacker, victim, api):
    for topic in WIDE:
        attacker.subscribe(topic)
    secret = b"meant for others"
    flow = broker.client("heatpump-flow", "as-the-flow")
    flow.publish("heatpump/site2/commands", secret)
    flow.publish("heatpump-live/site2/ack", secret)
    flow.publish("heatpump-live/site2/reading", secret)
    victim.publish("heatpump/site2/data", secret)
    victim.publish("heatpump/site2/status/online", secret, retain=True)
    wait_for(lambda: len([one for one in victim.heard if one[1] == secret]) == 2)
    flow.publish("heatpump-live/site1/ack", b"its own")  # the last of all, and allowed
    attacker.hears(b"its own")
    assert {topic for topic, _, _ in attacker.heard} == {"heatpump-live/site1/ack"}
    flow.close()


def test_a_retained_message_of_another_is_not_told_to_who_comes_later(broker, attacker, victim):
    victim.publish("heatpump/site2/status/online", b"true", retain=True)
    attacker.subscribe("heatpump/site2/status/online")
    attacker.subscribe("heatpump/#")
    attacker.publish("heatpump/site1/data", b'{"electrical":{"power":1}}')
    assert attacker.heard == []


def test_an_oversized_payload_ends_its_senders_connection_and_goes_nowhere(attacker, victim):
    seen = attacker.publish("heatpump/site1/data", FORGED + b" " * 300_000)
    by_websocket = attacker._client._transport == "websockets"  # there it is dropped, acknowledged or not
    assert seen == (0 if by_websocket else None)
    assert attacker.lost.is_set() is not by_websocket


def test_a_payload_that_is_a_little_too_large_is_kept_as_a_dead_letter(broker, flow):
    client = broker.client("site1", "large", version=5)
    assert client.publish("heatpump/site1/data", b" " * 266_000) == 0
    client.close()
    wait_for(lambda: flow.read(lambda reader: reader.dead_letters("site1", "too_large", None, 1)))


def test_a_last_will_on_anothers_topic_is_never_told(broker, victim, watcher):
    for version in (4, 5):
        client = broker.client("site1", "site1-will", version=version, will="heatpump/site2/status/online")
        if client.is_in:
            client.cut()
            assert client.lost.wait(60)
        client.close()
    assert not [one for one in watcher.heard if one[1] == b"a will"]


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("number", [1883, 8883, 9001, 8884])
@pytest.mark.parametrize("login", ["", "site1", "nobody", "heatpump-flow"])
def test_no_port_lets_anybody_in_without_the_right_password(broker, version, number, login):
    client = broker.client(login, "stranger", version=version, number=number, password="wrong")
    assert client.answer in (None, "Not authorized", "Bad user name or password")
    assert not client.is_in
    client.close()


@pytest.mark.parametrize("service", ["heatpump-api", "heatpump-health"])
def test_our_own_accounts_write_nothing_that_counts(broker, victim, service):
    broker.passwords.setdefault("heatpump-health", PASSWORDS["HEATPUMP_MQTT_HEALTH_PASSWORD"])
    client = broker.client(service, "ours", version=5)
    for topic in (*FORBIDDEN, f"heatpump/{service}/data", "heatpump/site1/data"):
        if topic != service:
            assert client.publish(topic, FORGED) == DENIED, topic
    client.close()


def test_the_flow_writes_no_reading(broker, victim):
    client = broker.client("heatpump-flow", "ours", version=5)
    for topic in ("heatpump/site1/data", "heatpump/site1/alerts", "heatpump/site1/status/online", "test"):
        assert client.publish(topic, FORGED) == DENIED
    client.close()


def test_the_shared_account_writes_as_any_device_and_nothing_else(broker, watcher, victim):
    client = broker.client("heatpump", "shared", version=5)
    for topic in ("heatpump/site9/data", "heatpump/site9/status/online", "heatpump/site9/alerts", "test"):
        assert client.publish(topic, b'{"electrical":{"power":9}}') == 0
    for topic in (
        "heatpump/site9/commands",
        "heatpump-live/site9/reading",
        "heatpump-live/pipeline",
        "homeassistant/x",
    ):
        assert client.publish(topic, FORGED) == DENIED
    client.close()
