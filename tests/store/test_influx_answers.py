"""Answers of InfluxDB, read as they come."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.errors import RetryableStoreError
from flows.store.influx.answers import blocks, series, times_ms

ANSWER = (
    ",result,table,_time,_value,_field,device_id\r\n"
    ",_result,0,2026-02-02T00:00:00Z,true,fan_running,site1\r\n"
    ",_result,0,2026-02-02T00:00:10.5Z,false,fan_running,site1\r\n"
    "\r\n"
    ",result,table,_time,_value,_field,device_id\r\n"
    ",_result,1,2026-02-02T00:00:00Z,1,order,site1\r\n"
    ",_result,1,2026-02-02T00:00:10.5Z,2.25,order,site1\r\n"
    ",_result,2,2026-02-02T00:00:00Z,1,order,site1Z\r\n"
    ",_result,11,2026-02-02T00:00:00Z,-3,power,site1\r\n"
    "\r\n"
)


def labels(table: str, field: str, device_id: str = "site1") -> dict[str, str]:
    return {"table": table, "_field": field, "device_id": device_id}


def found(*pieces: str) -> list[tuple[dict[str, str], list[str], list[str]]]:
    return [
        ({name: each.labels[name] for name in ("table", "_field", "device_id")}, each.times, each.values)
        for each in series(pieces)
    ]


def test_points_of_an_answer_come_series_by_series():
    first, second = "2026-02-02T00:00:00Z", "2026-02-02T00:00:10.5Z"
    assert found(ANSWER) == [
        (labels("0", "fan_running"), [first, second], ["true", "false"]),
        (labels("1", "order"), [first, second], ["1", "2.25"]),
        (labels("2", "order", "site1Z"), [first], ["1"]),
        (labels("11", "power"), [first], ["-3"]),
    ]


def test_an_answer_with_quoted_cells_is_read_the_same():
    assert found(ANSWER.replace(",site1Z", ',"site""1,\r\n"')) == [
        (each if each["device_id"] == "site1" else labels("2", "order", 'site"1,\r\n'), times, values)
        for each, times, values in found(ANSWER)
    ]


MORE = ANSWER + ANSWER.replace("site1,", "site2,") + ANSWER.replace("_result,11", "_result,3")
QUOTED = ANSWER + ANSWER.replace(",site1Z", ',"site""1,\r\n"') + ANSWER


@pytest.mark.parametrize("text", [ANSWER, MORE, QUOTED, ANSWER[:-2], ANSWER[:-4], "\r\n" + ANSWER])
@given(data=st.data())
def test_an_answer_is_read_the_same_wherever_it_is_cut(text, data):
    cuts = sorted({0, len(text), *data.draw(st.lists(st.integers(0, len(text)), max_size=8))})
    assert found(*(text[left:right] for left, right in pairwise(cuts))) == found(text)
    assert len(found(text)) == 4 * text.count("true")


def test_a_table_is_there_before_the_rest_of_the_answer():
    asked = []

    def pieces():
        for piece in (ANSWER[:180], ANSWER[180:]):
            asked.append(piece)
            yield piece

    first = next(series(pieces()))
    assert (first.labels["_field"], first.values) == ("fan_running", ["true", "false"])
    assert len(asked) == 1 < len(ANSWER[180:])


@pytest.mark.parametrize("text", [ANSWER, ANSWER.replace("fan_running", '"fan_running"')])
def test_every_column_of_a_block_has_every_row(text):
    first, second = blocks(text)
    assert first.column("_value") == ["true", "false"]
    assert second.column("table") == ["1", "1", "2", "11"]
    assert second.rows[3] == ("", "_result", "11", "2026-02-02T00:00:00Z", "-3", "power", "site1")
    with pytest.raises(KeyError):
        first.column("level")


def test_nothing_found_is_an_empty_answer():
    assert list(blocks("\r\n")) == list(series(["\r\n"])) == list(series([])) == []


@pytest.mark.parametrize("read", [blocks, lambda text: series([text]), series])
def test_an_answer_that_breaks_off_is_no_answer(read):
    broken = ANSWER + "error,reference\r\nengine: out of memory,897\r\n"
    with pytest.raises(RetryableStoreError, match="engine: out of memory"):
        list(read(broken))


def test_times_are_read_to_the_millisecond_below():
    texts = ["1970-01-01T00:00:00Z", "2026-02-02T00:00:10.5Z", "2026-02-02T00:00:10.123456789Z"]
    assert times_ms(texts).tolist() == [0, 1769990410500, 1769990410123]
