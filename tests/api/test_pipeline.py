"""The pipeline's answers, as a page asks them: a real broker, flow and API; one reading followed all the way."""

import json
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import msgspec
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from api.pipeline_schemas import NodeDetail, Pipeline, Trace
from flows.mqtt import leave
from flows.settings import load_settings
from tests.api.conftest import running
from tests.brokers import Mosquitto
from tests.flows import Device, Flow, wait_for

pytestmark = pytest.mark.slow

STEPS = ["decode", "validate", "clock", "device", "history", "derive", "rollup", "episode", "alert"]


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    made = Mosquitto(tmp_path_factory.mktemp("broker"))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def flow(broker, tmp_path_factory):
    made = Flow(tmp_path_factory.mktemp("flow") / "data", broker.port).start()
    yield made
    made.kill()


@pytest.fixture(scope="module")
def site1(broker, flow):
    made = Device(broker.port)
    made.reading()
    wait_for(flow.readings)
    yield made
    made.close()


@pytest.fixture(scope="module")
def api(broker, flow):
    settings = load_settings(data=flow.data, mqtt_broker="127.0.0.1", mqtt_port=broker.port)
    with running(settings, flow.store, live=True) as made:
        yield made


def follow(api, send, device_id="site1"):
    """Follow a device, then send its message; the answer about it."""
    head = api.context.flow.trace(device_id, None)["head"]
    send()
    return api.get(f"/api/pipeline/trace/{device_id}", params={"after": head})


def taps(api):
    return json.loads(api.context.flow.pipeline())["taps"]


def at(trace, step):
    return next(stop for stop in trace["steps"] if stop["step"] == step)


def test_the_page_has_all_its_numbers(api, site1, flow):
    site1.reading()
    wait_for(lambda: flow.readings() >= 2)
    told = wait_for(
        lambda: api.get("/api/pipeline").json(),
        lambda told: told["nodes"][6]["state_bytes"] and told["journal"]["kept_s"] is not None,
    )
    Pipeline.model_validate(told)
    assert [node["step"] for node in told["nodes"]] == STEPS
    assert (told["graph"], told["devices"]["known"], told["astray"]) == ("heat_pump.toml", 1, "")
    saved = {node["step"]: node["state_bytes"] for node in told["nodes"]}
    assert saved["validate"] == 0 and saved["rollup"] > 100
    assert told["store"]["kind"] == "sqlite" and told["store"]["waiting_since"] is None
    assert told["live"] == {
        "done": told["live"]["done"],
        "rate": told["live"]["rate"],
        "p99_ms": 0.0,
        "clients": 0,
    }
    assert (
        told["journal"]["room_bytes"] > 0
        and told["journal"]["kept_s"] is not None
        and told["conservation"]["unexplained"] == 0
    )
    assert told["windows"]["1h"]["received"] <= told["conservation"]["received"]


def test_a_field_that_validate_removes_shows_in_the_node_and_in_the_trace_with_its_reason(api, site1):
    assert api.get("/api/pipeline/nodes/validate").json()["items"] == []
    bad = {"inlet": 31.5, "outlet": 36.5, "compressor": 32767}
    trace = follow(api, lambda: site1.reading(temperature=bad, electrical={"current": 412.0}))
    Trace.model_validate(trace.json())
    removed = at(trace.json(), "validate")["removed"]
    assert removed == [
        {"field": "temp_compressor", "value": 32767, "reason": "sentinel"},
        {"field": "current", "value": 412.0, "reason": "out of range"},
    ]
    detail = api.get("/api/pipeline/nodes/validate").json()
    NodeDetail.model_validate(detail)
    item = detail["items"][0]
    assert (item["device_id"], item["fields_before"], item["fields_after"]) == ("site1", 4, 2)
    assert item["removed"] == removed and item["port"] == "ok"


def test_a_trace_tells_arrival_and_every_node_in_order_and_ends_stored(api, site1):
    told = follow(api, lambda: site1.reading(temperature={"inlet": 30.0, "outlet": 35.0})).json()
    assert [stop["step"] for stop in told["steps"]] == STEPS
    times = [stop["ms"] for stop in told["steps"]] + [told["stored_ms"]]
    assert times == sorted(times) and times[0] >= 0
    assert 0 <= told["synced_ms"] <= told["stored_ms"]
    assert (told["qos"], told["topic"], told["done"], told["ended"]) == (1, "heatpump/site1/data", True, "")
    assert "RawRow" in told["rows"] and told["bytes"] > 20
    assert {"field": "delta_t", "value": 5.0} in at(told, "derive")["added"]
    assert at(told, "clock")["clock"] == "device"
    assert {side["kind"] for side in at(told, "derive")["sides"]} == {"RawRow", "Reading"}
    again = wait_for(lambda: api.get("/api/pipeline/trace/site1").json(), lambda told: told["live_ms"] is not None)
    assert again["seq"] == told["seq"]


def test_following_the_next_gives_the_next_message_and_not_the_one_before(api, site1):
    first = follow(api, site1.reading).json()
    second = follow(api, lambda: site1.reading(electrical={"voltage": 231.0})).json()
    assert second["seq"] > first["seq"]
    assert at(second, "decode")["fields_after"] == 2
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(api.get, "/api/pipeline/trace/site1", params={"next": True})
        while not asked.done():
            site1.reading()
            time.sleep(0.05)
        third = asked.result().json()
    assert third["seq"] > second["seq"] and third["done"]
    later = api.get("/api/pipeline/trace/site1", params={"after": first["seq"]}).json()
    assert later["seq"] == second["seq"]


def test_a_message_that_dies_ends_in_a_dead_letter_with_its_reason(api, site1):
    told = follow(api, lambda: site1.send(b"{nonsense")).json()
    assert (told["ended"], told["done"], told["rows"]) == ("dead", True, ["DeadLetter"])
    (stop,) = told["steps"]
    assert stop["sides"][0]["text"].startswith("not_json")


def test_what_waits_for_its_boot_is_followed_through_the_tick_that_dates_it(api, broker, flow):
    old = Device(broker.port, "old")
    old.send({"timestamp": 1000, "temperature": {"inlet": 20}})
    wait_for(lambda: flow.read(lambda reader: reader.device("old")))
    told = follow(api, lambda: old.send({"timestamp": 500, "temperature": {"inlet": 21}}), "old").json()
    assert [stop["step"] for stop in told["steps"]] == STEPS
    assert (at(told, "clock")["clock"], told["waits_in"], told["done"]) == ("boot", "", True)
    old.close()


def test_an_unknown_device_and_an_unknown_step_are_named(api, site1):
    unknown = api.get("/api/pipeline/trace/nobody")
    assert (unknown.status_code, "nobody" in unknown.json()["detail"]) == (404, True)
    step = api.get("/api/pipeline/nodes/nothing")
    assert (step.status_code, "validate" in step.json()["detail"]) == (404, True)


def test_a_silent_device_is_said_to_be_so(api, site1, monkeypatch):
    monkeypatch.setattr("api.routes.pipeline.PATIENCE_S", 0.3)
    answer = api.get("/api/pipeline/trace/site1", params={"next": True})
    assert answer.status_code == 409
    assert "no message of 'site1' came" in answer.json()["detail"] and "last heard 20" in answer.json()["detail"]


def test_a_nodes_text_is_that_of_its_file_and_its_lines_those_of_the_graph(api, site1):
    ports = {node["step"]: list(node["out"]) for node in api.get("/api/pipeline").json()["nodes"]}
    for step in STEPS:
        told = api.get(f"/api/pipeline/nodes/{step}").json()
        assert told["summary"].endswith(".") and told["in"] and told["state"], step
        assert [port["port"] for port in told["out"]] == ports[step], step
        lines = {line["number"]: line["text"] for line in told["parameters"]["lines"]}
        assert f"[step.{step}]" in lines.values(), step
    validate = api.get("/api/pipeline/nodes/validate").json()
    assert validate["summary"] == "keep the fields a working sensor could have sent."
    assert [port["port"] for port in validate["out"]] == ["ok", "dead"] and validate["state"] == "none"


@contextmanager
def locked(store):
    """Lock a store for all others."""
    with closing(sqlite3.connect(store, isolation_level=None)) as locker:
        locker.execute("BEGIN IMMEDIATE")
        yield


def is_at_rest(api):
    """Tell whether all that was read is stored and fenced, so that the next fence is that of a second to come."""
    told = json.loads(api.context.flow.pipeline())
    return not (told["store"]["waiting"] or told["unread"] or told["store"]["fence_behind"])


def comes_as_far_as_the_store(api, head):
    """Wait until the reading behind `head` passed all nodes of a flow whose store is locked; if it can, its trace.

    Each second has its fence. If that meets the lock first, the reading stays unread until the store is back.
    """

    def look():
        told = json.loads(api.context.flow.pipeline())
        return api.context.flow.trace("site1", head)["trace"], told["store"]["waiting"] and told["unread"]

    def is_settled(seen):
        trace, unread = seen
        return unread or (trace and len(trace["steps"]) == len(STEPS))

    return wait_for(look, is_settled)[0]


def test_while_the_store_is_away_its_wait_is_told_and_a_trace_says_how_far_its_reading_came(
    api, site1, flow, monkeypatch
):
    monkeypatch.setattr("api.routes.pipeline.PATIENCE_S", 0.2)
    under_way = None
    while under_way is None:
        wait_for(lambda: is_at_rest(api))
        head = api.context.flow.trace("site1", None)["head"]
        with locked(flow.store):
            site1.reading()
            if comes_as_far_as_the_store(api, head) is None:
                continue
            under_way = api.get("/api/pipeline/trace/site1", params={"after": head}).json()
            told_at = time.monotonic()
            assert (under_way["done"], under_way["stored_ms"]) == (False, None)
            assert [stop["step"] for stop in under_way["steps"]] == STEPS
            site1.reading()
            store = wait_for(lambda: api.get("/api/pipeline").json()["store"], lambda store: store["attempts"] > 1)
            assert "locked" in store["waiting"] and store["open"] >= 1
            assert store["waiting_since"] < store["next_try"]
            wait_for(
                lambda: api.get("/api/pipeline").json()["unread"], lambda unread: unread == 1
            )  # ticks are none
            behind = api.get("/api/pipeline/trace/site1", params={"next": True})
            assert behind.status_code == 409 and "the store waits: " in behind.json()["detail"]
            locked_ms = (time.monotonic() - told_at) * 1000
    before = {"after": under_way["seq"] - 1}
    stored = wait_for(
        lambda: api.get("/api/pipeline/trace/site1", params=before).json(), lambda told: told["done"]
    )
    assert stored["seq"] == under_way["seq"]
    assert stored["stored_ms"] > under_way["steps"][-1]["ms"] + locked_ms
    wait_for(lambda: api.get("/api/pipeline").json()["store"]["waiting_since"] is None)


def test_answers_are_bounded_with_the_largest_messages_and_the_sum_closes_under_load(api, flow, broker, site1):
    now = time.time_ns() // 1_000_000
    huge = {"temperature": {"inlet": 30.5, "outlet": "x" * 20_000}, "electrical": {"voltage": 10**300}}
    # Of 300 kB, which decode refuses: nothing is made of it.
    array = [{"timestamp": now - 5000 + n, "temperature": {"inlet": 20 + n % 9}} for n in range(5000)]
    stop = threading.Event()

    def load():
        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        while not stop.is_set():
            client.publish("heatpump/busy/data", json.dumps(array), qos=1).wait_for_publish(10)
            client.publish("heatpump/busy/data", json.dumps(huge), qos=1).wait_for_publish(10)
        leave(client)

    busy = threading.Thread(target=load)
    busy.start()
    try:
        wait_for(lambda: flow.read(lambda reader: reader.device("busy")))
        sizes, made = [], []
        while len(made) < 6 or set(made) != {0, 1}:
            for step in ("decode", "validate", "alert"):
                sizes.append(len(api.get(f"/api/pipeline/nodes/{step}").content))
            answer = api.get("/api/pipeline/trace/busy", params={"next": True})
            sizes.append(len(answer.content))
            made.append(at(answer.json(), "decode")["made"])
            told = api.get("/api/pipeline").json()
            assert (told["conservation"]["unexplained"], told["astray"]) == (0, "")
    finally:
        stop.set()
        busy.join()
    assert max(sizes) < 32_000


def test_taps_hold_nothing_once_nobody_asks_and_what_is_published_stays_small(api, flow, site1):
    follow(api, site1.reading)
    assert taps(api)["held"] > 0
    wait_for(lambda: taps(api) == {"following": [], "watching": [], "held": 0})
    before = flow.readings()
    site1.reading()
    wait_for(lambda: flow.readings() > before)
    assert taps(api)["held"] == 0
    published = {**json.loads(api.context.flow.pipeline()), "received_10s": [], "windows": {}}
    assert len(msgspec.json.encode(published)) < 8_000
