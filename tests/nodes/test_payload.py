"""payload: the fast way gives what the field-by-field way gives, for any payload."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.model.frame import Frame, FrameKind
from flows.model.quantities import QUANTITIES
from flows.nodes import decode, payload, validate
from tests.effort import examples

from .conftest import NOW

PAYLOAD = [q for q in QUANTITIES if q.path]
SPANS = {"temp_inlet": (-10.0, 200.0), "power": (0.0, 100.0)}


def through(data, spans, monkeypatch, fast):
    """Decode and validate one message: how readings came of it, they, letters, counts."""
    with monkeypatch.context() as patch:
        if not fast:
            patch.setattr(decode, "decode_payload", lambda text: None)
            patch.setattr(decode, "decode_payloads", lambda text: None)
        logics = [
            decode.NODE.recover(decode.Params(), None),
            validate.NODE.recover(validate.Params(spans=spans), None),
        ]
        first = {port: [] for port in decode.NODE.out}
        logics[0].on_items([Frame(1, FrameKind.MESSAGE, NOW, "heatpump/site1/data", data)], first)
        checked = [reading.sent is None for reading in first["items"]]
        second = {port: [] for port in validate.NODE.out}
        logics[1].on_items(first["items"], second)
    for reading in second["ok"]:
        reading.raw = reading.text
    types = [[type(value) for value in reading.values.values()] for reading in second["ok"]]
    counts = [dict(logic.counts) for logic in logics]
    return checked, (second["ok"], types, first["dead"], second["dead"], counts)


def sent(quantity):
    """A value: mostly possible, else at an end, beyond it, a sentinel, or of a wrong type."""
    possible = st.floats(quantity.low, quantity.high) | st.sampled_from([quantity.low, quantity.high])
    if quantity.kind == "flag":
        possible = st.booleans() | st.sampled_from([0, 1])
    dirty = st.sampled_from(
        [None, -127, 32767, 65535, 85.0, 2, 1.0, -1e9, float("nan"), float("inf"), True, "45", [1], {}, 10**30]
    )
    return st.one_of(possible, possible, possible, possible, dirty)


@st.composite
def readings(draw):
    body = {}
    for quantity in draw(st.lists(st.sampled_from(PAYLOAD), max_size=12, unique=True)):
        *groups, key = quantity.path
        branch = body
        for group in groups:
            branch = branch.setdefault(group, {})
        branch[key] = draw(sent(quantity))
    names = st.sampled_from([q.name for q in PAYLOAD])
    odd = st.sampled_from([None, 0, 1, 1.5, True, "x", "é", 'a"b', [], {}, 2**70])
    others = {
        "device": st.sampled_from(["site1", "site1", "site2", None, 5]),
        "timestamp": st.sampled_from([NOW, 12_345, -1, 1e300]) | odd,
        "boot_id": odd,
        "seq": odd,
        "version": odd,
        "firmware_version": odd,
        "alerts": st.dictionaries(st.sampled_from([*payload.LEVEL_NAMES, "x"]), st.integers(-1, 3) | odd) | odd,
        "valid": st.dictionaries(names, st.booleans() | odd, max_size=4) | odd,
        "unknown": st.recursive(odd, lambda inner: st.lists(inner, max_size=2)),
        "temperature": odd,
        "electrical": st.fixed_dictionaries({"phase1": odd}),
    }
    for name in draw(st.lists(st.sampled_from(sorted(others)), max_size=3, unique=True)):
        body[name] = draw(others[name])
    return body


@settings(max_examples=examples(400), deadline=None)
@given(readings() | st.lists(readings(), max_size=3), st.sampled_from([{}, SPANS]), st.booleans())
def test_both_ways_give_the_same_readings_letters_and_counts(body, spans, ascii_only):
    data = json.dumps(body, ensure_ascii=ascii_only).encode()
    with pytest.MonkeyPatch.context() as patch:
        _, fast = through(data, spans, patch, fast=True)
        _, slow = through(data, spans, patch, fast=False)
    assert fast == slow


@pytest.mark.parametrize(
    "data",
    [
        b'{"electrical":{"voltage":230,"voltage":900},"electrical":{"current":1}}',
        b'{"electrical":{"voltage":900},"electrical":{"voltage":230}}',
        b'{"x":"\xff","electrical":{"voltage":230}}',
        b'{"\xff":1,"electrical":{"voltage":230}}',
        b'{"x":"\\udfff","electrical":{"voltage":230}}',
        b'{"volt\\u0061ge":1,"electrical":{"volt\\u0061ge":230}}',
        b'{"x":' + b"[" * 2_000 + b"]" * 2_000 + b',"electrical":{"voltage":230}}',
        b'{"electrical":{"voltage":230}} {}',
        b'{"electrical":{"voltage":2.3e2,"current":-0.0,"power":5e-324}}',
        b' \n{"electrical":{"voltage":230}}\n',
        b'[{"electrical":{"voltage":230}},{"x":"\xff"}]',
        b'{"electrical":{"voltage":230,"phase1":{"energy":32767,"power":32767,"voltage":231}}}',
    ],
)
def test_odd_texts_come_out_the_same(data, monkeypatch):
    assert through(data, {}, monkeypatch, True)[1] == through(data, {}, monkeypatch, False)[1]


def test_a_number_beyond_floats_in_an_unknown_field_is_kept_as_sent(monkeypatch):
    data = b'{"x":1e999,"electrical":{"voltage":230}}'
    (reading,) = through(data, {}, monkeypatch, True)[1][0]
    assert (reading.values, reading.raw) == ({"voltage": 230.0}, data)


@pytest.mark.parametrize("status", [{"compressor": True, "fan": False}, {"compressor": 1, "fan": 0}])
def test_a_full_reading_takes_the_fast_way_and_a_dirty_one_does_not(status, monkeypatch):
    body = {"temperature": {"inlet": 45, "outlet": None}, "status": status, "alerts": payload.ALL_WELL}
    fast, (found, types, *_) = through(json.dumps(body).encode(), {}, monkeypatch, True)
    assert fast == [True] and types == [[float, bool, bool]]
    assert found[0].values == {"temp_inlet": 45.0, "compressor_running": True, "fan_running": False}
    body["temperature"]["outlet"] = -127
    assert through(msgspec.json.encode(body), {}, monkeypatch, True)[0] == [False]


@pytest.mark.parametrize("group", ["[900]", "900", '"900"', "false", "[]"])
@pytest.mark.parametrize("form", ["{}", "[{}]", '[{{"status":{{"fan":1}}}},{}]'])
def test_a_group_of_the_wrong_type_is_counted_as_a_field_is_and_spoils_no_value_beside_it(
    monkeypatch, form, group
):
    body = f'{{"temperature":{{"inlet":30.5}},"electrical":{group},"pressure":null}}'
    data = form.format(body).encode()
    (_, slow), (_, fast) = (through(data, {}, monkeypatch, fast) for fast in (False, True))
    assert fast == slow
    assert dict(fast[0][-1].values) == {"temp_inlet": 30.5}
    assert [counts.get("wrong type", 0) for counts in fast[4]] == [1, 0]


def test_a_group_of_the_wrong_type_within_a_group_or_alone_is_counted_too(monkeypatch):
    for data, letters, wrong in (
        (b'{"electrical":{"power":900,"phase1":[1],"phase2":2}}', 0, 2),
        (b'{"electrical":[900]}', 1, 1),
        (b'{"electrical":null}', 1, 0),
        (b'{"device":"site2","electrical":[900]}', 1, 0),
    ):
        _, _, first, second, counts = through(data, {}, monkeypatch, True)[1]
        assert len(first + second) == letters
        assert sum(each.get("wrong type", 0) for each in counts) == wrong


@pytest.mark.parametrize("part", ['{"voltage":1e999}', '{"voltage":' + "9" * 400 + "}", "{}"])
@pytest.mark.parametrize("name", ["alerts", "valid"])
def test_a_part_of_any_kind_spoils_no_value_beside_it(monkeypatch, name, part):
    data = f'{{"temperature":{{"inlet":30.5}},"{name}":{part}}}'.encode()
    (_, slow), (_, fast) = (through(data, {}, monkeypatch, fast) for fast in (False, True))
    assert fast == slow
    assert [dict(reading.values) for reading in fast[0]] == [{"temp_inlet": 30.5}]


@pytest.mark.parametrize("name", ["alerts", "valid"])
def test_a_part_that_is_nested_without_end_makes_a_letter(monkeypatch, name):
    data = f'{{"temperature":{{"inlet":30.5}},"{name}":{"[" * 5000}{"]" * 5000}}}'.encode()
    (_, slow), (_, fast) = (through(data, {}, monkeypatch, fast) for fast in (False, True))
    assert fast == slow
    assert fast[0] == []
    assert [letter.detail for letter in fast[2]] == ["the JSON is nested too deeply"]


def test_ever_other_parts_fill_no_memory():
    known = payload.Known(payload.untrusted)
    for number in range(3_000):
        names = {f"{number}": False, "long": "x" * 2_000 if number % 2 else ""}
        assert known(msgspec.Raw(json.dumps(names).encode())) == (f"{number}",)
    assert known._remembered.cache_info().currsize <= 1_000
    assert known(msgspec.Raw()) == ()
