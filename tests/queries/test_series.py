"""Series: resolution, open buckets, site days, coverage and gaps, on a real store."""

from zoneinfo import ZoneInfo

import pytest

from flows.errors import BadQuery
from flows.model.device import DeviceMetadata
from flows.model.rollup import BUCKET_MS
from flows.model.times import iso
from flows.queries.fields import asked_fields
from flows.queries.series import Series, plan, series, table
from flows.queries.times import instant
from flows.store import StoreAddress, open_reader
from flows.store.protocol import StoreReader
from tests.filled import Values, fill, ordinary

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
NOON = 1_770_033_600_000 // DAY * DAY + 12 * HOUR
UTC = ZoneInfo("UTC")


def ask(
    address: StoreAddress, start: int, end: int, resolution=None, fields=None, points=2_000, zone=UTC, now=None
) -> Series:
    reader: StoreReader = open_reader(address)
    device = reader.device("site1")
    assert device is not None
    span = plan(reader, device, asked_fields(fields, device), start, end, resolution, points, zone)
    answer = series(reader, span, points, end if now is None else now)
    reader.close()
    return answer


def test_a_short_span_is_answered_with_the_readings_themselves(address):
    fill(address, range(NOON, NOON + HOUR, 10 * SECOND))
    answer = ask(address, NOON, NOON + HOUR, fields="temp_inlet,compressor_running")
    assert answer.resolution == "raw"
    assert answer.readings == len(answer.time) == 360
    assert answer.time[:2] == [iso(NOON), iso(NOON + 10_000)]
    assert answer.values["temp_inlet"][0] == 30.0
    assert answer.values["compressor_running"][0] is True
    assert answer.units == {"temp_inlet": "°C", "compressor_running": ""}
    assert answer.gaps == []


def test_a_day_of_readings_is_answered_in_minutes_and_a_month_in_hours(address):
    fill(address, range(NOON, NOON + DAY, 30 * SECOND))
    assert ask(address, NOON, NOON + DAY).resolution == "1m"
    assert ask(address, NOON - 29 * DAY, NOON + DAY).resolution == "1h"
    assert ask(address, NOON - 300 * DAY, NOON + DAY).resolution == "1d"


def test_hours_answer_where_raw_readings_and_minutes_are_gone(address):
    from flows.model.rows import Retain
    from flows.store import open_writer

    fill(address, range(NOON, NOON + 3 * HOUR, 10 * SECOND))
    writer = open_writer(address)
    writer.apply([Retain("site1", 10**9, NOON + 2 * HOUR, NOON + 90 * MINUTE, 0)])
    writer.close()
    assert ask(address, NOON + 125 * MINUTE, NOON + 170 * MINUTE, fields="power").resolution == "raw"
    assert ask(address, NOON + 110 * MINUTE, NOON + 170 * MINUTE, fields="power").resolution == "1m"
    assert ask(address, NOON, NOON + 170 * MINUTE, fields="power").resolution == "1h"


@pytest.mark.parametrize("past", [0, 1, 30 * MINUTE, 58 * MINUTE, 59 * MINUTE, 59 * MINUTE + 1, HOUR - 1])
def test_whatever_part_of_an_hour_a_span_begins_in_its_resolution_is_the_same(address, past):
    fill(address, range(NOON - 2 * HOUR, NOON + 26 * HOUR, 20 * SECOND))
    assert ask(address, NOON + past, NOON + past + 24 * HOUR, fields="power").resolution == "1m"
    assert ask(address, NOON + past, NOON + past + 6 * HOUR, fields="power").resolution == "raw"
    assert ask(address, NOON + past, NOON + past + 6 * HOUR, fields="electric_kwh_space").resolution == "1m"


@pytest.mark.parametrize("resolution", ["1m", "1h", "1d"])
def test_the_open_bucket_is_what_it_will_be_stored_as_if_nothing_more_comes(address, resolution):
    """The next reading's arrival closes the bucket; until then the query says what has counted so far."""
    length = BUCKET_MS[resolution]
    start = NOON - NOON % length
    times = [*range(start, start + length, length // 60)]
    fill(address, times)
    open_answer = ask(address, start, start + length, resolution, now=start + length)
    fill(address, [start + length + 20 * MINUTE], first_order=10_000, healed_from=start)
    closed = ask(address, start, start + length, resolution, now=start + length)
    assert open_answer.time == closed.time == [iso(start)]
    mean, stored = open_answer.values["temp_inlet"]["mean"][0], closed.values["temp_inlet"]["mean"][0]
    assert mean == pytest.approx(stored, abs=0.5)
    assert open_answer.readings == closed.readings == 60
    assert open_answer.coverage["temp_inlet"] == pytest.approx(
        59 / 60 if length < DAY else 59 * 900 / 86_400, abs=0.02
    )


def test_the_open_hour_counts_the_newest_minute_too(address):
    fill(address, range(NOON, NOON + 30 * MINUTE + 30 * SECOND, 10 * SECOND))
    answer = ask(
        address, NOON, NOON + HOUR, "1h", "electric_kwh_space,count", now=NOON + 30 * MINUTE + 20 * SECOND
    )
    held = 30 * MINUTE + 20 * SECOND
    assert answer.values["electric_kwh_space"][0] == pytest.approx(held / HOUR, rel=1e-9)
    assert answer.values["count"] == [183]
    assert answer.units == {"electric_kwh_space": "kWh", "count": ""}


def test_rollups_have_mean_min_max_of_numbers_and_the_share_of_flags(address):
    fill(address, range(NOON, NOON + 2 * HOUR, 10 * SECOND))
    answer = ask(address, NOON, NOON + HOUR, "1h", "temp_inlet,compressor_running,compressor_running_starts")
    numbers = answer.values["temp_inlet"]
    assert set(numbers) == {"mean", "min", "max"}
    assert numbers["mean"][0] == pytest.approx(30.5, abs=0.01)
    assert numbers["min"] == [30.0]
    assert answer.values["compressor_running"] == [1.0]
    assert answer.values["compressor_running_starts"] == [None]


def test_where_heat_came_from_is_said(address):
    fill(address, range(NOON, NOON + HOUR, 10 * SECOND))
    assert ask(address, NOON, NOON + HOUR, "1m").heat_source == "estimated"


def test_holes_of_more_than_900_s_are_gaps_and_lower_the_coverage(address):
    times = [
        *range(NOON, NOON + 600 * SECOND + 1, 10 * SECOND),
        *range(NOON + 2 * HOUR, NOON + 3 * HOUR, 10 * SECOND),
    ]
    fill(address, times)
    raw = ask(address, NOON, NOON + 3 * HOUR, "raw", "temp_inlet")
    assert raw.gaps == [(iso(NOON + 600 * SECOND), iso(NOON + 2 * HOUR))]
    minutes = ask(address, NOON, NOON + 3 * HOUR, "1m", "temp_inlet")
    assert minutes.gaps == [(iso(NOON + 11 * MINUTE), iso(NOON + 2 * HOUR))]
    held = 600 + 900 + 3590
    assert raw.coverage["temp_inlet"] == pytest.approx(held / 10_800, abs=1e-5)
    assert minutes.coverage["temp_inlet"] == pytest.approx(raw.coverage["temp_inlet"], abs=1e-5)


def test_a_field_that_is_seldom_sent_is_covered_as_long_as_it_is_held(address):
    def values(at: int) -> Values:
        return {**ordinary(at), **({"temp_dhw": 48.0} if at % (30 * MINUTE) == 0 else {})}

    fill(address, range(NOON, NOON + HOUR, 10 * SECOND), values=values)
    raw = ask(address, NOON, NOON + HOUR, "raw", "temp_dhw,temp_inlet")
    assert raw.coverage == {"temp_dhw": 0.5, "temp_inlet": pytest.approx(3590 / 3600, abs=1e-5)}
    assert ask(address, NOON, NOON + HOUR, "1m", "temp_dhw").coverage["temp_dhw"] == pytest.approx(0.5, abs=1e-5)


def test_before_the_first_and_after_the_last_reading_there_are_gaps_until_now(address):
    fill(address, range(NOON, NOON + HOUR, 10 * SECOND))
    answer = ask(address, NOON - HOUR, NOON + 5 * HOUR, "raw", now=NOON + 2 * HOUR)
    assert answer.gaps == [
        (iso(NOON - HOUR), iso(NOON)),
        (iso(NOON + HOUR - 10 * SECOND), iso(NOON + 2 * HOUR)),
    ]


def day_sum(answer: Series) -> list[float]:
    return answer.values["electric_kwh_space"]


@pytest.mark.parametrize(
    ("zone", "midnight", "hours"),
    [
        ("Europe/Berlin", "2026-02-02T00:00:00+01:00", 24),
        ("Asia/Kolkata", "2026-02-02T00:00:00+05:30", 24),
        ("America/St_Johns", "2026-03-08T00:00:00-03:30", 23),
        ("Europe/Berlin", "2026-10-25T00:00:00+02:00", 25),
        ("Australia/Lord_Howe", "2026-04-05T00:00:00+11:00", 24.5),
    ],
)
def test_a_day_is_the_sites_own(address, zone, midnight, hours):
    """1 kW is held for the site's day, 2 kW around it: the day's energy is its length in hours, no more, no less."""
    start = instant("start", midnight)
    end = start + int(hours * HOUR)

    def values(at: int) -> Values:
        return {**ordinary(at), "power": 1000.0 if start <= at < end else 2000.0}

    fill(address, range(start - 3 * HOUR, end + 3 * HOUR, 5 * MINUTE), values=values)
    answer = ask(address, start, end, "1d", "electric_kwh_space,power", zone=ZoneInfo(zone))
    assert answer.time == [iso(start)]
    assert (answer.start, answer.end, answer.timezone) == (iso(start), iso(end), zone)
    assert day_sum(answer) == [pytest.approx(hours, rel=1e-9)]
    assert answer.values["power"]["max"] == [1000.0]
    assert answer.coverage["power"] == pytest.approx(1.0, abs=1e-6)


def test_the_sites_days_add_up_to_the_hours_they_are_made_of(address):
    fill(address, range(NOON - 2 * DAY, NOON + HOUR, 5 * MINUTE))
    zone = ZoneInfo("Asia/Kathmandu")
    days = ask(address, NOON - 3 * DAY, NOON + HOUR, "1d", "electric_kwh_space,count", zone=zone)
    assert sum(day_sum(days)) == pytest.approx((2 * DAY + HOUR - 5 * MINUTE) / HOUR, rel=1e-9)
    assert days.readings == 2 * DAY // (5 * MINUTE) + 12


def test_all_of_time_may_be_asked_in_days(address):
    fill(address, range(NOON - 2 * DAY, NOON + HOUR, 5 * MINUTE))
    for zone in (UTC, ZoneInfo("Asia/Kathmandu"), ZoneInfo("America/New_York")):
        answer = ask(address, 0, NOON + 50_000 * DAY, None, "count", zone=zone, now=NOON + HOUR)
        assert (answer.resolution, len(answer.time)) == ("1d", 3)
        assert answer.readings == 2 * DAY // (5 * MINUTE) + 12


def test_where_minutes_are_gone_a_cut_hour_belongs_to_the_day_it_starts_in(address):
    from flows.model.rows import Retain
    from flows.store import open_writer

    fill(address, range(NOON - 2 * DAY, NOON + HOUR, 5 * MINUTE))
    writer = open_writer(address)
    writer.apply([Retain("site1", 10**9, NOON - 2 * HOUR, NOON - 2 * HOUR, 0)])
    writer.close()
    days = ask(address, NOON - 3 * DAY, NOON + HOUR, "1d", "electric_kwh_space", zone=ZoneInfo("Asia/Kolkata"))
    assert sum(day_sum(days)) == pytest.approx((2 * DAY + HOUR - 5 * MINUTE) / HOUR, rel=1e-9)


def test_more_points_than_asked_for_are_refused_with_a_way_out(address):
    fill(address, range(NOON, NOON + HOUR, 10 * SECOND))
    with pytest.raises(BadQuery, match=r"max_points: 100 is less than this span has at resolution raw"):
        ask(address, NOON, NOON + HOUR, "raw", points=100)


def test_a_field_that_only_rollups_have_is_refused_of_raw_rows_and_chosen_around(address):
    fill(address, range(NOON, NOON + HOUR, 10 * SECOND))
    with pytest.raises(BadQuery, match="fields: 'electric_kwh_space' exists in rollups only"):
        ask(address, NOON, NOON + HOUR, "raw", "electric_kwh_space")
    assert ask(address, NOON, NOON + HOUR, None, "electric_kwh_space").resolution == "1m"


def test_an_unknown_field_is_named(address):
    fill(address, [NOON])
    with pytest.raises(BadQuery, match="fields: 'temp_kitchen' is no quantity or rollup column"):
        ask(address, NOON, NOON + HOUR, None, "power,temp_kitchen")


def test_rollup_starts_are_aligned_to_whole_buckets(address):
    fill(address, range(NOON, NOON + 2 * HOUR, 10 * SECOND))
    answer = ask(address, NOON + 5 * MINUTE + 1, NOON + 65 * MINUTE, "1h")
    assert (answer.start, answer.end) == (iso(NOON), iso(NOON + 2 * HOUR))
    assert len(answer.time) == 2


def test_a_table_has_no_limit_but_the_span(address):
    fill(address, range(NOON, NOON + 20 * HOUR, 10 * SECOND))
    reader = open_reader(address)
    device = reader.device("site1")
    span = plan(reader, device, ["power", "compressor_running"], NOON, NOON + DAY, "raw", 20_000, UTC)
    head, *pages = table(reader, span)
    reader.close()
    assert head == [["time", "power", "compressor_running"]]
    assert [len(page) for page in pages] == [5_000, 2_200]
    assert pages[1][-1] == [iso(NOON + 20 * HOUR - 10 * SECOND), 1000.0, True]


def test_a_device_without_readings_has_an_empty_series(address):
    from flows.model.rows import DeviceRow
    from flows.store import open_writer

    writer = open_writer(address)
    writer.apply([DeviceRow("site1", 1, online=True)])
    writer.close()
    for resolution in (None, "raw", "1m", "1h", "1d"):
        answer = ask(address, NOON, NOON + HOUR, resolution, "power")
        assert (answer.time, answer.readings) == ([], 0)
        assert len(answer.gaps) == 1


def test_metadata_of_a_site_says_its_time_zone(address):
    from flows.queries.pages import zone_of

    fill(address, [NOON], metadata=[DeviceMetadata(timezone="Europe/Oslo")])
    reader = open_reader(address)
    assert zone_of(reader.device("site1"), NOON).key == "Europe/Oslo"
    reader.close()
