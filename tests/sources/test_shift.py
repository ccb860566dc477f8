"""Moving a recording to now changes Unix times in payloads and nothing else."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.model.reading import EARLIEST_MS
from flows.model.times import DAY_MS
from flows.sources.shift import shifted
from tests.effort import examples

AT = 1_770_000_000_000
MOVED = AT + 3 * DAY_MS


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f'{{"timestamp":{AT},"seq":7,"boot_id":"b"}}', f'{{"timestamp":{MOVED},"seq":7,"boot_id":"b"}}'),
        (f'[{{"timestamp":{AT}}},{{"timestamp":5000}}]', f'[{{"timestamp":{MOVED}}},{{"timestamp":5000}}]'),
        (f'{{"x":{{"timestamp":{AT}}}}}', f'{{"x":{{"timestamp":{AT}}}}}'),
        (f'{{"timestamp":{AT}.5}}', f'{{"timestamp":{MOVED}.5}}'),
        (
            '{"timestamp":123456,"temperature":{"inlet":45.20}}',
            '{"timestamp":123456,"temperature":{"inlet":45.20}}',
        ),
        ('{"temperature":{"inlet":45.20}}', '{"temperature":{"inlet":45.20}}'),
        (f'{{"timestamp":"{AT}"}}', f'{{"timestamp":"{AT}"}}'),
        ('{"timestamp":null,"a":1E2}', '{"timestamp":null,"a":1E2}'),
        ('{"timestamp":true}', '{"timestamp":true}'),
    ],
)
def test_only_the_unix_time_of_a_reading_moves(before: str, after: str) -> None:
    assert shifted(before.encode(), 3 * DAY_MS) == after.encode()


def test_a_reading_that_is_no_strict_json_moves_too() -> None:
    moved = shifted(f'{{"timestamp":{AT},"electrical":{{"power":NaN}}}}'.encode(), 3 * DAY_MS)
    assert moved == f'{{"timestamp": {MOVED}, "electrical": {{"power": NaN}}}}'.encode()


def test_readings_move_though_one_beside_them_is_no_object() -> None:
    assert json.loads(shifted(f'[5,{{"timestamp":{AT}}}]'.encode(), 3 * DAY_MS)) == [5, {"timestamp": MOVED}]


@pytest.mark.parametrize(
    "payload", [b"", b"true", b"{", b"[", b"\xff\xfe", b"[" * 5000, b'{"timestamp":1' + b"0" * 400 + b"}"]
)
def test_what_is_no_reading_stays_what_it_is(payload: bytes) -> None:
    assert shifted(payload, DAY_MS) == payload


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=examples(100), deadline=None)
@given(st.dictionaries(st.text() | st.just("timestamp"), values, max_size=5), st.integers(-400, 400))
def test_there_and_back_is_the_same_reading(reading, days: int) -> None:
    payload, by = json.dumps(reading).encode(), days * DAY_MS
    moved = json.loads(shifted(payload, by))
    sent = reading.get("timestamp")
    if isinstance(sent, int | float) and not isinstance(sent, bool) and sent >= EARLIEST_MS:
        assert moved.pop("timestamp") == sent + by
        reading.pop("timestamp")
    assert moved == reading
