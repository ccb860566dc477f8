"""A recorded CSV becomes what its device would have sent, and a mistake in it is named."""

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from flows.errors import ConfigError
from flows.model.frame import Frame, FrameKind
from flows.nodes.decode import parse_reading
from flows.nodes.payload import decode_payload
from flows.sources.recording import COLUMNS, readings, survey
from tests.recorded import RECORDING, ms

HEADER = "time_utc,power_in_w,flow_temp_c,defrost,buh_step1,buh_step2,operation_mode\n"


@pytest.fixture
def recording(tmp_path: Path):
    def write(text: str | bytes) -> Path:
        path = tmp_path / "day.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_a_row_becomes_groups_of_the_contract_and_an_empty_cell_an_absent_field(recording) -> None:
    path = recording(HEADER + "2024-10-10T00:00:30Z,1598.0,,ON,,,Heating\n")
    assert list(readings(path)) == [
        (ms("2024-10-10T00:00:30Z"), {"electrical": {"power": 1598.0}, "status": {"defrost": True}})
    ]


def test_either_step_of_the_backup_heater_is_the_backup_heater(recording) -> None:
    rows = [
        "2024-10-10T00:00:00Z,,,,ON,OFF,",
        "2024-10-10T00:00:30Z,,,,OFF,ON,",
        "2024-10-10T00:01:00Z,,,,OFF,OFF,",
    ]
    found = [payload["status"]["backup"] for _, payload in readings(recording(HEADER + "\n".join(rows)))]
    assert found == [True, True, False]


def test_a_row_in_which_nothing_was_reported_is_left_out(recording) -> None:
    path = recording(HEADER + "2024-10-10T00:00:30Z,,,,,,Heating\n\n2024-10-10T00:01:00Z,20,,,,,\n")
    assert [payload for _, payload in readings(path)] == [{"electrical": {"power": 20.0}}]


def test_a_time_without_zone_is_utc_and_an_offset_is_honoured(recording) -> None:
    path = recording(HEADER + "2024-10-10T00:00:30,1,,,,,\n2024-10-10T02:00:31+02:00,2,,,,,\n")
    start = ms("2024-10-10T00:00:30Z")
    assert [at for at, _ in readings(path)] == [start, start + 1000]


def test_an_unchanged_value_is_repeated_with_the_first_reading_after_ten_minutes(recording) -> None:
    rows = ["2024-10-10T00:00:00Z,21,30,,,,", "2024-10-10T00:09:59Z,,31,,,,", "2024-10-10T00:10:00Z,,32,,,,"]
    path = recording(HEADER + "\n".join(rows))
    powers = [payload.get("electrical") for _, payload in readings(path)]
    assert powers == [{"power": 21.0}, None, {"power": 21.0}]
    assert [payload.get("electrical") for _, payload in readings(path, repeat_ms=0)] == [
        {"power": 21.0},
        None,
        None,
    ]


def test_the_recorded_day_has_every_column_that_we_map_and_each_reaches_a_stored_field() -> None:
    frame, fields = Frame(1, FrameKind.MESSAGE, 0), set()
    for _, payload in readings(RECORDING):
        raw = msgspec.json.encode(payload)
        fields |= set(parse_reading(raw, "site1", 1, frame, decode_payload(raw), Counter()).values)
    assert len(fields) == len({path[:2] for path in COLUMNS.values()}) - 1  # dhw_setpoint_c is empty throughout


def test_a_survey_counts_readings_and_finds_the_first_and_the_last() -> None:
    assert survey(RECORDING) == (3931, ms("2024-10-10T00:00:30Z"), ms("2024-10-11T09:23:00Z"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "day.csv line 1: '' must name time_utc and one of power_in_w"),
        ("time,power_in_w\n", "day.csv line 1: 'time,power_in_w' must name time_utc"),
        ("time_utc,watts\n", "must name time_utc and one of power_in_w"),
        (HEADER, "has no row in which anything was reported"),
        (HEADER + "2024-10-10T00:00:30Z,1,2\n", "day.csv line 2: 3 cells, but the header names 7 columns"),
        (
            HEADER + "yesterday,1,,,,,\n",
            "day.csv line 2, column time_utc: 'yesterday' must be a time such as 2024-",
        ),
        (
            HEADER + "2024-10-10T00:00:30Z,lots,,,,,\n",
            "line 2, column power_in_w: 'lots' must be a number, or empty",
        ),
        (
            HEADER + "2024-10-10T00:00:30Z,nan,,,,,\n",
            "line 2, column power_in_w: 'nan' must be a number, or empty",
        ),
        (HEADER + "2024-10-10T00:00:30Z,,,yes,,,\n", "line 2, column defrost: 'yes' must be ON or OFF, or empty"),
        (
            HEADER + "2024-10-10T00:01:00Z,1,,,,,\n2024-10-10T00:00:30Z,1,,,,,\n",
            "line 3, column time_utc: '2024-10-10T00:00:30Z' is before the row above it: sort the file by time",
        ),
        (b"\xff\xfe\x00t", "is no CSV file in UTF-8"),
        (HEADER + '2024-10-10T00:00:30Z,"1,,,,,\n', "is no CSV file in UTF-8: unexpected end of data"),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence_that_says_where(recording, text, sentence) -> None:
    with pytest.raises(ConfigError) as error:
        survey(recording(text))
    assert sentence in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.csv' cannot be read: No such file or directory"):
        survey(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        survey(tmp_path)
