"""decode: every payload form, and a dead letter with its reason for what cannot be read."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.model.command import Command, CommandOutcome
from flows.model.frame import Frame, FrameKind, Tick
from flows.model.quantities import QUANTITIES
from flows.model.reading import ORDER_STEP, DeviceAlert, Reading, Status
from flows.nodes.decode import NODE

from .conftest import NOW

FULL = {
    "device": "site1",
    "timestamp": NOW - 1000,
    "version": "1.0.0",
    "temperature": {"inlet": 45.2, "outlet": 50.1, "ambient": 25.0, "compressor": 70.5},
    "electrical": {"voltage": 230.5, "current": 8.5, "power": 1959.25},
    "pressure": {"high": 280.0, "low": 70.0},
    "status": {"compressor": True, "fan": True, "defrost": False},
    "alerts": {"voltage": 0, "compressor_temp": 0, "pressure_high": 1, "pressure_low": 0, "current": 0},
    "valid": {"temp_inlet": True, "temp_outlet": False},
}


def test_a_full_reading_gives_every_field_under_its_stored_name(run_node, a_message):
    (reading,) = run_node(NODE, [a_message(json.dumps(FULL))]).items
    assert reading.values == {
        "temp_inlet": 45.2, "temp_outlet": 50.1, "temp_ambient": 25.0, "temp_compressor": 70.5,
        "voltage": 230.5, "current": 8.5, "power": 1959.25, "pressure_high": 280.0, "pressure_low": 70.0,
        "compressor_running": True, "fan_running": True, "defrost_active": False,
    }  # fmt: skip
    assert (reading.timestamp, reading.version, reading.invalid) == (NOW - 1000, "1.0.0", ("temp_outlet",))
    assert reading.levels["pressure_high"] == 1
    assert reading.order == ORDER_STEP


def test_every_payload_quantity_is_found_at_its_path(run_node, a_message):
    payload: dict = {}
    for number, quantity in enumerate(q for q in QUANTITIES if q.path):
        *groups, key = quantity.path
        branch = payload
        for group in groups:
            branch = branch.setdefault(group, {})
        branch[key] = number
    (reading,) = run_node(NODE, [a_message(json.dumps(payload))]).items
    assert reading.values == {q.name: n for n, q in enumerate(q for q in QUANTITIES if q.path)}


def test_the_smallest_real_reading_is_read(run_node, a_message):
    (reading,) = run_node(NODE, [a_message('{"temperature":{"inlet":45},"electrical":{"voltage":230}}')]).items
    assert reading.values == {"temp_inlet": 45, "voltage": 230}


def test_an_array_gives_its_readings_in_order_and_only_its_bad_elements_die(run_node, a_message):
    out = run_node(NODE, [a_message('[{"temperature":{"inlet":1}}, 7, {}, {"temperature":{"inlet":2}}]', seq=3)])
    assert [(r.order, r.values["temp_inlet"]) for r in out.items] == [(3 * ORDER_STEP, 1), (3 * ORDER_STEP + 3, 2)]
    assert [(d.reason, d.order, d.payload) for d in out.dead] == [
        ("not_an_object", 3 * ORDER_STEP + 1, b"7"),
        ("empty", 3 * ORDER_STEP + 2, b"{}"),
    ]


def test_nan_and_infinity_cost_their_field_and_the_rest_survives(run_node, a_message):
    out = run_node(NODE, [a_message('{"temperature":{"inlet":NaN,"outlet":Infinity,"ambient":5.5}}')])
    (reading,) = out.items
    assert reading.values["temp_ambient"] == 5.5
    assert msgspec.json.decode(reading.raw)["temperature"] == {"inlet": None, "outlet": None, "ambient": 5.5}


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        ("heatpump/site1/data", b"\xff\xfe", "not_json"),
        ("heatpump/site1/data", b"", "not_json"),
        ("heatpump/site1/data", b"[" * 100_000, "not_json"),
        ("heatpump/site1/data", b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "not_json"),
        ("heatpump/site1/data", b"3", "not_an_object"),
        ("heatpump/site1/data", b"null", "not_an_object"),
        ("heatpump/site1/data", b"{}", "empty"),
        ("heatpump/site1/data", b"[]", "empty"),
        ("heatpump/site1/data", b'{"device":"site2","temperature":{"inlet":1}}', "device_mismatch"),
        ("heatpump/site1/data", b'{"device":5,"temperature":{"inlet":1}}', "device_mismatch"),
        ("heatpump/site1/data", b"[" + b",".join([b'{"a":1}'] * 10_000) + b"]", "too_many_readings"),
        ("heatpump/../etc/data", b"{}", "bad_topic"),
        ("heatpump/-x/data", b"{}", "bad_device_id"),
        ("heatpump/a b/data", b"{}", "bad_device_id"),
        ("heatpump/" + "x" * 65 + "/data", b"{}", "bad_device_id"),
        ("heatpump/x\n/data", b"{}", "bad_device_id"),
        ("heatpump//data", b"{}", "bad_device_id"),
        ("heatpump/site1/other", b"{}", "bad_topic"),
        ("heatpump/site1", b"{}", "bad_topic"),
        ("heatpump/site1/status/online", b"maybe", "bad_status"),
        ("heatpump/site1/status/rssi", b"\xff", "bad_status"),
        ("heatpump/site1/alerts", b'{"type":"x","level":"bad"}', "bad_alert"),
        ("heatpump/site1/alerts", b'{"level":"warning"}', "bad_alert"),
        ("heatpump/site1/alerts", b"nonsense", "not_json"),
        ("heatpump/site1/alerts", b'{"type":"x","level":[]}', "bad_alert"),
        ("heatpump/site1/alerts", b'{"type":"x","level":{}}', "bad_alert"),
        ("heatpump/site1/data", b'{"a":"\xff","electrical":{"voltage":230}}', "not_json"),
    ],
)
def test_what_cannot_be_read_is_a_dead_letter_and_the_next_good_reading_arrives(
    run_node, a_message, topic, payload, reason
):
    good = a_message('{"temperature":{"inlet":45}}', seq=2)
    out = run_node(NODE, [a_message(payload, topic=topic), good])
    assert [letter.reason for letter in out.dead] == [reason]
    letter = out.dead[0]
    assert letter.topic == topic and payload.startswith(letter.payload) and letter.size == len(payload)
    assert [item.order for item in out.items] == [2 * ORDER_STEP]


HUGE = b"9" * 4000


@pytest.mark.parametrize(
    "payload",
    [
        b'{"x":"\\ud800","electrical":{"voltage":230}}',
        b'{"\\ud800":1,"electrical":{"voltage":230},"version":"\\udfff"}',
        b'[{"x":"\\ud800","electrical":{"voltage":230}}]',
        b'{"timestamp":' + HUGE + b',"electrical":{"voltage":230}}',
        b'{"temperature":{"inlet":' + HUGE + b'},"electrical":{"voltage":230},"boot_id":' + HUGE + b"}",
        b'{"timestamp":1e308,"seq":1e308,"electrical":{"voltage":230}}',
    ],
)
def test_half_surrogates_and_numbers_no_float_can_hold_cost_their_field_only(run_node, a_message, payload):
    (reading,) = run_node(NODE, [a_message(payload)]).items
    assert reading.values["voltage"] == 230
    assert msgspec.json.decode(reading.raw)


def test_an_alert_with_a_huge_value_or_half_a_surrogate_is_kept_without_them(run_node, a_message):
    body = b'{"type":"x","level":"warning","value":' + HUGE + b',"timestamp":' + HUGE + b',"message":"a\\ud800"}'
    (alert,) = run_node(NODE, [a_message(body, topic="heatpump/site1/alerts")]).items
    assert (alert.value, alert.at, alert.message) == (None, NOW, "a?")


def test_only_the_levels_that_firmware_knows_are_taken(run_node, a_message):
    payload = '{"electrical":{"voltage":230},"alerts":{"offline":2,"voltage":1,"n17":1,"current":"x"}}'
    (reading,) = run_node(NODE, [a_message(payload)]).items
    assert reading.levels == {"voltage": 1}


def test_the_version_is_found_under_either_name(run_node, a_message):
    payload = '{"version":null,"firmware_version":"F1","electrical":{"voltage":230}}'
    assert run_node(NODE, [a_message(payload)]).items[0].version == "F1"


@pytest.mark.parametrize("topic", ["status/x", "alerts", "data"])
def test_a_message_that_ingest_cut_is_too_large_on_any_topic(run_node, a_message, topic):
    (letter,) = run_node(NODE, [a_message(b"x" * 99, topic=f"heatpump/site1/{topic}", original_bytes=10**6)]).dead
    assert (letter.reason, letter.size) == ("too_large", 10**6)


def test_an_oversized_message_is_a_dead_letter_that_keeps_its_head_and_size(run_node, a_message):
    (letter,) = run_node(NODE, [a_message(b"x" * 16_384, original_bytes=300_000)]).dead
    assert (letter.reason, letter.size, len(letter.payload)) == ("too_large", 300_000, 16_384)


@pytest.mark.parametrize(
    ("text", "online"),
    [("true", True), ("false", False), ("1", True), ("0", False), ("online", True), ("Offline", False)],
)
def test_online_is_read_in_all_its_spellings(run_node, a_message, text, online):
    (status,) = run_node(NODE, [a_message(text, topic="heatpump/site1/status/online", retain=True)]).items
    assert status == Status("site1", ORDER_STEP, NOW, "online", online, retained=True)


def test_any_other_status_is_an_attribute(run_node, a_message):
    (status,) = run_node(NODE, [a_message(" -61 ", topic="heatpump/site1/status/wifi/rssi")]).items
    assert (status.name, status.value) == ("wifi/rssi", "-61")


def test_an_alert_of_the_device_is_read_and_dated_by_arrival_where_its_clock_is_wrong(run_node, a_message):
    body = {"type": "flow", "level": "critical", "value": 1.5, "message": "no flow", "timestamp": 12}
    (alert,) = run_node(NODE, [a_message(json.dumps(body), topic="heatpump/site1/alerts")]).items
    assert alert == DeviceAlert("site1", ORDER_STEP, NOW, NOW, "flow", "critical", 1.5, "no flow")


def test_ticks_and_commands_travel_with_the_readings_in_order(run_node, a_message):
    tick, command = Tick(2, 1, NOW), Command(3, "c1", "me", NOW, "alert_ack", {"alert_id": "x"})
    out = run_node(NODE, [a_message('{"temperature":{"inlet":1}}'), tick, command, tick])
    assert [type(item) for item in out.items] == [Reading, Tick, Command, Tick]


def test_a_repeated_command_has_one_effect_across_a_restart(run_node):
    command = Command(3, "c1", "me", NOW, "alert_ack", {})
    out = run_node(NODE, [command, msgspec.structs.replace(command, seq=9)], restart_every=1)
    assert out.items == [command] and out.rows == []


def test_an_unknown_command_is_refused_by_name(run_node):
    (row,) = run_node(NODE, [Command(3, "c1", "me", NOW, "explode", {})]).rows
    assert isinstance(row, CommandOutcome) and row.outcome == "refused" and "explode" in row.detail


@given(st.binary(max_size=400), st.text(max_size=30))
def test_any_bytes_on_any_topic_give_something_and_raise_nothing(payload, name):
    for topic in ("heatpump/site1/data", "heatpump/site1/alerts", f"heatpump/site1/{name}", name):
        out = {port: [] for port in NODE.out}
        NODE.recover(NODE.Params(), None).on_items([Frame(1, FrameKind.MESSAGE, NOW, topic, payload)], out)
        assert len(out["items"]) + len(out["dead"]) >= 1


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["temperature", "inlet", "electrical", "phase1", "power", "valid", "alerts", "device", "seq"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_gives_readings_or_dead_letters_and_raises_nothing(value):
    frame = Frame(1, FrameKind.MESSAGE, NOW, "heatpump/site1/data", json.dumps(value).encode())
    out = {port: [] for port in NODE.out}
    NODE.recover(NODE.Params(), None).on_items([frame], out)
    expected = max(len(value), 1) if isinstance(value, list) else 1
    assert len(out["items"]) + len(out["dead"]) == expected
