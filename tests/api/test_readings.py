"""Readings and series over HTTP: pages, limits, CSV."""

import csv
import io

import pytest

from flows.model.times import iso

HOUR, DAY = 3_600_000, 86_400_000


def test_readings_come_newest_first_a_hundred_a_page(api, filled):
    answer = api.get("/api/devices/site1/readings")
    rows = answer.json()
    assert len(rows) == 100
    assert [row["time"] for row in rows] == [iso(at) for at in reversed(filled.times[-100:])]
    newest = rows[0]
    assert newest["device_id"] == "site1"
    assert newest["power"] == 1000.0
    assert newest["compressor_running"] is True
    assert newest["pressure_high"] is None
    assert newest["clock"] == "device"
    assert "temp_dhw" not in newest


def test_the_link_header_leads_through_all_readings_once(api, filled):
    url: str | None = "/api/devices/site1/readings?limit=300&hours=24"
    times: list[str] = []
    pages = 0
    while url is not None:
        answer = api.get(url)
        times += [row["time"] for row in answer.json()]
        url = answer.links.get("next", {}).get("url")
        pages += 1
    assert times == [iso(at) for at in reversed(filled.times)]
    assert pages == 4


def test_a_span_is_taken_from_its_start_to_before_its_end(api, filled):
    start, end = filled.times[10], filled.times[20]
    rows = api.get("/api/devices/site1/readings", params={"start": iso(start), "end": iso(end)}).json()
    assert [row["time"] for row in rows] == [iso(at) for at in reversed(filled.times[10:20])]


def test_an_instant_may_have_any_time_zone(api, filled):
    params = {"start": "2026-02-02T01:00:00+01:00", "end": iso(filled.now), "limit": 1}
    assert len(api.get("/api/devices/site1/readings", params=params).json()) == 1


def test_rows_have_exactly_the_fields_asked_for(api):
    rows = api.get("/api/devices/site1/readings?fields=power,temp_dhw&limit=2").json()
    assert [set(row) for row in rows] == [{"time", "device_id", "power", "temp_dhw"}] * 2
    assert rows[0]["temp_dhw"] is None


def test_rows_of_a_rollup_have_the_mean_by_the_quantitys_own_name(api, filled):
    answer = api.get("/api/devices/site1/readings?resolution=1m&limit=50&hours=24")
    rows = answer.json()
    assert len(rows) == 50
    assert rows[0]["time"] > rows[1]["time"]
    assert rows[5]["power"] == pytest.approx(1000.0)
    assert rows[5]["temp_inlet_min"] < rows[5]["temp_inlet"] < rows[5]["temp_inlet_max"]
    assert rows[5]["compressor_running"] == 1.0
    assert rows[5]["count"] == 6
    assert rows[5]["electric_kwh_space"] == pytest.approx(1 / 60, rel=1e-6)
    assert rows[5]["heat_source"] == "estimated"
    times = [row["time"] for row in rows]
    while "next" in answer.links:
        answer = api.get(answer.links["next"]["url"])
        times += [row["time"] for row in answer.json()]
    assert len(times) == len(set(times)) == len({at // 60_000 for at in filled.times})


def test_a_hole_in_history_ends_no_walk_through_pages(api, filled):
    url: str | None = f"/api/devices/site2/readings?resolution=1m&limit=10&start={iso(filled.now - 3 * DAY)}"
    count = 0
    while url is not None:
        answer = api.get(url)
        count += sum(row["count"] or 0 for row in answer.json())
        url = answer.links.get("next", {}).get("url")
    assert count == 144


def test_the_latest_reading_is_one_object(api, filled):
    row = api.get("/api/devices/site1/readings/latest").json()
    assert row["time"] == iso(filled.now)
    assert row["temp_outlet"] == pytest.approx(row["temp_inlet"] + 5)


def test_a_device_without_a_reading_has_no_latest(api):
    answer = api.get("/api/devices/site3/readings/latest")
    assert answer.status_code == 404
    assert "'site3'" in answer.json()["detail"]
    assert api.get("/api/devices/site3/readings").json() == []


@pytest.mark.parametrize(
    ("path", "field", "value", "allowed"),
    [
        ("/api/devices/site1/readings?hours=0", "hours", "0", "must be greater than or equal to 1"),
        ("/api/devices/site1/readings?hours=169", "hours", "169", "must be less than or equal to 168"),
        ("/api/devices/site1/readings?limit=1001", "limit", "1001", "must be less than or equal to 1000"),
        ("/api/devices/site1/readings?limit=many", "limit", "many", "must be a valid integer"),
        ("/api/devices/site1/readings?start=yesterday", "start", "yesterday", "must be ISO 8601 with a time zone"),
        (
            "/api/devices/site1/readings?start=2026-02-02T00:00:00",
            "start",
            "2026-02-02T00:00:00",
            "with a time zone",
        ),
        ("/api/devices/site1/readings?start=2199-12-31T23:59:59Z", "start", "2199-12-31T23:59:59Z", "before end"),
        ("/api/devices/site1/readings?end=9999-12-31T23:59:59Z", "end", "9999-12-31T23:59:59Z", "1970 and 2199"),
        ("/api/devices/site1/readings?end=0001-01-01T00:00:00Z", "end", "0001-01-01T00:00:00Z", "1970"),
        ("/api/devices/site1/readings?fields=power,colour", "fields", "colour", "is no quantity"),
        ("/api/devices/site1/readings?fields=,", "fields", ",", "must name 1 to 64 fields"),
        ("/api/devices/site1/readings?resolution=2m", "resolution", "2m", "must be 'raw', '1m', '1h' or '1d'"),
        ("/api/devices/site1/series?max_points=20001", "max_points", "20001", "less than or equal to 20000"),
        ("/api/devices/site1/series?resolution=raw&max_points=5", "max_points", 5, "ask a shorter span"),
        ("/api/devices/site1/series?format=xml", "format", "xml", "must be 'json' or 'csv'"),
        ("/api/alerts?limit=501", "limit", "501", "must be less than or equal to 500"),
        ("/api/alerts?hours=1000", "hours", "1000", "must be less than or equal to 168"),
        ("/api/dead-letters?limit=0", "limit", "0", "must be greater than or equal to 1"),
        ("/api/dead-letters/x", "letter_id", "x", "must be a valid integer"),
    ],
)
def test_what_is_out_of_range_is_answered_with_field_value_and_limit(api, path, field, value, allowed):
    answer = api.get(path)
    assert answer.status_code == 422
    body = answer.json()
    assert (body["field"], body["value"]) == (field, value)
    assert allowed in body["allowed"]
    assert body["detail"] == f"{field}: {value!r} {body['allowed']}"


def lines(answer) -> list[dict[str, str]]:
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_readings_as_csv_are_the_whole_span(api, filled):
    rows = lines(api.get("/api/devices/site1/readings", headers={"Accept": "text/csv"}))
    assert [row["time"] for row in rows] == [iso(at) for at in reversed(filled.times)]
    assert set(rows[0]) == {
        "time",
        "device_id",
        "temp_inlet",
        "temp_outlet",
        "temp_ambient",
        "voltage",
        "power",
        "compressor_running",
    }
    assert (rows[0]["power"], rows[0]["compressor_running"]) == ("1000.0", "true")
    assert len(lines(api.get("/api/devices/site1/readings?format=csv&limit=7"))) == 7


def test_csv_of_rollups_and_missing_values(api):
    rows = lines(api.get("/api/devices/site1/readings?format=csv&resolution=1h&fields=power,temp_dhw,count"))
    assert set(rows[0]) == {
        "time", "device_id", "power", "power_min", "power_max", "temp_dhw", "temp_dhw_min", "temp_dhw_max", "count",
    }  # fmt: skip
    assert rows[0]["temp_dhw"] == ""


def test_a_series_as_csv_has_a_column_for_each_list(api):
    answer = api.get("/api/devices/site1/series?format=csv&fields=power,compressor_running&resolution=1m")
    rows = lines(answer)
    assert set(rows[0]) == {"time", "power_mean", "power_min", "power_max", "compressor_running_share"}
    assert rows[0]["time"] < rows[1]["time"]
    assert answer.headers["content-disposition"] == 'attachment; filename="site1-1m.csv"'


def test_a_mistake_in_a_csv_request_still_has_its_status(api):
    answer = api.get("/api/devices/site1/readings?format=csv&fields=electric_kwh_space")
    assert answer.status_code == 422
    assert answer.json()["field"] == "fields"


def test_json_is_answered_whatever_else_is_accepted(api):
    accepted = {"Accept": "text/html,application/xhtml+xml,*/*"}
    assert api.get("/api/devices/site1/readings?limit=1", headers=accepted).json()[0]["device_id"] == "site1"
    both = api.get("/api/devices/site1/readings?limit=1&format=json", headers={"Accept": "text/csv"})
    assert both.headers["content-type"] == "application/json"


def test_a_series_is_columnar_and_says_what_it_is(api, filled):
    span = {"start": iso(filled.now - 2 * HOUR), "end": iso(filled.now)}
    asked = {"fields": "power,compressor_running", **span}
    series = api.get("/api/devices/site1/series", params=asked).json()
    assert series["device_id"] == "site1"
    assert series["resolution"] == "raw"
    assert series["timezone"] == "Europe/Oslo"
    assert series["units"] == {"power": "W", "compressor_running": ""}
    assert series["readings"] == len(series["time"]) == len(series["values"]["power"]) == 720
    assert series["values"]["compressor_running"][0] is True
    assert series["coverage"]["power"] > 0.99
    assert series["gaps"] == []
    minutes = api.get("/api/devices/site1/series?hours=2&fields=power&resolution=1m").json()
    assert set(minutes["values"]["power"]) == {"mean", "min", "max"}


def test_a_series_of_24_h_keeps_within_2000_points(api):
    series = api.get("/api/devices/site1/series").json()
    assert series["resolution"] == "raw"
    assert len(series["time"]) == 1081
    coarser = api.get("/api/devices/site1/series?max_points=500").json()
    assert coarser["resolution"] == "1h"


def test_today_of_the_site_lives(api):
    """The open day has what has been measured until now."""
    days = api.get("/api/devices/site1/series?resolution=1d&fields=electric_kwh_space&hours=24").json()
    assert sum(days["values"]["electric_kwh_space"]) == pytest.approx(3.0, rel=1e-6)
