"""Commands on dead letters: over HTTP and from the command line to a running flow, and back out of the store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.model.dead_letter import KEPT_BYTES
from flows.settings import load_settings
from tests.api.conftest import Api, running, wait_for
from tests.brokers import Mosquitto
from tests.cli.heatpump import heatpump
from tests.flows import Device, Flow

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def flow(broker: Mosquitto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    flow = Flow(tmp_path_factory.mktemp("flow") / "data", broker.port).start()
    yield flow
    flow.kill()


@pytest.fixture(scope="module")
def device(broker: Mosquitto, flow: Flow) -> Iterator[Device]:
    device = Device(broker.port)
    yield device
    device.close()


@pytest.fixture(scope="module")
def api(flow: Flow, broker: Mosquitto) -> Iterator[Api]:
    settings = load_settings(data=flow.data, mqtt_broker=broker.host, mqtt_port=broker.port)
    with running(settings, flow.store, live=True) as running_api:
        yield running_api


def letters(api, reason, state="open"):
    return api.get("/api/dead-letters", params={"reason": reason, "state": state}).json()


def test_a_dead_letter_is_refused_again_under_its_own_id_and_dropped_once(api, device):
    device.send(b'{"temperature":')
    wait_for(lambda: letters(api, "not_json"), "the letter")
    (letter,) = letters(api, "not_json")
    path = f"/api/dead-letters/{letter['id']}"
    for attempts in (1, 2):
        again = api.post(f"{path}/retry", json={"by": "Anna"})
        assert again.status_code == 409, again.text
        assert again.json()["detail"].startswith("not_json: not JSON")
        now = api.get(path).json()
        assert (now["attempts"], now["state"], now["last_reason"]) == (attempts, "open", "not_json")
    dropped = api.delete(path, headers={"Idempotency-Key": "drop-1"})
    assert dropped.status_code == 200
    assert api.delete(path, headers={"Idempotency-Key": "drop-1"}).json() == dropped.json()
    assert letters(api, "not_json") == []
    assert [each["id"] for each in letters(api, "not_json", "dropped")] == [letter["id"]]
    late = api.post(f"{path}/retry")
    assert late.status_code == 409 and "is not open: it was dropped" in late.json()["detail"]


def test_the_largest_letter_with_the_strangest_topic_fits_through_the_command_port(api, device):
    device.send(b"[" * KEPT_BYTES, topic="[" * 60_000)
    wait_for(lambda: letters(api, "bad_topic"), "the letter")
    (letter,) = letters(api, "bad_topic")
    again = api.post(f"/api/dead-letters/{letter['id']}/retry")
    assert again.status_code == 409 and again.json()["detail"].startswith("bad_topic: "), again.text


@pytest.mark.parametrize(
    ("device_id", "below", "reason"),
    [
        ("i" * 300, "data", "bad_device_id"),
        ("[" * 300, f"status/{'[' * 300}/{'[' * 300}", "bad_device_id"),
        ("[" * 300, f"data/{'[' * 300}", "bad_topic"),
        ("site1", f"status/{'n' * 300}", "bad_status"),
        ("site1", "k" * 300, "bad_topic"),
    ],
)
def test_a_letter_with_an_overlong_topic_meets_the_same_decision_again_and_the_books_agree(
    api, device, monkeypatch, device_id, below, reason
):
    before, topic = dead(api), f"heatpump/{device_id}/{below}"
    monkeypatch.setattr(device, "device_id", device_id)
    device.send(b'{"temperature":{"inlet":30}}', topic=below)
    wait_for(lambda: [letter for letter in letters(api, reason) if letter["topic"] == topic], "the letter")
    (letter,) = [letter for letter in letters(api, reason) if letter["topic"] == topic]
    again = api.post(f"/api/dead-letters/{letter['id']}/retry")
    assert again.status_code == 409 and again.json()["detail"].startswith(f"{reason}: "), again.text
    wait_for(lambda: dead(api)["nodes"] == before["nodes"] + 2, "both refusals counted")
    is_reading = below == "data"
    wait_for(lambda: dead(api)["sum"] == before["sum"] + 2 * is_reading, "both counted as readings, if it is one")


def dead(api):
    """How many refusals the nodes have counted, and the conservation sum, which has those of readings."""
    pipeline = api.get("/api/pipeline").json()
    nodes = sum(sum(node["dead"].values()) for node in pipeline["nodes"])
    return {"nodes": nodes, "sum": pipeline["conservation"]["dead"]}


def test_wider_spans_let_a_retried_reading_in_from_the_command_line_too(api, flow, device, broker):
    """The graph of the second start takes what that of the first refused."""
    for inlet in (131.0, 132.0, 133.0):
        device.reading(temperature={"inlet": inlet})
    wait_for(lambda: len(letters(api, "empty")) == 3, "the letters")
    newest, *others = letters(api, "empty")
    graph = flow.data.parent / "graph.toml"
    shipped = (Path(__file__).parents[2] / "flows/graphs/heat_pump.toml").read_text()
    spans = 'node = "validate"\nspans = { temp_inlet = [-40.0, 140.0] }'
    graph.write_text(shipped.replace('node = "validate"', spans))
    flow.stop()
    wider = Flow(flow.data, broker.port, graph=graph).start()
    try:
        retry_all(api, flow.data, newest, others)
    finally:
        wider.stop()


def retry_all(api, data, newest, others):
    headers = {"Idempotency-Key": "retry-1"}
    answer = api.post(f"/api/dead-letters/{newest['id']}/retry", json={"by": "Anna"}, headers=headers)
    assert (answer.status_code, answer.json()["outcome"]) == (200, "done")
    assert answer.json()["detail"].startswith("stored as reading of site1 at 20")
    assert api.post(f"/api/dead-letters/{newest['id']}/retry", headers=headers).json() == answer.json()
    closed = api.get(f"/api/dead-letters/{newest['id']}").json()
    assert (closed["state"], closed["resolved_by"], closed["attempts"]) == ("retried", "Anna", 1)
    told = heatpump(*"dead-letters retry --all --reason empty --device site1 --yes --by Bo --data".split(), data)
    assert told.returncode == 0, told.stdout + told.stderr
    assert [line.partition(":")[0] for line in told.stdout.splitlines()] == [
        f"{letter['id']} done" for letter in reversed(others)
    ]
    inlets = [row["temp_inlet"] for row in api.get("/api/devices/site1/readings").json()]
    assert {131.0, 132.0, 133.0} <= set(inlets)
    shown = heatpump("dead-letters", "show", others[0]["id"], "--data", data).stdout
    assert "resolved_by  Bo" in shown and '"inlet": 132.0' in shown
    listed = heatpump("dead-letters", "list", "--state", "retried", "--data", data, COLUMNS=200).stdout
    assert str(newest["id"]) in listed and "retried" in listed
    conservation = api.get("/api/pipeline").json()["conservation"]
    assert conservation["in_flight"] == 0, conservation

    told = heatpump("dead-letters", "retry", newest["id"], "--data", data)
    assert (told.returncode, "is not open: it was retried" in told.stdout) == (1, True)


def test_commands_that_name_no_letter_are_refused_in_words(flow):
    asked = heatpump("dead-letters", "drop", "--data", flow.data)
    assert asked.returncode == 2 and "name letters by id, or give --all" in asked.stderr
    unknown = heatpump("dead-letters", "retry", 1, "--data", flow.data)
    assert unknown.returncode == 2 and "dead letter 1 is not known" in unknown.stderr
