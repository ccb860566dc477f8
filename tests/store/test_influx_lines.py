"""Line protocol: what rows are written as, to the last bit of a number."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.errors import RowRefused
from flows.model.table import RollupTable
from flows.store.influx.lines import fields_of, raw_lines, rollup_lines

from .conftest import MINUTE, NOW, raw


def test_a_reading_is_one_line_of_floats_and_booleans():
    row = raw(NOW, 7, voltage=230.5, power=900.0, fan_running=True, defrost_active=False)
    assert raw_lines([row]) == [
        b"sensor_reading,device_id=site1 voltage=230.5,power=900.0,fan_running=true,defrost_active=false,"
        b"late_ms=5,order=7 %d" % NOW
    ]


def test_a_clock_is_named_where_it_is_not_the_devices_own_or_is_asked_for():
    rows = [raw(NOW, 1, clock="boot", power=1.0), raw(NOW, 2, power=1.0)]
    assert [b'clock="boot"' in line for line in raw_lines(rows)] == [True, False]
    assert raw_lines(rows[1:], every_clock=True) == [
        b'sensor_reading,device_id=site1 power=1.0,late_ms=5,order=2,clock="device" %d' % NOW
    ]


def test_any_device_id_is_a_tag_that_needs_no_escaping():
    for device_id in ("a b", "a,b=c", "\n", "", "x\\", "ü"):
        (line,) = raw_lines([raw(NOW, 1, device_id=device_id, power=1.0)])
        series, _, at = line.split(b" ")
        assert series.startswith(b"sensor_reading,device_id=%") and series.count(b",") == 1
        assert int(at) == NOW


def test_a_row_without_values_has_only_the_fields_of_every_row():
    assert fields_of([{}, {"power": 1.0}, {}]) == [b"", b"power=1.0,", b""]
    assert raw_lines([raw(NOW, 1)]) == [b"sensor_reading,device_id=site1 late_ms=5,order=1 %d" % NOW]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_every_number_can_be_read_back_bit_for_bit(numbers):
    fields = fields_of([{"power": number} for number in numbers])
    found = [float(field.removeprefix(b"power=").removesuffix(b",")) for field in fields]
    assert struct.pack(f"{len(found)}d", *found) == struct.pack(f"{len(numbers)}d", *numbers)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_finite_number_is_refused_by_name(value):
    with pytest.raises(RowRefused, match="voltage = "):
        fields_of([{"power": 1.0}, {"voltage": value}])


def test_a_rollup_row_has_the_columns_it_has_and_its_source_of_heat_if_any():
    whole = [np.array(numbers, dtype=np.int64) for numbers in ([NOW, NOW + MINUTE], [3, 4], [6, 5], [2, -1])]
    values = np.array([[1.5, np.nan], [np.nan, -0.0]])
    rows = RollupTable(*whole, ("power_mean", "heat_kwh_space"), values)
    assert rollup_lines(["site1", "site2"], rows) == [
        b'sensor_rollup,device_id=site1 power_mean=1.5,count=6,order=3,heat_source="estimated" %d' % NOW,
        b"sensor_rollup,device_id=site2 heat_kwh_space=-0.0,count=5,order=4 %d" % (NOW + MINUTE),
    ]
