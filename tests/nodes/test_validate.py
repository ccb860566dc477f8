"""validate: field by field, the others survive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.errors import ConfigError
from flows.model.frame import Tick
from flows.model.quantities import BY_NAME, QUANTITIES
from flows.nodes.validate import NODE

from .conftest import NOW


def test_an_impossible_inlet_temperature_is_dropped_and_the_rest_survives(run_node, a_reading):
    out = run_node(NODE, [a_reading(temp_inlet=412.0, voltage=230.0)])
    assert out.ok == [a_reading(voltage=230.0)]
    assert out.counts == {"out of range": 1}


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("temp_inlet", -127, "sentinel"),
        ("temp_outlet", -127.0, "sentinel"),
        ("power", 32767, "sentinel"),
        ("flow_rate", 65535, "sentinel"),
        ("temp_inlet", float("nan"), "not finite"),
        ("temp_inlet", float("inf"), "not finite"),
        ("temp_inlet", "45", "wrong type"),
        ("temp_inlet", True, "wrong type"),
        ("temp_inlet", [45], "wrong type"),
        ("temp_inlet", {"a": 1}, "wrong type"),
        ("compressor_running", 2, "wrong type"),
        ("compressor_running", "on", "wrong type"),
        ("temp_inlet", 125.01, "out of range"),
        ("temp_compressor", 150.5, "out of range"),
        ("voltage", -0.1, "out of range"),
        ("power", 50_001, "out of range"),
        ("pressure_high", 701, "out of range"),
        ("heat_energy", -1, "out of range"),
    ],
)
def test_a_value_no_working_sensor_sends_is_dropped_with_its_reason(run_node, a_reading, field, value, why):
    out = run_node(NODE, [a_reading(temp_ambient=5.0, **{field: value})])
    assert out.ok[0].values == {"temp_ambient": 5.0}
    assert out.counts == {why: 1}


@pytest.mark.parametrize(
    "quantity", [q for q in QUANTITIES if q.kind == "number" and q.path], ids=lambda q: q.name
)
def test_both_ends_of_a_span_are_possible(run_node, a_reading, quantity):
    for end in (quantity.low, quantity.high):
        (reading,) = run_node(NODE, [a_reading(**{quantity.name: end})]).ok
        assert reading.values == {quantity.name: float(end)}


def test_a_compressor_may_be_hotter_than_the_water(run_node, a_reading):
    (reading,) = run_node(NODE, [a_reading(temp_compressor=149.0, temp_outlet=60.0)]).ok
    assert reading.values["temp_compressor"] == 149.0


def test_counters_may_pass_through_the_sentinels(run_node, a_reading):
    (reading,) = run_node(NODE, [a_reading(heat_energy=32767, electric_energy=65535)]).ok
    assert reading.values == {"heat_energy": 32767.0, "electric_energy": 65535.0}


def test_a_field_the_device_calls_invalid_is_missing(run_node, a_reading):
    out = run_node(NODE, [a_reading(temp_inlet=45.0, voltage=230.0, invalid=("temp_inlet",))])
    assert out.ok[0].values == {"voltage": 230.0} and out.counts == {"untrusted": 1}


def test_flags_are_read_from_zero_and_one(run_node, a_reading):
    (reading,) = run_node(NODE, [a_reading(compressor_running=1, fan_running=0, defrost_active=False)]).ok
    assert reading.values == {"compressor_running": True, "fan_running": False, "defrost_active": False}


def test_a_reading_with_nothing_left_is_a_dead_letter_with_its_original(run_node, a_reading):
    (letter,) = run_node(NODE, [a_reading(temp_inlet=-127.0, raw=b'{"temperature":{"inlet":-127}}')]).dead
    assert (letter.reason, letter.payload) == ("empty", b'{"temperature":{"inlet":-127}}')


def test_other_kinds_pass(run_node):
    assert run_node(NODE, [Tick(1, 1, NOW)]).ok == [Tick(1, 1, NOW)]


def test_a_graph_may_narrow_a_span(run_node, a_reading):
    out = run_node(NODE, [a_reading(temp_inlet=60.0, voltage=230.0)], spans={"temp_inlet": (0.0, 55.0)})
    assert out.ok[0].values == {"voltage": 230.0}


@pytest.mark.parametrize(
    ("spans", "sentence"),
    [
        ({"temp_inlet": (90.0, 20.0)}, "lowest 90.0 is above highest 20.0"),
        ({"nonsense": (0.0, 1.0)}, "is no quantity"),
    ],
)
def test_a_wrong_span_is_named(run_node, spans, sentence):
    with pytest.raises(ConfigError, match=sentence):
        run_node(NODE, [], spans=spans)


any_value = st.one_of(
    st.floats(), st.integers(), st.booleans(), st.text(max_size=3), st.none(), st.lists(st.floats())
)
sent = st.dictionaries(st.sampled_from([q.name for q in QUANTITIES if q.path]), any_value, min_size=1, max_size=8)


@given(sent)
def test_what_is_kept_is_always_possible_and_of_its_type(fields):
    from flows.model.reading import Reading

    out = {port: [] for port in NODE.out}
    NODE.recover(NODE.Params(), None).on_items([Reading("site1", 1, NOW, sent=dict(fields))], out)
    for reading in out["ok"]:
        for name, value in reading.values.items():
            quantity = BY_NAME[name]
            assert type(value) is (bool if quantity.kind == "flag" else float)
            assert quantity.low <= value <= quantity.high and value == fields[name]
    assert len(out["ok"]) + len(out["dead"]) == 1
