"""Instants in and out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.errors import BadQuery
from flows.model.times import iso
from flows.queries.times import LATEST_MS, instant, iso_all

INSTANTS = st.integers(0, LATEST_MS)


@given(st.lists(INSTANTS, max_size=20))
def test_many_instants_read_as_each_by_itself(times):
    assert iso_all(sorted(times)) == [iso(at) for at in sorted(times)]


@given(INSTANTS)
def test_what_is_written_is_read_back(at):
    assert instant("start", iso(at)) == at


def test_an_instant_is_utc_with_milliseconds():
    assert iso(1_770_033_600_007) == "2026-02-02T12:00:00.007Z"
    assert instant("start", "2026-02-02T13:00:00.007+01:00") == 1_770_033_600_007


@pytest.mark.parametrize(
    "text", ["", "now", "2026-02-02", "1770033600", "2026-02-02T12:00:00", "1969-12-31T23:59:59Z"]
)
def test_what_is_no_instant_with_a_time_zone_is_named(text):
    with pytest.raises(BadQuery, match="start: ") as refused:
        instant("start", text)
    assert refused.value.value == text
